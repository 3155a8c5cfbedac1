//! The order in which the trunks of a route are tried.

use crate::model::{Order, RouteTrunk};
use smallvec::SmallVec;

/// The trunks of a list in the order of trying.
pub(super) type Ordered<'a> = SmallVec<[&'a RouteTrunk; 8]>;

/// Lower priority first, equal ones shuffled by weight. `weight` takes all as equal; `cost` and `quality` are as `priority`
/// while nothing is rated or measured.
pub(super) fn order(trunks: &[RouteTrunk], by: Order, seed: u64) -> Ordered<'_> {
    let priority = |at: usize, item: &RouteTrunk| match by {
        Order::Weight => 0,
        Order::Priority | Order::Cost | Order::Quality => {
            item.priority.map_or_else(|| u32::try_from(at + 1).unwrap_or(u32::MAX), u32::from)
        }
    };
    let mut rest: SmallVec<[(u32, &RouteTrunk); 8]> =
        trunks.iter().enumerate().map(|(at, item)| (priority(at, item), item)).collect();
    rest.sort_by_key(|(priority, _)| *priority);
    let mut chance = SplitMix(seed);
    for at in 0..rest.len() {
        let equal = rest[at..].iter().take_while(|(priority, _)| *priority == rest[at].0).count();
        if equal > 1 {
            let chosen = at + draw(rest[at..at + equal].iter().map(|(_, item)| item.weight), &mut chance);
            rest[at..=chosen].rotate_right(1);
        }
    }
    rest.into_iter().map(|(_, item)| item).collect()
}

/// Which of these weights is drawn; the first if all are 0.
fn draw(weights: impl Iterator<Item = u16> + Clone, chance: &mut SplitMix) -> usize {
    let total: u64 = weights.clone().map(u64::from).sum();
    if total == 0 {
        return 0;
    }
    let mut point = chance.below(total);
    for (at, weight) in weights.enumerate() {
        let weight = u64::from(weight);
        if point < weight {
            return at;
        }
        point -= weight;
    }
    0
}

/// A small seeded source (Steele, Lea and Flood, 2014): good enough to share calls out, no use for secrets.
struct SplitMix(u64);

impl SplitMix {
    /// Evenly from 0 to `limit` − 1.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        // The high half of the product is even enough while `limit` is far below 2^64.
        u64::try_from((u128::from(word) * u128::from(limit)) >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(trunk: &str, priority: Option<u16>, weight: u16) -> RouteTrunk {
        RouteTrunk { trunk: trunk.into(), priority, weight, hairpin: false }
    }

    fn names(trunks: &[RouteTrunk], by: Order, seed: u64) -> String {
        order(trunks, by, seed).iter().map(|item| &*item.trunk).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_order_of_the_list_is_the_order_of_trying() {
        let list = [item("a", None, 1), item("b", None, 1000), item("c", None, 5)];
        for seed in 0..50 {
            assert_eq!(names(&list, Order::Priority, seed), "a b c");
        }
    }

    #[test]
    fn a_written_priority_moves_a_trunk() {
        let list = [item("a", Some(5), 1), item("b", None, 1), item("c", Some(1), 1)];
        assert_eq!(names(&list, Order::Priority, 0), "c b a");
    }

    #[test]
    fn equal_priorities_share_by_weight() {
        let list = [item("a", Some(1), 30), item("b", Some(1), 70), item("last", Some(2), 1000)];
        let first_is_a = (0..10_000).filter(|seed| names(&list, Order::Priority, *seed) == "a b last").count();
        let first_is_b = (0..10_000).filter(|seed| names(&list, Order::Priority, *seed) == "b a last").count();
        assert_eq!(first_is_a + first_is_b, 10_000);
        assert!((2_800..3_200).contains(&first_is_a), "{first_is_a}");
    }

    #[test]
    fn weight_zero_comes_last_among_equals() {
        let list = [item("spare", Some(1), 0), item("a", Some(1), 1)];
        for seed in 0..50 {
            assert_eq!(names(&list, Order::Priority, seed), "a spare");
        }
    }

    #[test]
    fn order_weight_shuffles_the_whole_list() {
        let list = [item("a", Some(1), 50), item("b", Some(9), 50)];
        assert!((0..50).any(|seed| names(&list, Order::Weight, seed) == "b a"));
        assert!((0..50).any(|seed| names(&list, Order::Weight, seed) == "a b"));
    }

    #[test]
    fn one_seed_gives_one_order() {
        let list: Vec<_> = (0..20).map(|at| item(&at.to_string(), Some(1), 10)).collect();
        assert_eq!(names(&list, Order::Priority, 7), names(&list, Order::Priority, 7));
        assert_ne!(names(&list, Order::Priority, 7), names(&list, Order::Priority, 8));
    }
}
