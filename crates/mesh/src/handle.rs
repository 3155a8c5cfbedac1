//! What everybody else holds of the mesh.

use crate::core::{Core, Phase};
use crate::link::Link;
use crate::parcel::LARGEST;
use crate::queue::{self, PARCELS};
use crate::status::Peer;
use crate::{Error, Parcel, Reply};
use bytes::Bytes;
use routing::cluster::{Cluster, NodeId};
use sip::clock::Instant;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Knows the other nodes and sends to them. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    core: Arc<Core>,
}

impl Handle {
    pub(crate) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Waits until this node takes part: it has founded, joined, or begun a new life.
    ///
    /// # Errors
    /// [`Error::NotTaken`]: it never will. [`Error::Stopped`].
    pub async fn entered(&self) -> Result<(), Error> {
        let mut phase = self.core.phase.subscribe();
        let phase = phase.wait_for(|phase| !matches!(phase, Phase::Entering)).await.map_err(|_| Error::Stopped)?;
        match &*phase {
            Phase::Out(error) => Err(error.clone()),
            Phase::In | Phase::Entering => Ok(()),
        }
    }

    /// Waits until the cluster refuses this node for good, after which it can do nothing but end.
    pub async fn expelled(&self) -> Error {
        let mut phase = self.core.phase.subscribe();
        let phase = phase.wait_for(|phase| matches!(phase, Phase::Out(_))).await;
        match phase.as_deref() {
            Ok(Phase::Out(error)) => error.clone(),
            Ok(Phase::In | Phase::Entering) | Err(_) => Error::Stopped,
        }
    }

    /// Why the cluster has refused this node for good, if it has.
    #[must_use]
    pub fn refusal(&self) -> Option<Error> {
        match &*self.core.phase.borrow() {
            Phase::Out(error) => Some(error.clone()),
            Phase::In | Phase::Entering => None,
        }
    }

    /// This node's number; 0 before it is known.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.core.lines.node()
    }

    /// Which life of this node this is; 0 before it has begun.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.core.lines.incarnation()
    }

    /// The members and the owners of the shards, as this node knows them. Never waits.
    #[must_use]
    pub fn cluster(&self) -> Arc<Cluster> {
        self.core.tables.cluster()
    }

    /// Whether this node may act as an owner at all. `now` is of the clock of [`crate::Options::clock`].
    #[must_use]
    pub fn holds_lease(&self, now: Instant) -> bool {
        !self.lease_remaining(now).is_zero()
    }

    /// For how long it may, unless the lease is renewed.
    #[must_use]
    pub fn lease_remaining(&self, now: Instant) -> Duration {
        self.core.status.lease_until().since(now)
    }

    /// Who owns a shard.
    #[must_use]
    pub fn owner(&self, shard: u16) -> Option<NodeId> {
        self.core.tables.cluster().shard(shard).owner
    }

    /// Whether this node acts for a shard: it is the owner, holds its lease, and nobody who owned the shard before can still
    /// be acting.
    #[must_use]
    pub fn acts_for(&self, shard: u16, now: Instant) -> bool {
        self.core.status.acts_for(shard, now, self.holds_lease(now))
    }

    /// Whether a node is heard. This node is.
    #[must_use]
    pub fn is_up(&self, node: NodeId) -> bool {
        node == self.me() || self.peers().iter().any(|peer| peer.id == node && peer.is_up())
    }

    /// The other members.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        self.core.status.peers().to_vec()
    }

    /// Sends at most once, never waits. To this node itself it is handed over at once.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unreachable`], [`Error::TooLarge`]: it was not sent.
    pub fn tell(&self, to: NodeId, parcel: Parcel) -> Result<(), Error> {
        check(&parcel)?;
        if to == self.me() {
            self.core.receiver.receive(to, parcel, None);
            return Ok(());
        }
        self.link(to)?.tell(parcel)
    }

    /// Sends at most once, and waits for the answer. This node itself may be asked as well.
    ///
    /// # Errors
    /// As [`Handle::tell`]; [`Error::TimedOut`] and [`Error::Unreachable`] after it was sent as well; [`Error::Refused`].
    pub async fn ask(&self, to: NodeId, parcel: Parcel, patience: Duration) -> Result<Bytes, Error> {
        check(&parcel)?;
        if to == self.me() {
            return self.ask_here(parcel, patience).await;
        }
        self.link(to)?.ask(parcel, patience).await
    }

    /// Rises with each change of members, shards, liveness, the lease, and what this node acts for.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.core.status.watch()
    }

    fn link(&self, to: NodeId) -> Result<Arc<Link>, Error> {
        self.core.link(to).ok_or(Error::Unreachable(to))
    }

    async fn ask_here(&self, parcel: Parcel, patience: Duration) -> Result<Bytes, Error> {
        let me = self.me();
        let (replies, mut answers) = queue::queue(PARCELS);
        self.core.receiver.receive(me, parcel, Some(Reply::new(0, replies)));
        let answered = tokio::time::timeout(patience, answers.next()).await;
        let answer = answered.map_err(|_| Error::TimedOut(me))?.and_then(|reply| reply.frame);
        match answer {
            Some(crate::proto::parcel_reply::Frame::Answer(answer)) if !answer.refused => Ok(answer.body),
            Some(_) | None => Err(Error::Refused(me)),
        }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("me", &self.core.lines.me()).finish_non_exhaustive()
    }
}

fn check(parcel: &Parcel) -> Result<(), Error> {
    let found = parcel.body.len();
    if found > LARGEST { Err(Error::TooLarge { found, limit: LARGEST }) } else { Ok(()) }
}
