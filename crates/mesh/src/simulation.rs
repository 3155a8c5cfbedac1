//! The four machines of some nodes in virtual time, under faults from a seed, with an oracle in the place of Raft.
//!
//! Time is one number here; each node reads it through a clock of its own origin. The network delays, reorders and loses; nodes
//! are stopped for seconds, killed, started again, cut off. After every event the world looks for two nodes that act for
//! one shard, for a lease that outlives the second since it was asked for, and for a fence that strikes a node with a lease.

mod node;
mod oracle;
mod tests;
mod world;

use routing::cluster::NodeId;
use sip::clock::Instant;

/// SplitMix64: the same run for the same seed.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to below `high`.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let index = usize::try_from(self.next() % of.len() as u64).expect("an index");
        &of[index]
    }
}

/// What nodes say to each other.
#[derive(Clone, Debug)]
enum Message {
    Beat { incarnation: u64 },
    Ask { about: NodeId, round: u32 },
    Tell { about: NodeId, round: u32, heard: bool },
    Knocked { about: NodeId },
    Renew { stamp: Instant, incarnation: u64 },
    Grant { stamp: Instant, incarnation: u64, version: u64, sent: u64 },
    Opinions(Vec<(NodeId, crate::liveness::State)>),
    Release(Vec<(u16, u32)>),
    Started(Option<u64>),
    Done { ticket: u64, made: bool },
    Applied(usize),
    Leads(Option<u64>),
    Leader(NodeId),
}

impl Message {
    /// What a node hears from its own tables: no network loses it.
    const fn is_local(&self) -> bool {
        matches!(self, Self::Applied(_) | Self::Done { .. } | Self::Started(_))
    }
}
