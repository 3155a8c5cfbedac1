//! The cluster's side of the handle: who leads, who belongs to it, and what comes in from other nodes.

use super::Handle;
use crate::{Error, Identity, Import, Leadership, Progress, RaftCall, Revision};
use bytes::Bytes;
use routing::Row;
use routing::cluster::{Cluster, ClusterChange, Member, NodeId, Outcome};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

impl Handle {
    /// The cluster's own tables. Never waits.
    #[must_use]
    pub fn cluster(&self) -> Arc<Cluster> {
        Arc::default()
    }

    /// [`Cluster::version`] of what [`Handle::cluster`] shows.
    #[must_use]
    pub fn cluster_watch(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    /// Changes the cluster's own tables, from any node. Retries on its own; never made twice.
    ///
    /// # Errors
    /// [`Error::NoQuorum`], [`Error::Busy`], [`Error::Write`].
    pub async fn change_cluster(&self, change: ClusterChange) -> Result<Outcome, Error> {
        drop(change);
        Err(Error::NotFounded)
    }

    /// Takes a message from another node and answers it.
    ///
    /// # Errors
    /// [`Error::Message`], [`Error::NotFounded`], [`Error::Stopped`].
    pub async fn serve(&self, from: NodeId, call: RaftCall, body: Bytes) -> Result<Bytes, Error> {
        Err(Error::Message { from, what: format!("{call:?} of {} bytes", body.len()) })
    }

    /// What this node knows of Raft.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        watch::channel(Leadership::default()).1
    }

    /// Whether this node leads and a quorum has confirmed it recently, by Raft's lease: only then may it grant leases.
    pub async fn leads(&self) -> bool {
        false
    }

    /// Makes a new cluster of this node alone, with a name and a secret that nobody can guess. Its number and incarnation.
    ///
    /// # Errors
    /// [`Error::Identity`]: the folder belongs to a cluster already. [`Error::Write`].
    pub async fn found(&self, me: Member) -> Result<(NodeId, u64), Error> {
        drop(me);
        Err(Error::NotFounded)
    }

    /// Takes part again, with the folder of an earlier run: a new incarnation. Its number and incarnation.
    ///
    /// # Errors
    /// [`Error::NotFounded`], [`Error::Identity`], [`Error::Membership`] when the cluster refuses it, [`Error::NoQuorum`].
    pub async fn start(&self, me: Member) -> Result<(NodeId, u64), Error> {
        drop(me);
        Err(Error::NotFounded)
    }

    /// Becomes a node of a cluster that has taken it in by [`ClusterChange::Join`]; waits as a learner for the leader.
    ///
    /// # Errors
    /// [`Error::Identity`]: the folder belongs to another. [`Error::Write`].
    pub async fn join_as(&self, identity: Identity) -> Result<(), Error> {
        drop(identity);
        Err(Error::NotFounded)
    }

    /// Whose the data folder is; `None` before it has founded or joined a cluster.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        None
    }

    /// Gives a node the log, without a vote. From any node; returns when a quorum knows of it.
    ///
    /// # Errors
    /// [`Error::NoQuorum`], [`Error::Membership`].
    pub async fn add_learner(&self, node: NodeId, address: String) -> Result<(), Error> {
        drop((node, address));
        Err(Error::NotFounded)
    }

    /// Makes exactly these nodes voters; those that were become learners. Each must be a learner or voter now.
    ///
    /// # Errors
    /// [`Error::NoQuorum`], [`Error::Membership`].
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), Error> {
        drop(voters);
        Err(Error::NotFounded)
    }

    /// Takes a node out of the log's receivers. It must be no voter.
    ///
    /// # Errors
    /// [`Error::NoQuorum`], [`Error::Membership`].
    pub async fn remove_learner(&self, node: NodeId) -> Result<(), Error> {
        let _ = node;
        Err(Error::NotFounded)
    }

    /// Who votes.
    #[must_use]
    pub fn voters(&self) -> BTreeSet<NodeId> {
        BTreeSet::new()
    }

    /// Who has the log without a vote.
    #[must_use]
    pub fn learners(&self) -> BTreeSet<NodeId> {
        BTreeSet::new()
    }

    /// Returns when this node's view has everything that was acknowledged before the call, anywhere.
    ///
    /// # Errors
    /// [`Error::NoQuorum`].
    pub async fn read_index(&self) -> Result<(), Error> {
        Err(Error::NotFounded)
    }

    /// Gives the lead to the voter whose log is the longest, if this node has it: before a planned stop. The actor does it
    /// by itself when it stops.
    pub async fn hand_over(&self) {}

    /// Puts many rows as one revision. They travel in pieces; nobody sees any of them before all are there.
    ///
    /// # Errors
    /// As [`Handle::propose`]. Nothing has changed.
    pub async fn import(
        &self,
        batches: impl Iterator<Item = Vec<Row>> + Send,
        import: Import,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Revision, Error> {
        drop((batches, import, progress));
        Err(Error::NotFounded)
    }
}
