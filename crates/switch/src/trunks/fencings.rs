//! Which lives of which nodes are over: whoever leads a trunk's limits takes back what they held.

use crate::clock;
use crate::cluster::Cluster;
use parking_lot::Mutex;
use routing::cluster::{Liveness, NodeId};
use sip::clock::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// A leader that is made now hears of what ended within this time: what ended before is settled.
const RECENT: Duration = ::trunk::quota::SETTLE;

/// What was seen of the members so far.
#[derive(Default)]
pub(super) struct Fencings(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// What a look saw, to tell whether anything has changed.
    stamp: (u64, u64, u64, Vec<NodeId>),
    /// The life of each member, unless it is over.
    lives: BTreeMap<NodeId, u64>,
    ended: Vec<(NodeId, u64, Instant)>,
}

impl Fencings {
    /// Looks at the members; `false` if nothing that matters to trunks has changed since the last look.
    pub(super) fn follow(&self, cluster: &Cluster) -> bool {
        let (replicated, now) = (cluster.replicated(), clock::now().mono);
        let up = replicated.members().keys().copied().filter(|node| cluster.is_up(*node)).collect();
        let stamp = (replicated.version, cluster.incarnation(), cluster.acting(now), up);
        let mut seen = self.0.lock();
        let changed = seen.stamp != stamp;
        seen.stamp = stamp;
        let mut lives = BTreeMap::new();
        for member in replicated.members().values() {
            let before = seen.lives.get(&member.id).copied();
            if member.liveness == Liveness::Fenced {
                // One that was dead when this process began is told of as well: nobody knows since when.
                let is_news = before.is_some() || seen.lives.is_empty();
                seen.ended.extend(is_news.then_some((member.id, member.incarnation, now)));
                continue;
            }
            if let Some(before) = before.filter(|before| *before < member.incarnation) {
                seen.ended.push((member.id, before, now));
            }
            lives.insert(member.id, member.incarnation);
        }
        let gone: Vec<_> = seen.lives.iter().filter(|(id, _)| replicated.member(**id).is_none()).collect();
        let gone: Vec<_> = gone.into_iter().map(|(id, incarnation)| (*id, *incarnation, now)).collect();
        seen.ended.extend(gone);
        seen.ended.retain(|(_, _, at)| now.since(*at) < RECENT);
        seen.lives = lives;
        changed
    }

    /// The lives that have ended a short while ago, and since when they are known to have.
    pub(super) fn recent(&self, now: Instant) -> Vec<(NodeId, u64, Instant)> {
        let seen = self.0.lock();
        seen.ended.iter().copied().filter(|(_, _, at)| now.since(*at) < RECENT).collect()
    }
}
