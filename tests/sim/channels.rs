//! Invariant 4: channels in use never exceed the limit in the whole cluster, and what a node holds is what it uses and what
//! is free.
//!
//! A node that was fenced while its process lived on carries the calls of its former life on: what it held was lent anew, and
//! no limit ends a call. What such calls use is no breach as long as they last, so it is counted apart.

use crate::fleet::Fleet;
use routing::cluster::{Liveness, NodeId};
use std::collections::BTreeMap;

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Channels {
    lives: BTreeMap<NodeId, Life>,
    /// The most that was in use at one time.
    pub(crate) most: u32,
}

/// A life of a node.
#[derive(Clone, Copy, Default)]
struct Life {
    incarnation: u64,
    /// It is over, as the cluster has it.
    ended: bool,
    /// What calls of earlier lives used when this one began. Their channels go back one by one as they end.
    adopted: u32,
    /// What calls that began in an earlier life, or before this one was over, may still use.
    apart: u32,
}

impl Channels {
    /// Looks at one trunk on all nodes at one moment.
    pub(crate) fn look(&mut self, fleet: &Fleet, trunk: &str, limit: u32) -> Vec<String> {
        let mut faults = Vec::new();
        let newest = fleet.up().map(|(_, running)| running.tables.cluster()).max_by_key(|cluster| cluster.version);
        let Some(newest) = newest else { return faults };
        let (mut used, mut held, mut carried, mut shown) = (0, 0, 0, Vec::new());
        for (seat, running) in fleet.up() {
            let Some(standing) = running.standing(trunk) else { continue };
            let (me, life) = (running.mesh.me(), standing.incarnation);
            if standing.used > standing.held {
                faults.push(format!(
                    "{} uses {} of {} channels that it holds",
                    seat.node.name, standing.used, standing.held
                ));
            }
            let ended = newest.member(me).is_none_or(|it| it.liveness == Liveness::Fenced || it.incarnation > life);
            let before = self.lives.get(&me).copied();
            let (adopted, apart) = match before {
                None => (0, 0),
                // Of a life that was not seen to end all is of the former one.
                Some(before) if before.incarnation != life && !before.ended => (standing.used, standing.used),
                Some(before) if before.incarnation != life => (before.apart, before.apart.min(standing.used)),
                Some(before) if ended && !before.ended => (standing.used, standing.used),
                Some(before) => (before.adopted, before.apart.min(standing.used)),
            };
            self.lives.insert(me, Life { incarnation: life, ended, adopted, apart });
            // A call that ended when its node did gives its channel back when its parties have said so.
            let unsure = running.unsure(trunk).min(standing.used - apart);
            used += standing.used - apart - unsure;
            held += if ended { 0 } else { standing.held.saturating_sub(adopted.max(unsure)) };
            carried += apart;
            shown.push(format!(
                "{} uses {} of {}, {apart} apart, {unsure} unsure",
                seat.node.name, standing.used, standing.held
            ));
        }
        self.most = self.most.max(used + carried);
        if used > limit || held > limit {
            faults
                .push(format!("{used} channels of {trunk} are used and {held} held, of {limit}: {}", shown.join("; ")));
        }
        faults
    }
}
