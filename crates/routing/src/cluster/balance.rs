//! Where the shards should be: the next step from where they are.
//!
//! The plan is a function of the cluster alone and each move brings it nearer, so that it can be made in small entries, by
//! one leader after another, and ends. In the order of need: shards whose owner is gone; shards without a fit backup;
//! shards of nodes that drain; owners spread; backups spread. A share within a tenth of the mean is left as it is.

#[cfg(test)]
mod tests;

use super::{Cluster, Liveness, Member, Move, NodeId, SHARDS};
use std::collections::BTreeSet;

/// How many shards change hands in one entry of the log while their owner lives.
pub const STEP: usize = 64;
/// How many may change hands at once: all of a node that is gone, since its calls wait for that.
pub const RESCUE: usize = SHARDS as usize;

/// The next step towards an even spread, [`STEP`] moves at most beside those of the shards whose owner is gone; empty when there is nothing to move, or nobody to carry.
///
/// Applied again and again it ends. Owners are then within a tenth of the mean over the members that carry; each backup is in
/// another site where one carries, else on another node; and the backups are spread, over all and for each owner, as
/// far as the sites let them, so that a dead node's shards fall to all survivors.
#[must_use]
pub fn balance(cluster: &Cluster) -> Vec<Move> {
    let Some(mut plan) = Plan::of(cluster) else { return Vec::new() };
    plan.limit = RESCUE;
    plan.give_up(cluster, |owner| owner.is_none_or(|member| member.liveness == Liveness::Fenced));
    plan.limit = STEP;
    plan.protect();
    plan.give_up(cluster, |_| true);
    plan.level_owners();
    plan.level_backups();
    plan.moves(cluster)
}

/// A shard's place, by the indices of the members that carry.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seat {
    owner: Option<usize>,
    backup: Option<usize>,
}

/// The cluster in counts.
struct Plan {
    carriers: Vec<NodeId>,
    /// Each carrier's site, as the index of the first carrier in it.
    sites: Vec<usize>,
    /// Whether they are in more than one site.
    apart: bool,
    /// How many may be the backup of each.
    fitting: Vec<u64>,
    seats: Vec<Seat>,
    owned: Vec<u64>,
    backed: Vec<u64>,
    /// For each owner and backup, how many shards they have in common.
    pairs: Vec<u64>,
    changed: BTreeSet<u16>,
    /// How many may change.
    limit: usize,
}

impl Plan {
    fn of(cluster: &Cluster) -> Option<Self> {
        let members: Vec<&Member> = cluster.members().values().filter(|member| member.carries()).collect();
        let count = members.len();
        let sites: Vec<usize> = members
            .iter()
            .map(|member| members.iter().position(|other| other.site == member.site).unwrap_or_default())
            .collect();
        let mut plan = Self {
            carriers: members.iter().map(|member| member.id).collect(),
            apart: sites.iter().any(|site| *site != 0),
            sites,
            fitting: Vec::new(),
            seats: vec![Seat { owner: None, backup: None }; usize::from(SHARDS)],
            owned: vec![0; count],
            backed: vec![0; count],
            pairs: vec![0; count * count],
            changed: BTreeSet::new(),
            limit: STEP,
        };
        plan.fitting = (0..count).map(|owner| plan.fitting(owner).count() as u64).collect();
        for (at, shard) in cluster.shards().iter().enumerate() {
            let index = |node: Option<NodeId>| node.and_then(|node| plan.carriers.binary_search(&node).ok());
            let seat = Seat { owner: index(shard.owner), backup: index(shard.backup) };
            plan.seats[at] = seat;
            plan.count(seat, 1);
        }
        (count > 0).then_some(plan)
    }

    fn count(&mut self, seat: Seat, by: i64) {
        let add = |count: &mut u64| *count = count.saturating_add_signed(by);
        seat.owner.into_iter().for_each(|owner| add(&mut self.owned[owner]));
        seat.backup.into_iter().for_each(|backup| add(&mut self.backed[backup]));
        if let (Some(owner), Some(backup)) = (seat.owner, seat.backup) {
            add(&mut self.pairs[owner * self.carriers.len() + backup]);
        }
    }

    fn pair(&self, owner: usize, backup: usize) -> u64 {
        self.pairs[owner * self.carriers.len() + backup]
    }

    fn seat(&mut self, shard: u16, seat: Seat) {
        let former = std::mem::replace(&mut self.seats[usize::from(shard)], seat);
        self.count(former, -1);
        self.count(seat, 1);
        self.changed.insert(shard);
    }

    fn full(&self) -> bool {
        self.changed.len() >= self.limit
    }

    /// Whether one may be the backup of the other.
    fn fits(&self, owner: usize, backup: usize) -> bool {
        owner != backup && (!self.apart || self.sites[owner] != self.sites[backup])
    }

