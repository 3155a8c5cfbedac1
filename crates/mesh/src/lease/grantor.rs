//! The leader's side: who holds a lease until when, and from when on a node may be fenced.

use crate::times::Waits;
use routing::cluster::{Cluster, Liveness, NodeId};
use sip::clock::Instant;
use std::collections::BTreeMap;

/// What a node is told that asks for its lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It has it for [`LEASE`](crate::times::LEASE) from when it sent the question, once its view has this version.
    Granted {
        /// The leader's [`Cluster::version`].
        version: u64,
    },
    /// It has not.
    Refused(Denial),
}

/// Why there is no lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Denial {
    /// This node does not lead.
    NotLeading,
    /// The node is no member.
    Unknown,
    /// The node was fenced, or is about to be; it needs a new incarnation.
    Fenced,
    /// The node has started anew since, or the leader has not heard of its start yet.
    Incarnation,
}

/// Grants leases while this node leads.
///
/// Asked only while Raft confirms the lead: a leader that was voted down without knowing it must not grant.
#[derive(Debug, Default)]
pub struct Grantor {
    leading_since: Option<Instant>,
    term: u64,
    /// The leader before this one, if it can only have a lease that it gave itself.
    former: Option<NodeId>,
    /// When each node was granted its lease last.
    granted: BTreeMap<NodeId, Instant>,
    waits: Waits,
    /// Incarnations that are being fenced. That may be in the log even if nobody said so: they get no lease any more.
    condemned: BTreeMap<NodeId, u64>,
}

impl Grantor {
    /// One that fences by these waits.
    #[must_use]
    pub fn new(waits: Waits) -> Self {
        Self { waits, ..Self::default() }
    }

    /// This node leads from now on in this term, and has applied everything that was committed before it. Said again when
    /// it may have slept: somebody else may have led, and granted, meanwhile.
    ///
    /// What it wanted to fence in another term is decided by now, one way or the other; of the same term it may still lie
    /// undecided in the log.
    ///
    /// `former` is who led before, if nobody else can have granted anything since and any lease that others granted it has run
    /// out: what it gave itself ended before anybody voted for this node ([`OWN_LEASE`](crate::times::OWN_LEASE)).
    pub fn lead(&mut self, now: Instant, term: u64, former: Option<NodeId>) {
        if self.term != term {
            self.condemned.clear();
        }
        (self.leading_since, self.term, self.former) = (Some(now), term, former);
    }

    /// This node leads no more, or cannot tell.
    pub fn resign(&mut self) {
        self.leading_since = None;
        self.granted.clear();
    }

    /// A node asks for its lease.
    pub fn renew(&mut self, now: Instant, cluster: &Cluster, node: NodeId, incarnation: u64) -> Answer {
        let denial = match cluster.member(node) {
            _ if self.leading_since.is_none() => Denial::NotLeading,
            None => Denial::Unknown,
            Some(member) if member.incarnation != incarnation => Denial::Incarnation,
            Some(member) if member.liveness == Liveness::Fenced => Denial::Fenced,
            Some(_) if self.is_condemned(node, incarnation) => Denial::Fenced,
            Some(_) => {
                self.granted.insert(node, now);
                return Answer::Granted { version: cluster.version };
            }
        };
        Answer::Refused(denial)
    }

    /// From when on the node certainly holds no lease; nothing while this node does not lead. A new leader does not know
    /// what the former one granted to others, so it waits for as long as that can last.
    #[must_use]
    pub fn free_at(&self, node: NodeId) -> Option<Instant> {
        let since = self.leading_since?;
        match self.granted.get(&node) {
            None if self.former == Some(node) => Some(since),
            granted => Some(granted.map_or(since, |granted| since.max(*granted)) + self.waits.fence),
        }
    }

    /// Whether the node certainly holds no lease.
    #[must_use]
    pub fn may_fence(&self, node: NodeId, now: Instant) -> bool {
        self.free_at(node).is_some_and(|free| now >= free)
    }

    /// The fencing of an incarnation begins: it gets no lease again, even if nobody can say what came of it.
    pub fn condemn(&mut self, node: NodeId, incarnation: u64) {
        let condemned = self.condemned.entry(node).or_default();
        *condemned = incarnation.max(*condemned);
    }

    /// Whether the fencing of an incarnation has begun. It has to be brought to its end, even if the node is heard again.
    #[must_use]
    pub fn is_condemned(&self, node: NodeId, incarnation: u64) -> bool {
        self.condemned.get(&node).is_some_and(|condemned| *condemned >= incarnation)
    }

    /// Forgets what has run out and nodes that are no members.
    pub fn keep(&mut self, now: Instant, cluster: &Cluster) {
        self.condemned.retain(|node, _| cluster.member(*node).is_some());
        self.granted.retain(|_, granted| now < *granted + self.waits.fence);
    }
}
