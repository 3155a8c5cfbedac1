//! The prefix index against a search through all prefixes.

use proptest::prelude::*;
use routing::Prefix;
use routing::index::PrefixIndex;
use std::collections::BTreeMap;

/// Few digits and short prefixes, so that many of them begin each other.
fn prefix() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[0-2]{0,6}", 1 => "[0-9*#]{0,15}"]
}

proptest! {
    #[test]
    fn the_index_finds_what_a_search_finds(
        prefixes in prop::collection::vec(prefix(), 0..200),
        numbers in prop::collection::vec(prefix(), 1..50),
    ) {
        let set: BTreeMap<Prefix, u32> =
            prefixes.iter().zip(0..).map(|(text, value)| (text.parse().unwrap(), value)).collect();
        let index = PrefixIndex::build(set.iter().map(|(prefix, value)| (*prefix, *value)));
        prop_assert_eq!(index.len(), set.len());
        for text in numbers {
            let number = Prefix::leading(&text);
            let mut naive: Vec<(Prefix, u32)> = set
                .iter()
                .filter(|(prefix, _)| number.to_string().starts_with(&prefix.to_string()))
                .map(|(prefix, value)| (*prefix, *value))
                .collect();
            naive.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            prop_assert_eq!(index.matches(number).collect::<Vec<_>>(), naive);
        }
    }

    #[test]
    fn packed_digits_are_ordered_as_text_of_digits(a in "[0-9]{0,15}", b in "[0-9]{0,15}") {
        let (x, y): (Prefix, Prefix) = (a.parse().unwrap(), b.parse().unwrap());
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        prop_assert_eq!(x.to_string(), a.clone());
        prop_assert_eq!(x.begins(y), b.starts_with(&a));
        prop_assert_eq!(Prefix::of_word(x.word()), Some(x));
    }
}

#[test]
fn a_number_longer_than_any_prefix_is_found_by_its_head() {
    let index = PrefixIndex::build([(Prefix::EMPTY, 1), ("44".parse().unwrap(), 2)].into_iter());
    assert_eq!(index.longest(Prefix::leading("+44207123000012345678")).map(|(_, value)| value), Some(2));
    assert_eq!(index.longest(Prefix::leading("+4")).map(|(_, value)| value), Some(1));
    assert_eq!(PrefixIndex::default().longest(Prefix::leading("44")), None);
}

#[test]
fn the_index_costs_less_than_thirty_bytes_a_prefix() {
    let mut set: Vec<Prefix> =
        (0..50_000u64).map(|at| (at * 7_919_777 % 10_000_000_000).to_string().parse().unwrap()).collect();
    set.sort_unstable();
    set.dedup();
    let index = PrefixIndex::build(set.iter().map(|prefix| (*prefix, 0)));
    assert!(index.heap_bytes() < 30 * index.len(), "{} bytes for {}", index.heap_bytes(), index.len());
}
