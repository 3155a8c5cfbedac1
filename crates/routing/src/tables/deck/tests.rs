//! A deck holds exactly what was put, however odd, and finds what a plain search finds.

use super::*;
use crate::model::Name;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn deck() -> DeckRows {
    let name: Name = "d".into();
    DeckRows::new(Deck { name, currency: "EUR".parse().expect("it reads") }.into())
}

fn money() -> impl Strategy<Value = Decimal> {
    prop_oneof![
        4 => (0..50_000i64, 0..6u32).prop_map(|(coefficient, scale)| Decimal::new(coefficient, scale)),
        1 => (any::<u32>(), any::<u32>(), any::<u32>(), any::<bool>(), 0..=28u32)
            .prop_map(|(low, middle, high, negative, scale)| Decimal::from_parts(low, middle, high, negative, scale)),
    ]
}

fn price() -> impl Strategy<Value = Price> {
    let steps = prop_oneof![4 => Just((60, 1)), 1 => any::<(u32, u32)>()];
    let moment = || prop::option::of((0..6u64).prop_map(|day| Wall(day * 10)));
    ("[0-2]{0,4}", money(), money(), steps, moment(), moment()).prop_map(
        |(prefix, rate, connect_fee, (initial, next), from, to)| {
            let prefix = prefix.parse().expect("digits");
            Price { prefix, rate, connect_fee, initial, next, from, to }
        },
    )
}

type Model = BTreeMap<(Prefix, Option<Wall>), Price>;

fn fill(deck: &mut DeckRows, model: &mut Model, prices: &[Price]) {
    for price in prices {
        deck.put(price);
        model.insert((price.prefix, price.from), *price);
    }
}

/// By looking at every rate.
fn by_hand(model: &Model, number: Prefix, at: Wall) -> Option<Price> {
    let begun = |price: &&Price| price.from.is_none_or(|from| from <= at);
    let lasts = |price: &&Price| price.to.is_none_or(|to| to > at);
    let fits = model.values().filter(|price| price.prefix.begins(number)).filter(begun).filter(lasts);
    fits.max_by_key(|price| (price.prefix.len(), price.from)).copied()
}

fn text(price: &Price) -> String {
    format!("{price:?}")
}

proptest! {
    #[test]
    fn a_number_finds_its_price(prices in prop::collection::vec(price(), 0..60), calls in prop::collection::vec(("[0-2]{0,6}", 0..70u64), 30)) {
        let (mut deck, mut model) = (deck(), Model::new());
        fill(&mut deck, &mut model, &prices);
        for (number, at) in calls {
            let (number, at) = (Prefix::leading(&number), Wall(at));
            prop_assert_eq!(deck.price(number, at), by_hand(&model, number, at), "{:?} at {:?}", number, at);
        }
    }

    #[test]
    fn what_was_put_is_there_to_the_last_digit(prices in prop::collection::vec(price(), 0..60), gone in prop::collection::vec(price(), 0..60)) {
        let (mut deck, mut model) = (deck(), Model::new());
        fill(&mut deck, &mut model, &prices);
        for price in &gone {
            deck.delete(price.prefix, price.from);
            model.remove(&(price.prefix, price.from));
        }
        prop_assert_eq!(deck.len(), model.len());
        prop_assert!(deck.prices().map(|price| text(&price)).eq(model.values().map(text)));
        prop_assert_eq!(deck.rates.wide.len(), deck.rates.packed.iter().filter(|packed| packed.is_wide()).count());
        for (key, price) in &model {
            prop_assert_eq!(deck.rate(key.0, key.1).map(|rate| text(&rate.price())), Some(text(price)));
        }
    }

    #[test]
    fn the_difference_of_two_decks_is_told(prices in prop::collection::vec(price(), 0..40), more in prop::collection::vec(price(), 0..40), gone in prop::collection::vec(price(), 0..10)) {
        let (mut before, mut was) = (deck(), Model::new());
        fill(&mut before, &mut was, &prices);
        let (mut after, mut is) = (before.clone(), was.clone());
        fill(&mut after, &mut is, &more);
        gone.iter().for_each(|price| {
            after.delete(price.prefix, price.from);
            is.remove(&(price.prefix, price.from));
        });
        let mut told = Vec::new();
        before.rates.differences(&after.rates, |was, is| told.push((was, is)));
        let keys: std::collections::BTreeSet<_> = was.keys().chain(is.keys()).collect();
        let expected: Vec<_> = keys
            .into_iter()
            .map(|key| (was.get(key).copied(), is.get(key).copied()))
            .filter(|(was, is)| was != is)
            .collect();
        prop_assert_eq!(told, expected);
        prop_assert_eq!(before == after, was == is);
    }
}

fn rate(prefix: &str, rate: i64, from: Option<u64>, to: Option<u64>) -> Price {
    let (rate, connect_fee) = (Decimal::new(rate, 4), Decimal::ZERO);
    Price {
        prefix: prefix.parse().expect("digits"),
        rate,
        connect_fee,
        initial: 1,
        next: 1,
        from: from.map(Wall),
        to: to.map(Wall),
    }
}

#[test]
fn the_longest_prefix_that_is_valid_wins_and_of_its_rates_the_newest() {
    let mut deck = deck();
    for price in [
        rate("", 9, None, None),
        rate("44", 10, None, None),
        rate("44", 11, Some(100), None),
        rate("447", 20, Some(50), Some(150)),
        rate("447", 21, Some(120), Some(130)),
        rate("4471", 30, Some(500), None),
    ] {
        deck.put(&price);
    }
    let find =
        |number: &str, at: u64| deck.price(Prefix::leading(number), Wall(at)).expect("the default").rate.mantissa();
    assert_eq!(find("+4420", 99), 10);
    assert_eq!(find("+4420", 100), 11, "`from` is the first moment");
    assert_eq!(find("+4471", 49), 10, "none of the longer prefixes has begun");
    assert_eq!(find("+4471", 125), 21);
    assert_eq!(find("+4471", 130), 20, "`to` is the first moment past it, and the one before still lasts");
    assert_eq!(find("+4471", 150), 11);
    assert_eq!(find("+4471", 500), 30);
    assert_eq!(find("+49", 0), 9);
}

#[test]
fn a_moment_past_every_calendar_is_kept_as_the_last() {
    let mut deck = deck();
    deck.put(&rate("44", 1, Some(u64::MAX), Some(253_402_300_799_999)));
    let kept = deck.prices().next().expect("one");
    assert_eq!((kept.from, kept.to), (Some(Wall(LAST)), Some(Wall(253_402_300_799_999))));
    assert!(deck.rate(kept.prefix, Some(Wall(u64::MAX))).is_some());
}
