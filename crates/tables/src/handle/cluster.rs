//! The cluster's side of the handle: who leads, who belongs to it, and what comes in from other nodes.

use super::Handle;
use crate::ask::Ask;
use crate::{Error, Identity, Leadership, RaftCall, front, identity, lead};
use bytes::Bytes;
use routing::cluster::{Cluster, ClusterChange, Member, NodeId, Outcome, Stale};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

impl Handle {
    /// The cluster's own tables. Never waits.
    #[must_use]
    pub fn cluster(&self) -> Arc<Cluster> {
        self.shared.core.replica.publisher.cluster()
    }

    /// [`Cluster::version`] of what [`Handle::cluster`] shows.
    #[must_use]
    pub fn cluster_watch(&self) -> watch::Receiver<u64> {
        self.shared.core.replica.publisher.cluster_watch()
    }

    /// Changes the cluster's own tables, from any node. Retries on its own; never made twice.
    ///
    /// # Errors
    /// [`Error::NoQuorum`], [`Error::Busy`], [`Error::Write`].
    pub async fn change_cluster(&self, change: ClusterChange) -> Result<Outcome, Error> {
        self.ask(Ask::Cluster(change)).await?.outcome()
    }

    /// As [`Handle::change_cluster`], but made by this node as the leader or not at all: never handed on to one that leads
    /// meanwhile and may have promised something else. An error does not say that it was not made.
    ///
    /// # Errors
    /// As [`Handle::change_cluster`]; [`Error::NoQuorum`] where this node does not lead.
    pub async fn change_cluster_as_leader(&self, change: ClusterChange) -> Result<Outcome, Error> {
        let (id, ask) = (self.shared.next_id(), Arc::new(Ask::Cluster(change)));
        lead::serve(&self.shared, id, ask, None).await.map_err(Error::from)?.done.outcome()
    }

    /// Takes a message from another node and answers it.
    ///
    /// # Errors
    /// [`Error::Message`], [`Error::NotFounded`], [`Error::Stopped`].
    pub async fn serve(&self, from: NodeId, call: RaftCall, body: Bytes) -> Result<Bytes, Error> {
        if call == RaftCall::Forward {
            return front::serve(&self.shared, from, body).await;
        }
        self.shared.running()?.take(from, call, body).await
    }

    /// What this node knows of Raft.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.core.leadership.subscribe()
    }

    /// Whether this node leads and a quorum has confirmed it recently, by Raft's lease: only then may it grant leases.
    pub async fn leads(&self) -> bool {
        match self.shared.running() {
            Ok(running) => running.is_confirmed().await,
            Err(_) => false,
        }
    }

    /// How long ago this node, as the leader, sent what a quorum of the voters has confirmed. For [`NO_VOTE`](crate::NO_VOTE)
    /// from then on nobody else is elected unless this node hands the lead over. Nothing while it does not lead.
    #[must_use]
    pub fn quorum_age(&self) -> Option<Duration> {
        self.shared.running().ok()?.quorum_age()
    }

    /// Who led before the last leader, by the log as it was applied here: nobody else had an entry committed in between.
    #[must_use]
    pub fn former_leader(&self) -> Option<NodeId> {
        self.shared.core.replica.summary().former
    }

    /// Makes a new cluster of this node alone, with a name and a secret that nobody can guess. Its number and incarnation.
    ///
    /// # Errors
    /// [`Error::Identity`]: the folder belongs to a cluster already. [`Error::Write`].
    pub async fn found(&self, me: Member) -> Result<(NodeId, u64), Error> {
        let founded = identity::found(&self.shared, &me).await?;
        self.shared.run().await?;
        Ok(founded)
    }

    /// Takes part again, with the folder of an earlier run: a new incarnation. Its number and incarnation.
    ///
    /// # Errors
    /// [`Error::NotFounded`], [`Error::Identity`], [`Error::Membership`] when the cluster refuses it, [`Error::NoQuorum`].
    pub async fn start(&self, me: Member) -> Result<(NodeId, u64), Error> {
        let identity = identity::check(&self.shared, &me)?;
        // It names the life that it follows, so that of several starts that are still undecided only one counts.
        let incarnation = self.cluster().member(identity.node).map_or(0, |known| known.incarnation);
        let me = Member { id: identity.node, incarnation, ..me };
        match self.change_cluster(ClusterChange::Start(me)).await? {
            Outcome::Done { node, incarnation } => Ok((node, incarnation)),
            // Its tables lag behind: it may try again when they have caught up.
            Outcome::Stale(Stale::Incarnation(_)) => Err(Error::Busy),
            Outcome::Stale(stale) => Err(Error::Membership(stale.to_string())),
        }
    }

    /// Becomes a node of a cluster that has taken it in by [`ClusterChange::Join`]; waits as a learner for the leader.
    ///
    /// # Errors
    /// [`Error::Identity`]: the folder belongs to another. [`Error::Write`].
    pub async fn join_as(&self, identity: Identity) -> Result<(), Error> {
        identity::join_as(&self.shared, identity).await?;
        self.shared.run().await
    }

    /// Whose the data folder is; `None` before it has founded or joined a cluster.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.shared.identity.lock().clone()
    }

    /// Gives a node the log, without a vote. From any node; returns when a quorum knows of it.
    ///
    /// # Errors
    /// [`Error::NoQuorum`], [`Error::Membership`].
    pub async fn add_learner(&self, node: NodeId, address: String) -> Result<(), Error> {
        self.ask(Ask::AddLearner { node, address }).await.map(drop)
    }

    /// Makes exactly these nodes voters; those that were become learners. Each must be a learner or voter now.
    ///
    /// # Errors
    /// [`Error::NoQuorum`], [`Error::Membership`].
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), Error> {
        self.ask(Ask::SetVoters(voters)).await.map(drop)
    }

    /// Takes a node out of the log's receivers. It must be no voter.
    ///
    /// # Errors
    /// [`Error::NoQuorum`], [`Error::Membership`].
    pub async fn remove_learner(&self, node: NodeId) -> Result<(), Error> {
        self.ask(Ask::RemoveLearner(node)).await.map(drop)
    }

    /// Who votes.
    #[must_use]
    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.shared.running().map(|running| running.voters()).unwrap_or_default()
    }

    /// Who has the log without a vote.
    #[must_use]
    pub fn learners(&self) -> BTreeSet<NodeId> {
        self.shared.running().map(|running| running.learners()).unwrap_or_default()
    }

    /// Returns when this node's view has everything that was acknowledged before the call, anywhere.
    ///
    /// # Errors
    /// [`Error::NoQuorum`].
    pub async fn read_index(&self) -> Result<(), Error> {
        self.ask(Ask::ReadIndex).await.map(drop)
    }

    /// Gives the lead to the voter whose log is the longest, if this node has it: before a planned stop. The actor does it
    /// by itself when it stops.
    pub async fn hand_over(&self) {
        if let Ok(running) = self.shared.running() {
            running.hand_over().await;
        }
    }
}
