//! What stands in for Raft: one log, one leader at a time, changes applied in order.

use routing::cluster::{Cluster, ClusterChange, NodeId, Outcome};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whom to tell what came of a proposal.
#[derive(Clone, Copy, Debug)]
pub(super) enum Client {
    Starting(NodeId, u32),
    Duty(NodeId, u32, u64),
}

#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) client: Client,
    pub(super) change: ClusterChange,
    /// There was no quorum when it was its turn: it lies in the leader's log.
    pub(super) stuck: bool,
}

#[derive(Debug)]
pub(super) struct Oracle {
    /// The cluster after each entry.
    pub(super) states: Vec<Arc<Cluster>>,
    pub(super) voters: BTreeSet<NodeId>,
    pub(super) learners: BTreeSet<NodeId>,
    pub(super) leader: Option<NodeId>,
    pub(super) term: u64,
    /// When the leader had its quorum last.
    pub(super) quorate_at: u64,
    /// Proposed and not decided, by number.
    pub(super) open: Vec<(u64, Proposal)>,
}

impl Oracle {
    pub(super) fn newest(&self) -> &Arc<Cluster> {
        self.states.last().expect("the founding")
    }

    pub(super) fn commit(&mut self, change: &ClusterChange) -> Outcome {
        let mut next = Cluster::clone(self.newest());
        let outcome = next.apply(change);
        self.states.push(Arc::new(next));
        outcome
    }
}
