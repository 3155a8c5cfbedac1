//! What is looked for before a run goes on: that all is well, and what each look at the nodes means.

use super::Run;
use crate::partners::{CHANNELS, TABLES};
use crate::phones;
use routing::cluster::{SHARDS, shard_of};

impl Run<'_> {
    /// All nodes are up, hear each other and hold their leases, each acts for its share of the shards, and every
    /// shard has a backup.
    pub(super) fn is_well(&mut self) -> bool {
        let nodes = self.fleet.seats.len();
        let share = usize::from(SHARDS) / nodes;
        let well = |running: &crate::fleet::Running| {
            let acting = running.acting().count();
            running.leased()
                && running.mesh.peers().iter().filter(|peer| peer.is_up() && peer.linked).count() == nodes - 1
                && acting * 10 >= share * 9
                && acting * 10 <= share * 11 + 10
        };
        let up: Vec<_> = self.fleet.up().map(|(_, running)| running).collect();
        // What is registered is kept twice: until each shard has its backup again a death may cost something.
        let kept_twice = up.iter().all(|running| {
            let cluster = running.tables.cluster();
            cluster.shards().iter().all(|shard| shard.backup.is_some() && shard.backup != shard.owner)
        });
        kept_twice
            && up.len() == nodes
            && up.iter().all(well)
            && up.iter().map(|running| running.acting().count()).sum::<usize>() == usize::from(SHARDS)
    }

    /// Every node shows the trunks; who shows none yet is told of them.
    pub(super) fn has_trunks(&mut self) -> bool {
        let first = self.fleet.up().next();
        if let Some((_, running)) = first.filter(|_| !self.setup.ledger.has_asked_for_trunks()) {
            crate::clients::apply(&running, TABLES.to_owned() + &phones::tables());
        }
        self.fleet.up().all(|(_, running)| running.tables.view().trunk("carrier").is_some())
    }

    pub(super) fn acts_for_all(&mut self) -> bool {
        self.fleet.up().map(|(_, running)| running.acting().count()).sum::<usize>() == usize::from(SHARDS)
    }

    /// Whoever acts for a phone's shard knows where it is.
    pub(super) fn knows_phones(&mut self) -> bool {
        let known = |phone: String| {
            let shard = shard_of(&format!("sip:{phone}@user.invalid"));
            self.fleet.up().any(|(_, node)| node.acting().any(|acting| acting == shard) && node.knows(&phone))
        };
        (0..phones::COUNT).map(phones::name).all(known)
    }

    pub(super) fn uses_all(&mut self) -> bool {
        let used = self.fleet.up().filter_map(|(_, running)| running.standing("carrier")).map(|standing| standing.used);
        used.sum::<u32>() == CHANNELS
    }

    pub(super) fn done(&self) -> Vec<(u64, u64)> {
        self.fleet.up().map(|(_, running)| self.setup.ledger.done(running.mesh.me())).collect()
    }

    /// Each node has taken a change, and shown one, since.
    pub(super) fn has_taken_changes(&self, before: &[(u64, u64)]) -> bool {
        let now = self.done();
        now.len() == self.fleet.seats.len()
            && now.iter().enumerate().all(|(place, (made, seen))| {
                let (made_before, seen_before) = before.get(place).copied().unwrap_or_default();
                *made > made_before && *seen > seen_before
            })
    }
}
