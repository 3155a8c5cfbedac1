//! This node among the others: which shards it acts for, whose a call is, and the way to whoever that is.
//!
//! A node without a mesh is a cluster of one and goes the same ways. Nothing is decided here that `routing` or `mesh`
//! decides; nobody waits here but who asks another node.

mod absence;
pub(crate) mod body;
pub(crate) mod carried;
mod follower;
mod inward;
mod knock;
mod minting;

pub(crate) use carried::Carried;
pub(crate) use follower::spawn as spawn_follower;
pub(crate) use inward::Inward;
pub use inward::Teller;
pub(crate) use knock::Options as Knock;

use crate::clock;
use arc_swap::ArcSwap;
use bytes::Bytes;
use call::CallId;
use mesh::liveness::State;
use mesh::{Kind, Parcel};
use minting::Minting;
use rand::Rng;
use routing::cluster::{Cluster as Replicated, Liveness, NodeId, SHARDS};
use rustc_hash::FxHasher;
use sip::Flow;
use sip::clock::Instant;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The cluster as this node's actors see it.
pub struct Cluster {
    tables: tables::Handle,
    mesh: Option<mesh::Handle>,
    /// Where new calls may be named.
    minting: ArcSwap<Minting>,
    /// When this was made.
    began: Instant,
    epochs: absence::Epochs,
    /// It has acted for a shard since.
    settled: AtomicBool,
}

/// A node that cannot get a lease counts as settled after this: it goes on from its last tables.
const SETTLE: Duration = Duration::from_secs(10);

/// Where somebody who is placed by a shard is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whose {
    /// This node acts for it.
    Ours,
    /// Another node owns it.
    Of(NodeId),
    /// This node owns it but may not act just now, or nobody owns it.
    Nobody,
}

impl Cluster {
    /// Of a node with these tables; without a mesh it is alone.
    pub(crate) fn new(tables: tables::Handle, mesh: Option<mesh::Handle>) -> Self {
        let (replicated, began) = (tables.cluster(), clock::now().mono);
        let returned = replicated.members().len() > 1;
        let cluster = Self {
            tables,
            mesh,
            epochs: absence::Epochs::new(&replicated, returned, began),
            minting: ArcSwap::default(),
            began,
            settled: AtomicBool::new(false),
        };
        cluster.refresh();
        cluster
    }

    /// The mesh, unless this node is alone.
    #[must_use]
    pub const fn mesh(&self) -> Option<&mesh::Handle> {
        self.mesh.as_ref()
    }

    /// The members and shards.
    #[must_use]
    pub fn replicated(&self) -> Arc<Replicated> {
        self.tables.cluster()
    }

