//! A plan of a million prefixes: how long it loads, how much it weighs, and how fast a number finds its route.
//!
//! Criterion gives the mean; the percentiles are our own, one reading of the clock around each look-up, so that they hold
//! the clock's own cost (printed beside them).
#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark reports on its standard output")]

use criterion::{Criterion, criterion_group, criterion_main};
use routing::index::PrefixIndex;
use routing::model::{Egress, Gateway, Order, PlanHead, Route, RouteTrunk, Transport, Trunk};
use routing::{Origin, Prefix, Query, Row, Tables, View};
use sip::clock::Wall;
use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

const PREFIXES: usize = 1_000_000;
const LOOKUPS: usize = 200_000;

/// A small seeded source, so that every run sees the same plan.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(self.0) * u128::from(limit)) >> 64) as u64
    }

    fn digits(&mut self, count: u64) -> String {
        (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }
}

/// Like a world-wide deck: most prefixes lie in a few countries, three to eleven digits long.
fn prefixes() -> Vec<Prefix> {
    let mut chance = Chance(7);
    let mut set = BTreeSet::new();
    while set.len() < PREFIXES {
        let country = ["1", "44", "49", "86", "91"][chance.below(5) as usize].to_owned();
        let head = if chance.below(3) == 0 { chance.digits(2) } else { country };
        let more = 1 + chance.below(9);
        set.insert((head + &chance.digits(more)).parse::<Prefix>().expect("digits"));
    }
    set.into_iter().collect()
}

fn numbers(prefixes: &[Prefix]) -> Vec<String> {
    let mut chance = Chance(11);
    let pick = |chance: &mut Chance| prefixes[chance.below(prefixes.len() as u64) as usize].to_string();
    (0..LOOKUPS)
        .map(|_| {
            let mut number = pick(&mut chance);
            number.push_str(&chance.digits(12u64.saturating_sub(number.len() as u64)));
            format!("+{number}")
        })
        .collect()
}

/// Nanoseconds at the 50th, 99th and 99.9th percentile of what `look` takes.
fn percentiles(what: &str, numbers: &[String], mut look: impl FnMut(&str)) {
    let mut times: Vec<u128> = numbers
        .iter()
        .map(|number| {
            // A call has just parsed its number: it lies in the cache, unlike the plan.
            black_box(number.bytes().fold(0u8, u8::wrapping_add));
            let start = Instant::now();
            look(number);
            start.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{what}: p50 {} ns, p99 {} ns, p99.9 {} ns", at(0.5), at(0.99), at(0.999));
}

fn rows(prefixes: &[Prefix]) -> Vec<Vec<u8>> {
    let trunks: Vec<std::sync::Arc<[RouteTrunk]>> = (0..20)
        .map(|at| {
            let item =
                |at: usize| RouteTrunk { trunk: format!("t{at}").into(), priority: None, weight: 100, hairpin: false };
            vec![item(at % 20), item((at + 1) % 20)].into()
        })
        .collect();
    let row = |at: usize, prefix: Prefix| {
        Row::Route(Route { plan: "world".into(), prefix, trunks: trunks[at % 20].clone(), hours: None })
    };
    prefixes.iter().enumerate().map(|(at, prefix)| postcard::to_allocvec(&row(at, *prefix)).expect("a row")).collect()
}

fn load(stored: &[Vec<u8>]) -> Tables {
    let mut tables = Tables::default();
    for at in 0..20 {
        let address = format!("192.0.2.{at}").into();
        let gateway = Gateway { address, transport: Transport::Udp, priority: 1, weight: 100, ping_seconds: 0 };
        let egress = Some(Egress { gateways: vec![gateway], ..Egress::default() });
        tables.put(Row::Trunk(Trunk { egress, ..Trunk::named(&format!("t{at}")) }.into()));
    }
    tables.put(Row::Plan(PlanHead { name: "world".into(), order: Order::Priority, margin: None }.into()));
    for bytes in stored {
        tables.put(postcard::from_bytes(bytes).expect("a row"));
    }
    tables
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    println!("{what}: {} ms", start.elapsed().as_millis());
    done
}

fn bench(c: &mut Criterion) {
    let prefixes = prefixes();
    let numbers = numbers(&prefixes);
    let index = timed("build the index of 1,000,000 prefixes", || {
        PrefixIndex::build(prefixes.iter().map(|prefix| (*prefix, 1)))
    });
    println!("memory: {:.1} bytes a prefix", index.heap_bytes() as f64 / index.len() as f64);
    let stored = rows(&prefixes);
    let tables = timed("load 1,000,000 routes from stored rows", || load(&stored));
    let view = timed("build the view", || View::build(&tables, 1));
    timed("validate", || tables.validate().expect("valid"));

    percentiles("the clock alone", &numbers, |number| {
        black_box(number);
    });
    percentiles("longest prefix", &numbers, |number| {
        black_box(index.longest(Prefix::leading(number)));
    });
    let origin = Trunk {
        ingress: Some(routing::model::Ingress { plan: Some("world".into()), ..Default::default() }),
        ..Trunk::named("caller")
    };
    let plan = |called: &str| {
        let query = Query {
            origin: Origin::Trunk(&origin),
            called,
            caller: "+442071230000",
            at: Wall(0),
            seed: 1,
            explain: false,
        };
        black_box(view.plan(&query)).is_ok()
    };
    assert!(numbers.iter().all(|number| plan(number)));
    percentiles("a whole call planned", &numbers, |number| {
        black_box(plan(number));
    });

    let mut at = 0;
    let mut next = || {
        at = (at + 1) % numbers.len();
        &numbers[at]
    };
    c.bench_function("longest prefix of 1,000,000", |b| b.iter(|| index.longest(Prefix::leading(black_box(next())))));
    c.bench_function("plan a call by 1,000,000", |b| b.iter(|| plan(black_box(next()))));
}

criterion_group!(benches, bench);
criterion_main!(benches);
