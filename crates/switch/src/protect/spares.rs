//! When a second copy of a call is handed to the owner of its shard: only once the first copy cannot come any more, or has had
//! its time to come.
//!
//! The second copy may be a state behind, and knows nothing of what became of the call with an owner in between. So it waits,
//! unless the first copy is gone and nobody owned the shard since.

use super::said::Life;
use routing::cluster::{NodeId, Shard};
use sip::clock::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// The first copy, which is handed over within milliseconds, gets so long after the shard has changed its owner.
const FIRST: Duration = Duration::from_secs(2);

/// Since when each shard of a life that is over has had the owner that it has.
#[derive(Default)]
pub(super) struct Spares(BTreeMap<(Life, u16), (Option<NodeId>, u32, Instant)>);

impl Spares {
    /// Whether the second copy of a call of `life` may go to the owner of its shard. `is_first_up`: whether the node with the first
    /// copy is.
    pub(super) fn is_due(&mut self, now: Instant, life: Life, shard: &Shard, number: u16, is_first_up: bool) -> bool {
        let seen = self.0.entry((life, number)).or_insert((shard.owner, shard.epoch, now));
        if (seen.0, seen.1) != (shard.owner, shard.epoch) {
            *seen = (shard.owner, shard.epoch, now);
        }
        let begun = shard.epoch.saturating_sub(1);
        let is_direct = shard.owner != Some(life.node) && shard.owner_at(begun) == Some(life.node);
        !is_first_up && is_direct || now.since(seen.2) >= FIRST
    }

    /// Forgets all lives but these.
    pub(super) fn retain(&mut self, keep: impl Fn(&Life) -> bool) {
        self.0.retain(|(life, _), _| keep(life));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const LIFE: Life = Life { node: 1, incarnation: 1 };

    fn at(ms: u64) -> Instant {
        Instant::from_micros(10_000_000 + ms * 1_000)
    }

    fn shard(owner: NodeId, past: &[(u32, NodeId)]) -> Shard {
        let epoch = past.last().map_or(1, |(epoch, _)| epoch + 1);
        Shard { owner: Some(owner), backup: None, epoch, past: past.to_vec() }
    }

    #[test]
    fn a_second_copy_gives_the_first_one_its_time() {
        let mut spares = Spares::default();
        assert!(!spares.is_due(at(0), LIFE, &shard(1, &[]), 7, true), "nobody else owns it yet");
        assert!(!spares.is_due(at(1_900), LIFE, &shard(2, &[(1, 1)]), 7, true), "the first copy is on its way");
        assert!(!spares.is_due(at(3_800), LIFE, &shard(2, &[(1, 1)]), 7, true), "counted from the change of the owner");
        assert!(spares.is_due(at(3_900), LIFE, &shard(2, &[(1, 1)]), 7, true), "it never came");
        spares.retain(|_| false);
        assert!(!spares.is_due(at(9_000), LIFE, &shard(2, &[(1, 1)]), 7, true), "forgotten, so counted anew");
    }

    #[test]
    fn where_the_first_copy_is_gone_the_second_goes_at_once_unless_somebody_owned_the_shard_meanwhile() {
        let mut spares = Spares::default();
        assert!(spares.is_due(at(0), LIFE, &shard(2, &[(1, 1)]), 7, false));
        let later = shard(3, &[(1, 1), (2, 2)]);
        assert!(!spares.is_due(at(1), LIFE, &later, 7, false), "node 2 may have taken the call, and ended it");
        assert!(spares.is_due(at(2_001), LIFE, &later, 7, false));
        assert!(!spares.is_due(at(0), LIFE, &shard(1, &[]), 8, false), "it is its own still");
    }
}
