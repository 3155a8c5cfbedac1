//! Where new calls are named: in shards of this node, for a while in those of one backup and then of another. The states of calls
//! that begin together so travel together, which costs both nodes less than as many small batches to everybody.

use rand::Rng;
use routing::cluster::NodeId;
use sip::clock::Instant;
use std::time::Duration;

/// How long it is one backup's turn: long beside the time from a call to its answer, so that both find others on the same way.
const TURN: Duration = Duration::from_millis(500);

/// A shard, and the epoch in which this node owns it.
pub(super) type Place = (u16, u32);

/// See the module.
#[derive(Default)]
pub(super) struct Minting {
    /// Those with the same backup next to each other.
    shards: Vec<Place>,
    /// Where those of each backup end.
    ends: Vec<usize>,
}

impl Minting {
    /// Of these shards, each with its backup.
    pub(super) fn new(mut shards: Vec<(Option<NodeId>, Place)>) -> Self {
        shards.sort_unstable();
        let by_backup = shards.chunk_by(|(backup, _), (next, _)| backup == next);
        let ends = by_backup.scan(0, |end, group| {
            *end += group.len();
            Some(*end)
        });
        Self { ends: ends.collect(), shards: shards.iter().map(|(_, shard)| *shard).collect() }
    }

    /// All of them.
    pub(super) fn shards(&self) -> &[Place] {
        &self.shards
    }

    /// One of the shards of the backup whose turn it is; each backup has as many turns as it has shards. `None` without any shard.
    pub(super) fn pick(&self, random: &mut impl Rng, now: Instant) -> Option<Place> {
        /// 2^64 by the golden ratio: its multiples fall as evenly as any do.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let turn = now.as_micros() / u64::try_from(TURN.as_micros()).unwrap_or(u64::MAX);
        let part = u128::from(turn.wrapping_mul(STEP));
        let place = usize::try_from((part * self.shards.len() as u128) >> u64::BITS).ok()?;
        let group = self.ends.partition_point(|end| *end <= place);
        let (begin, end) = (group.checked_sub(1).map_or(0, |before| self.ends[before]), *self.ends.get(group)?);
        self.shards.get(random.random_range(begin..end)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::{BTreeMap, BTreeSet};

    fn at(turn: u64) -> Instant {
        Instant::from_micros(turn * 500_000 + 1)
    }

    #[test]
    fn calls_of_one_moment_have_one_backup_and_all_backups_have_their_share() {
        // 300 shards of node 2, 100 of node 3 and 20 without a backup, in no order.
        let backup = |shard: u16| match shard % 21 {
            0 => None,
            of if of % 4 == 1 => Some(3),
            _ => Some(2),
        };
        let minting = Minting::new((0..420).map(|shard| (backup(shard), (shard, 7))).collect());
        let mut random = StdRng::seed_from_u64(1);
        let (mut turns, mut seen) = (BTreeMap::<_, usize>::new(), BTreeSet::new());
        for turn in 0..4_200 {
            let picked: Vec<Place> = (0..9).filter_map(|_| minting.pick(&mut random, at(turn))).collect();
            assert!(picked.len() == 9 && picked.iter().all(|(_, epoch)| *epoch == 7));
            let backups: BTreeSet<_> = picked.iter().map(|(shard, _)| backup(*shard)).collect();
            assert_eq!(backups.len(), 1, "in turn {turn}: {backups:?}");
            *turns.entry(backups.into_iter().next().flatten()).or_default() += 1;
            seen.extend(picked);
        }
        for of in [None, Some(2), Some(3)] {
            let share = 10 * (0..420).filter(|shard| backup(*shard) == of).count();
            let had = turns[&of];
            assert!(had.abs_diff(share) < 20, "{of:?} had {had} turns of {share}");
        }
        assert_eq!(seen.len(), 420, "every shard is named in");
    }

    #[test]
    fn without_shards_nothing_is_named() {
        let mut random = StdRng::seed_from_u64(1);
        assert_eq!(Minting::new(Vec::new()).pick(&mut random, at(3)), None);
        assert_eq!(Minting::default().pick(&mut random, at(3)), None);
        let one = Minting::new(vec![(Some(2), (5, 1))]);
        assert!((0..100).all(|turn| one.pick(&mut random, at(turn)) == Some((5, 1))));
    }
}