    /// This node's number; 0 before it has one.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.mesh.as_ref().map_or(1, mesh::Handle::me)
    }

    /// This node's life; 0 before it has begun.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.mesh.as_ref().map_or(1, mesh::Handle::incarnation)
    }

    /// A name for a new call that nobody can guess, in a shard of this node; nothing while it has none.
    pub(crate) fn mint(&self, random: &mut impl Rng) -> Option<CallId> {
        let (shard, epoch) = self.minting.load().pick(random, clock::now().mono)?;
        Some(CallId { shard, epoch, call: random.random() })
    }

    /// Whether new calls can be named.
    #[must_use]
    pub fn has_shards(&self) -> bool {
        !self.minting.load().shards().is_empty()
    }

    /// Looks anew at which shards are this node's. A node that has lost sight of the others goes on in those that it had:
    /// what it names is its own in any case.
    pub(crate) fn refresh(&self) {
        let (me, replicated) = (self.me(), self.replicated());
        let carries =
            replicated.member(me).is_none_or(|member| !member.witness && member.liveness != Liveness::Draining);
        let own = |number: u16| {
            let shard = replicated.shard(number);
            (carries && shard.owner == Some(me)).then_some((shard.backup, (number, shard.epoch)))
        };
        self.minting.store(Arc::new(Minting::new((0..SHARDS).filter_map(own).collect())));
        self.epochs.follow(&replicated, clock::now().mono);
    }

    /// Whether this node has taken its place: it has acted for a shard since its start, or has waited for that in vain. Before
    /// that it would send phones away.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        if !self.settled.load(Ordering::Relaxed) {
            let (now, minting) = (clock::now().mono, self.minting.load());
            let acts = minting.shards().iter().any(|(shard, _)| self.acts_for(*shard, now));
            let settled = acts || (!minting.shards().is_empty() && now.since(self.began) > SETTLE);
            self.settled.store(settled, Ordering::Relaxed);
        }
        self.settled.load(Ordering::Relaxed)
    }

    /// Who is asked next for a call that is not in this node's directory: each node that may have it, in turn, and its shard's
    /// owner at the end, who answers for its absence. Nobody if that is this node, or if it is not heard.
    pub(crate) fn next_holder(&self, id: CallId, tried: &[NodeId]) -> Option<NodeId> {
        let (me, replicated) = (self.me(), self.replicated());
        let shard = replicated.shard(id.shard);
        let other = |node: &NodeId| *node != me && self.is_up(*node);
        let untried = shard.owners_since(id.epoch).find(|node| other(node) && !tried.contains(node));
        untried.or_else(|| shard.owner.filter(other))
    }

    /// Whether a call that is in nobody's directory in reach may be somewhere all the same: its shard is acted for by a node that
    /// is not heard, or by this one so recently that it may still be handed over.
    pub(crate) fn may_be_somewhere(&self, id: CallId) -> bool {
        let now = clock::now().mono;
        self.mesh.is_some() && !(self.acts_for(id.shard, now) && self.epochs.is_complete(id.shard, id.epoch, now))
    }

    /// Who acts for a shard.
    pub(crate) fn whose(&self, shard: u16, now: Instant) -> Whose {
        if self.acts_for(shard, now) {
            return Whose::Ours;
        }
        match self.replicated().shard(shard).owner {
            Some(node) if node != self.me() => Whose::Of(node),
            Some(_) | None => Whose::Nobody,
        }
    }

    /// Whether this node acts for a shard now.
    #[must_use]
    pub fn acts_for(&self, shard: u16, now: Instant) -> bool {
        self.mesh.as_ref().is_none_or(|mesh| mesh.acts_for(shard, now))
    }

    /// A number for the shards that this node acts for now: the same for the same shards. They change with its lease, with
    /// their owners, and when the wait for a former owner is over.
    pub(crate) fn acting(&self, now: Instant) -> u64 {
        let mut sum = FxHasher::default();
        (0..SHARDS).filter(|shard| self.acts_for(*shard, now)).for_each(|shard| sum.write_u16(shard));
        sum.finish()
    }

    /// Tells the shards that this node owns from others, as the tables are now.
    pub fn owned(&self) -> impl Fn(u16) -> bool + use<> {
        let (me, replicated) = (self.me(), self.replicated());
        move |shard| replicated.shard(shard).owner == Some(me)
    }

    /// Whether any shard is a node's still.
    #[must_use]
    pub fn owns_any(&self, node: NodeId) -> bool {
        self.replicated().shards().iter().any(|shard| shard.owner == Some(node))
    }

    /// Whether a node is heard.
    #[must_use]
    pub fn is_up(&self, node: NodeId) -> bool {
        self.mesh.as_ref().map_or(node == 1, |mesh| mesh.is_up(node))
    }

    /// Whether a node is held to be dead: one that was not heard yet, or not for a moment, is not.
    #[must_use]
    pub fn is_dead(&self, node: NodeId) -> bool {
        let Some(mesh) = &self.mesh else { return node != 1 };
        mesh.peers().iter().any(|peer| peer.id == node && peer.state == State::Dead)
    }

    /// Sends a parcel; `false` if it could not even be queued. Never waits.
    pub(crate) fn tell(&self, to: NodeId, kind: Kind, body: Bytes) -> bool {
        self.mesh.as_ref().is_some_and(|mesh| mesh.tell(to, Parcel { kind, body }).is_ok())
    }

    /// Asks another node what is alive there; its [`Teller`] answers. Both are at most [`mesh::LARGEST`] bytes.
    ///
    /// # Errors
    /// Why there is no answer. [`mesh::Error::TimedOut`] does not say that the question was not taken.
    pub async fn question(&self, to: NodeId, body: Bytes, patience: Duration) -> Result<Bytes, mesh::Error> {
        let mesh = self.mesh.as_ref().ok_or(mesh::Error::Unreachable(to))?;
        mesh.ask(to, Parcel { kind: Kind::Query, body }, patience).await
    }

    /// Asks another node.
    pub(crate) async fn ask(&self, to: NodeId, kind: Kind, body: Bytes, patience: Duration) -> Option<Bytes> {
        self.mesh.as_ref()?.ask(to, Parcel { kind, body }, patience).await.ok()
    }

    /// Passes a SIP message on to a node that may have its call; `false` if it cannot be sent, or has gone round for too long.
    pub(crate) fn carry(&self, to: NodeId, bytes: &[u8], flow: Flow, tried: &[NodeId]) -> bool {
        let edge = if flow.edge == 0 { self.me() } else { flow.edge };
        let tried: Vec<NodeId> = tried.iter().copied().chain([self.me()]).collect();
        let again = tried.len() <= Carried::MAX_TRIED;
        let carried = Carried { bytes: Bytes::copy_from_slice(bytes), flow: Flow { edge, ..flow }, tried };
        again && self.tell(to, Kind::Sip, carried.encode())
    }

    /// Whether a flow leaves by a socket of another node.
    #[must_use]
    pub(crate) fn is_elsewhere(&self, flow: &Flow) -> bool {
        flow.edge != 0 && flow.edge != self.me()
    }

    /// Has another node send a message by its socket; `false` if it cannot be told.
    pub(crate) fn send_through(&self, bytes: Bytes, flow: Flow) -> bool {
        self.tell(flow.edge, Kind::SipReply, Carried { bytes, flow, tried: Vec::new() }.encode())
    }

    /// What is left of this node's lease; nothing is said of a node that is alone and needs none.
    #[must_use]
    pub fn lease_remaining(&self, now: Instant) -> Option<Duration> {
        self.mesh.as_ref().map(|mesh| mesh.lease_remaining(now))
    }

    /// Whether this node may act as an owner at all.
    #[must_use]
    pub fn holds_lease(&self, now: Instant) -> bool {
        self.mesh.as_ref().is_none_or(|mesh| mesh.holds_lease(now))
    }
}
