//! Against a map of the standard library: same puts and removals, same answers.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const FULL: usize = 256;

#[derive(Clone, Copy, PartialEq, Debug)]
struct Pair(u32, u32);

impl Entry for Pair {
    type Key = u32;
    const FULL: usize = FULL;

    fn key(&self) -> u32 {
        self.0
    }
}

/// What keeps: no empty piece, firsts that are the first keys, a length that is the sum, everything ascending.
fn assert_sound(runs: &Runs<Pair>) {
    assert!(runs.pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= FULL));
    let firsts: Vec<u32> = runs.pieces.iter().map(|piece| piece[0].0).collect();
    assert_eq!(runs.firsts, firsts);
    assert_eq!(runs.len(), runs.iter().count());
    assert!(runs.iter().zip(runs.iter().skip(1)).all(|(a, b)| a.0 < b.0));
}

fn differences(before: &Runs<Pair>, after: &Runs<Pair>) -> BTreeMap<u32, (Option<u32>, Option<u32>)> {
    let mut found = BTreeMap::new();
    walk(before, after, |was, is| {
        if was != is {
            let key = was.or(is).expect("one side").0;
            assert!(found.insert(key, (was.map(|pair| pair.1), is.map(|pair| pair.1))).is_none());
        }
    });
    found
}

#[derive(Clone, Debug)]
enum Step {
    Put(u32, u32),
    Remove(u32),
    /// A block of keys that follow each other, as a load brings them.
    Load(u32, u32),
    /// A block that goes.
    Clear(u32, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..4000u32;
    prop_oneof![
        (key(), any::<u32>()).prop_map(|(key, value)| Step::Put(key, value)),
        key().prop_map(Step::Remove),
        (key(), 0..900u32).prop_map(|(from, count)| Step::Load(from, count)),
        (key(), 0..900u32).prop_map(|(from, count)| Step::Clear(from, count)),
    ]
}

fn run(step: &Step, runs: &mut Runs<Pair>, model: &mut BTreeMap<u32, u32>) {
    let mut put = |key, value| {
        runs.put(Pair(key, value));
        model.insert(key, value);
    };
    match *step {
        Step::Put(key, value) => put(key, value),
        Step::Load(from, count) => (from..from + count).for_each(|key| put(key, key)),
        Step::Remove(key) => assert_eq!(runs.remove(key), model.remove(&key).is_some()),
        Step::Clear(from, count) => {
            (from..from + count).for_each(|key| assert_eq!(runs.remove(key), model.remove(&key).is_some()));
        }
    }
}

proptest! {
    #[test]
    fn it_answers_as_a_map_does(steps in prop::collection::vec(step(), 1..40), probes in prop::collection::vec(0..5000u32, 20)) {
        let (mut runs, mut model) = (Runs::default(), BTreeMap::new());
        for step in &steps {
            run(step, &mut runs, &mut model);
            assert_sound(&runs);
        }
        prop_assert!(runs.iter().map(|pair| (pair.0, pair.1)).eq(model.iter().map(|(key, value)| (*key, *value))));
        for probe in probes {
            prop_assert_eq!(runs.get(probe).map(|pair| pair.1), model.get(&probe).copied());
            let below = model.range(..=probe).next_back().map(|(key, _)| *key);
            let place = runs.last_up_to(probe);
            prop_assert_eq!(place.map(|place| runs.at(place).0), below);
            if let Some(place) = place {
                let before = model.range(..runs.at(place).0).next_back().map(|(key, _)| *key);
                prop_assert_eq!(runs.before(place).map(|place| runs.at(place).0), before);
                let third = probe / 3;
                let nearer = (third <= runs.at(place).0).then(|| runs.last_up_to_before(place, third));
                if let Some(nearer) = nearer {
                    prop_assert_eq!(nearer, runs.last_up_to(third));
                }
            }
        }
    }

    #[test]
    fn a_walk_tells_what_differs(load in prop::collection::vec(step(), 1..12), steps in prop::collection::vec(step(), 0..12)) {
        let (mut before, mut was) = (Runs::default(), BTreeMap::new());
        load.iter().for_each(|step| run(step, &mut before, &mut was));
        let (mut after, mut is) = (before.clone(), was.clone());
        steps.iter().for_each(|step| run(step, &mut after, &mut is));
        let keys = was.keys().chain(is.keys());
        let expected: BTreeMap<_, _> = keys
            .map(|key| (*key, (was.get(key).copied(), is.get(key).copied())))
            .filter(|(_, (was, is))| was != is)
            .collect();
        prop_assert_eq!(differences(&before, &after), expected);
        prop_assert!(before.iter().map(|pair| pair.1).eq(was.into_values()), "the clone changed the first");
    }
}

#[test]
fn a_small_change_touches_one_piece() {
    let mut before = Runs::default();
    before.extend((0..100_000).map(|key| Pair(key, 0)));
    assert_eq!(before.pieces.len(), 100_000usize.div_ceil(FULL), "a load in order fills every piece");
    let mut after = before.clone();
    after.put(Pair(50_000, 1));
    let shared = before.pieces.iter().zip(&after.pieces).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
    assert_eq!(shared + 1, before.pieces.len());
    let mut looked_at = 0;
    walk(&before, &after, |_, _| looked_at += 1);
    assert!(looked_at <= FULL, "{looked_at} entries were looked at");
    assert_eq!(differences(&before, &after), BTreeMap::from([(50_000, (Some(0), Some(1)))]));
}

#[test]
fn puts_in_no_order_leave_little_room_empty() {
    let mut runs = Runs::default();
    // A multiplier without a factor in common with 2^17 visits every key once.
    runs.extend((0..1u32 << 17).map(|at| Pair(at.wrapping_mul(40_503) % (1 << 17), at)));
    assert_sound(&runs);
    let room = |runs: &Runs<Pair>| runs.pieces.iter().map(|piece| piece.capacity()).sum::<usize>();
    assert!(room(&runs) * 3 < runs.len() * 4, "room for {}, {} there", room(&runs), runs.len());
    (0..1u32 << 17).filter(|key| key % 3 == 0).for_each(|key| assert!(runs.remove(key)));
    assert!(room(&runs) * 2 <= runs.len() * 3, "room for {}, {} there", room(&runs), runs.len());
    (0..1u32 << 17).filter(|key| key % 3 != 0 && key % 64 != 0).for_each(|key| assert!(runs.remove(key)));
    assert_sound(&runs);
    assert!(runs.pieces.len() < 2 * runs.len().div_ceil(FULL / 4), "{} pieces", runs.pieces.len());
}
