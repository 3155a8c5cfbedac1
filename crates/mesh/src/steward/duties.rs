//! What is under way: one fencing a node, one step of shards, one change of Raft's members.

use routing::cluster::NodeId;
use sip::clock::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// After a failure the same is not tried again for so long.
const AGAIN: Duration = Duration::from_millis(300);
/// A duty of which nothing is heard for so long counts as failed.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// How long to wait for the cluster to show what was made.
const SHOWN: Duration = Duration::from_millis(1000);

/// Of each kind there is one at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Slot {
    Fence(NodeId),
    Place,
    Raft,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Nothing is heard of it yet.
    Open { ticket: u64, since: Instant, version: u64 },
    /// It was made on this version; the cluster has to show it.
    Made { version: u64, since: Instant },
    /// Not again before.
    Failed(Instant),
}

#[derive(Debug, Default)]
pub(super) struct Duties {
    stages: BTreeMap<Slot, Stage>,
    rests: BTreeMap<Slot, Instant>,
    last_ticket: u64,
}

impl Duties {
    /// Whether the next of this kind may begin, on a cluster of this version (0 where that does not matter).
    pub(super) fn is_free(&self, now: Instant, slot: Slot, version: u64) -> bool {
        let rested = self.rests.get(&slot).is_none_or(|until| now >= *until);
        rested
            && match self.stages.get(&slot) {
                None => true,
                Some(Stage::Open { .. }) => false,
                Some(Stage::Made { version: then, since }) => {
                    version == 0 || version > *then || now.since(*since) >= SHOWN
                }
                Some(Stage::Failed(until)) => now >= *until,
            }
    }

    /// Whether a fencing is under way.
    pub(super) fn fencing(&self) -> bool {
        self.stages.iter().any(|(slot, stage)| matches!((slot, stage), (Slot::Fence(_), Stage::Open { .. })))
    }

    pub(super) fn begin(&mut self, now: Instant, slot: Slot, version: u64) -> u64 {
        self.last_ticket += 1;
        self.stages.insert(slot, Stage::Open { ticket: self.last_ticket, since: now, version });
        self.last_ticket
    }

    /// No other of this kind before.
    pub(super) fn rest(&mut self, slot: Slot, until: Instant) {
        self.rests.insert(slot, until);
    }

    pub(super) fn done(&mut self, now: Instant, ticket: u64, made: bool) {
        for stage in self.stages.values_mut() {
            match *stage {
                Stage::Open { ticket: open, version, .. } if open == ticket => {
                    *stage = if made { Stage::Made { version, since: now } } else { Stage::Failed(now + AGAIN) };
                }
                Stage::Open { .. } | Stage::Made { .. } | Stage::Failed(_) => {}
            }
        }
    }

    /// Nothing is under way any more; what is heard of it later means nothing, since no ticket is given twice.
    pub(super) fn drop_all(&mut self) {
        self.stages.clear();
        self.rests.clear();
    }

    /// Lets go of what nobody reported on, and of what is long over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.stages.retain(|_, stage| match *stage {
            Stage::Open { since, .. } => now.since(since) < FORGOTTEN,
            Stage::Made { since, .. } => now.since(since) < FORGOTTEN,
            Stage::Failed(until) => now < until,
        });
    }
}
