//! Invariant 2: no shard has two owners in one epoch, and no two nodes act for it at one time.

use crate::fleet::Fleet;
use routing::cluster::{NodeId, SHARDS};
use std::collections::BTreeMap;

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Owners {
    /// Who owned a shard in an epoch.
    known: BTreeMap<(u16, u32), NodeId>,
    /// The version of each node's view that was looked at last.
    versions: BTreeMap<NodeId, u64>,
}

impl Owners {
    /// Looks at all nodes at one moment.
    pub(crate) fn look(&mut self, fleet: &Fleet) -> Vec<String> {
        let mut faults = Vec::new();
        let mut actors = [None; SHARDS as usize];
        for (seat, running) in fleet.up() {
            for shard in running.acting() {
                if let Some(other) = actors[usize::from(shard)].replace(seat.node.name.as_str()) {
                    faults.push(format!("{other} and {} both act for shard {shard}", seat.node.name));
                }
            }
            let (me, cluster) = (running.mesh.me(), running.tables.cluster());
            if self.versions.insert(me, cluster.version) != Some(cluster.version) {
                for (number, shard) in (0..SHARDS).zip(cluster.shards()) {
                    let Some(owner) = shard.owner else { continue };
                    let known = *self.known.entry((number, shard.epoch)).or_insert(owner);
                    if known != owner {
                        faults.push(format!("{known} and {owner} own shard {number} in epoch {}", shard.epoch));
                    }
                }
            }
        }
        faults.truncate(5);
        faults
    }
}