    fn fitting(&self, owner: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.carriers.len()).filter(move |backup| self.fits(owner, *backup))
    }

    /// What weighs on a backup: all of its shards against their mean, and those of this owner against theirs. Both are
    /// scaled by the number of shards and by the owner's, to stay whole.
    fn weight(&self, owner: usize, backed: u64, paired: u64) -> u64 {
        let (count, fitting) = (self.carriers.len() as u64, self.fitting[owner]);
        backed * count * self.owned[owner].max(1) + paired * fitting * u64::from(SHARDS)
    }

    fn lightest_backup(&self, owner: usize, but: Option<usize>) -> Option<usize> {
        self.fitting(owner)
            .filter(|backup| Some(*backup) != but)
            .min_by_key(|backup| self.weight(owner, self.backed[*backup], self.pair(owner, *backup)))
    }

    /// A new owner. The backup stays where it fits.
    fn give(&mut self, shard: u16, owner: usize) {
        let kept = self.seats[usize::from(shard)].backup.filter(|backup| self.fits(owner, *backup));
        self.seat(shard, Seat { owner: Some(owner), backup: kept });
        if kept.is_none() {
            let backup = self.lightest_backup(owner, None);
            self.seat(shard, Seat { owner: Some(owner), backup });
        }
    }

    /// Shards whose owner may not carry go to their backup, which knows their calls; else to who has least.
    fn give_up(&mut self, cluster: &Cluster, which: impl Fn(Option<&Member>) -> bool) {
        for shard in 0..SHARDS {
            let owner = cluster.shard(shard).owner.and_then(|node| cluster.member(node));
            let seat = self.seats[usize::from(shard)];
            if seat.owner.is_some() || self.full() || !which(owner) {
                continue;
            }
            let least = (0..self.carriers.len()).min_by_key(|index| self.owned[*index]);
            if let Some(taker) = seat.backup.or(least) {
                self.give(shard, taker);
            }
        }
    }

    /// A fit backup for every shard that has none, where there is one.
    fn protect(&mut self) {
        for shard in 0..SHARDS {
            let Seat { owner: Some(owner), backup } = self.seats[usize::from(shard)] else { continue };
            if self.full() || backup.is_some_and(|backup| self.fits(owner, backup)) {
                continue;
            }
            if let Some(backup) = self.lightest_backup(owner, None) {
                self.seat(shard, Seat { owner: Some(owner), backup: Some(backup) });
            }
        }
    }

    /// From who owns most to who owns least, while either is further than a tenth from the mean.
    fn level_owners(&mut self) {
        let (count, shards) = (self.carriers.len() as u64, u64::from(SHARDS));
        let low = (shards / count).min((shards * 9).div_ceil(count * 10));
        let high = shards.div_ceil(count).max(shards * 11 / (count * 10));
        while !self.full() {
            let most = (0..self.carriers.len()).max_by_key(|index| (self.owned[*index], usize::MAX - index));
            let least = (0..self.carriers.len()).min_by_key(|index| self.owned[*index]);
            let (Some(from), Some(to)) = (most, least) else { return };
            if self.owned[from] <= high && self.owned[to] >= low {
                return;
            }
            let Some(shard) = self.handed_on(from, to) else { return };
            self.give(shard, to);
        }
    }

    /// Which shard goes from one to the other: one that keeps its backup if there is one, of the backup that the two have
    /// most unevenly.
    fn handed_on(&self, from: usize, to: usize) -> Option<u16> {
        let shared = (0..self.carriers.len()).filter(|backup| self.pair(from, *backup) > 0).max_by_key(|backup| {
            let uneven = self.pair(from, *backup).cast_signed() - self.pair(to, *backup).cast_signed();
            (self.fits(to, *backup), uneven, usize::MAX - backup)
        });
        self.shard_of_pair(from, shared?)
    }

    fn shard_of_pair(&self, owner: usize, backup: usize) -> Option<u16> {
        let seat = Seat { owner: Some(owner), backup: Some(backup) };
        (0..SHARDS).find(|shard| self.seats[usize::from(*shard)] == seat)
    }

    /// Backups move to where they weigh less, while that is worth more than a tenth of a mean share.
    fn level_backups(&mut self) {
        let mut moved = true;
        while std::mem::take(&mut moved) {
            for pair in 0..self.pairs.len() {
                let (owner, from) = (pair / self.carriers.len(), pair % self.carriers.len());
                while self.pairs[pair] > 0 && !self.full() {
                    let Some(to) = self.lightest_backup(owner, Some(from)) else { break };
                    let heavy = self.weight(owner, self.backed[from] - 1, self.pairs[pair] - 1);
                    let light = self.weight(owner, self.backed[to], self.pair(owner, to));
                    let worth = heavy.saturating_sub(light) * 10 > u64::from(SHARDS) * self.owned[owner];
                    let Some(shard) = self.shard_of_pair(owner, from).filter(|_| worth) else { break };
                    self.seat(shard, Seat { owner: Some(owner), backup: Some(to) });
                    moved = true;
                }
            }
        }
    }

    fn moves(&self, cluster: &Cluster) -> Vec<Move> {
        let id = |index: Option<usize>| index.map(|index| self.carriers[index]);
        let moves = self.changed.iter().map(|shard| {
            let Seat { owner, backup } = self.seats[usize::from(*shard)];
            Move { shard: *shard, epoch: cluster.shard(*shard).epoch, owner: id(owner), backup: id(backup) }
        });
        let differs = |step: &Move| {
            let now = cluster.shard(step.shard);
            (now.owner, now.backup) != (step.owner, step.backup)
        };
        moves.filter(differs).collect()
    }
}
