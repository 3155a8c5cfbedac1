//! A deck of a million rates and as many ported numbers: how long they are read, loaded, changed, packed, and how fast a
//! number finds its rate.
//!
//! `cargo bench -p routing --bench deck`. Times but criterion's are those that the thread computed.
#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark reports on its standard output")]

use criterion::{Criterion, criterion_group, criterion_main};
use routing::import::{List, Ported as PortedFile, RateList, RateOptions, Rates};
use routing::model::{Deck, Ported, Price};
use routing::{Change, E164, Prefix, Row, RowKey, Tables, Touched, View, block};
use rust_decimal::Decimal;
use sip::clock::Wall;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::hint::black_box;
use std::path::Path;

const ROWS: usize = 1_000_000;
const LOOKUPS: usize = 200_000;
const NEW_YEAR: u64 = 1_767_225_600_000;

/// A small seeded source, so that every run sees the same deck.
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
fn prices() -> Vec<Price> {
    let mut chance = Chance(7);
    let mut set = BTreeSet::new();
    while set.len() < ROWS {
        let country = ["1", "44", "49", "86", "91"][chance.below(5) as usize].to_owned();
        let head = if chance.below(3) == 0 { (20 + chance.below(80)).to_string() } else { country };
        let more = 1 + chance.below(9);
        set.insert((head + &chance.digits(more)).parse::<Prefix>().expect("digits"));
    }
    let price = |prefix| Price {
        prefix,
        rate: Decimal::new(chance.below(5_000) as i64, 4),
        connect_fee: Decimal::ZERO,
        initial: 60,
        next: 1,
        from: Some(Wall(NEW_YEAR)),
        to: None,
    };
    set.into_iter().map(price).collect()
}

fn numbers(prices: &[Price]) -> Vec<Prefix> {
    let mut chance = Chance(11);
    let number = |_| {
        let mut number = prices[chance.below(prices.len() as u64) as usize].prefix.to_string();
        number.push_str(&chance.digits(12u64.saturating_sub(number.len() as u64)));
        Prefix::leading(&number)
    };
    (0..LOOKUPS).map(number).collect()
}

fn file(prices: &[Price]) -> String {
    let mut text = "Destination,Code,Price,Increment,Effective Date\n".to_owned();
    for price in prices {
        let _ = writeln!(text, "Somewhere mobile,{},{},60/1,2026-01-01", price.prefix, price.rate);
    }
    text
}

fn head() -> Tables {
    let mut tables = Tables::default();
    tables.put(Row::Deck(Deck { name: "d".into(), currency: "EUR".parse().expect("it reads") }.into()));
    tables
}

/// Nanoseconds that this thread has computed: unlike the clock, it leaves out what others took of a busy machine.
/// The kernel counts at its ticks, so what takes less than some milliseconds is repeated.
fn computed() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with schedstat");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("nanoseconds")
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = computed();
    let done = work();
    println!("{what}: {:.2} ms", (computed() - start) / 1e6);
    done
}

fn whole_decks(prices: &[Price]) -> Tables {
    let text = file(prices);
    let list = timed("read a file of 1,000,000 rates", || {
        let mut reader = Rates::new(Path::new("r.csv"), RateOptions { deck: "d".into(), from: None, replace: false });
        text.as_bytes().chunks(64 * 1024).for_each(|piece| reader.feed(piece));
        reader.finish().expect("a good file")
    });
    let empty = head();
    let change = timed("make a change of it", || list.change(&empty).expect("it applies"));
    let mut tables = empty.clone();
    let start = computed();
    timed("apply and validate it", || tables.apply(&change).expect("valid"));
    let view = timed("rebuild the view", || View::rebuild(&View::build(&empty, 1), &tables, &Touched::by(&change), 2));
    println!("apply, validate and rebuild together: {:.1} ms", (computed() - start) / 1e6);
    let inverse = timed("its inverse", || change.inverse(&empty));
    assert_eq!(inverse.delete.len(), ROWS);
    timed("apply the inverse", || tables.clone().apply(&inverse).expect("valid"));
    assert_eq!(timed("a difference of nothing in common", || empty.diff(&tables)).put.len(), ROWS);
    assert_eq!(timed("sum up against itself", || list.summary(&tables)).same, ROWS);

    let one = Price { rate: Decimal::new(1, 0), ..prices[ROWS / 2] };
    let one = Change { put: vec![Row::Rate(one.of_deck(&"d".into()).into())], delete: vec![RowKey::Deck("x".into())] };
    let mut after = tables.clone();
    timed("apply a change of one rate, 1,000 times", || {
        for _ in 0..1000 {
            after = tables.clone();
            after.apply(&one).expect("valid");
        }
    });
    assert_eq!(timed("the difference of one rate", || tables.diff(&after)).put.len(), 1);
    timed("rebuild the view for one rate", || View::rebuild(&view, &after, &Touched::by(&one), 3));

    let blocks: Vec<Vec<u8>> = timed("pack blocks", || list.blocks().collect());
    let bytes: usize = blocks.iter().map(Vec::len).sum();
    println!("a packed rate: {:.2} bytes", bytes as f64 / ROWS as f64);
    timed("unpack blocks", || blocks.iter().for_each(|block| drop(black_box(block::decode_rates(block)))));
    let mut there = RateList::new("d".into(), true);
    timed("unpack blocks into a list", || blocks.iter().for_each(|block| there.add_block(block).expect("a block")));
    let mut loaded = head();
    timed("put a list into tables", || there.put_into(&mut loaded));
    assert!(timed("compare with other tables", || loaded == tables));
    tables
}

fn whole_ported() {
    let mut text = "number,lrn\n".to_owned();
    for at in 0..ROWS {
        let _ = writeln!(text, "+4420{},+4499{:02}", 10_000_000 + at, at % 40);
    }
    let list = timed("read a file of 1,000,000 ported numbers", || {
        let mut reader = PortedFile::new(Path::new("p.csv"), false);
        reader.feed(text.as_bytes());
        reader.finish().expect("a good file")
    });
    let blocks: Vec<Vec<u8>> = list.blocks().collect();
    println!("a packed number: {:.2} bytes", blocks.iter().map(Vec::len).sum::<usize>() as f64 / ROWS as f64);
    timed("unpack blocks of them", || blocks.iter().for_each(|block| drop(black_box(block::decode_ported(block)))));
}

/// Ten million, put one after the other in no order: the worst that a load can be.
fn ported_in_no_order() {
    let number = |at: u64| -> E164 { format!("+44{}", 1_000_000_000 + at).parse().expect("it reads") };
    let lrn = number(0);
    let rows: Vec<Ported> =
        (0..10_000_000u64).map(|at| Ported { number: number(at * 618_033_989 % 10_000_000), lrn }).collect();
    let mut tables = Tables::default();
    timed("put 10,000,000 ported numbers in no order", || tables.put_ported(rows.iter().copied()));
    let one = Change { put: vec![Row::Ported(Ported { number: lrn, lrn: number(1) })], delete: vec![] };
    timed("apply a change of one of them, 100 times", || {
        (0..100).for_each(|_| tables.clone().apply(&one).expect("valid"));
    });
}

/// Nanoseconds a look-up, the best of several rounds.
fn best_round(view: &View, numbers: &[Prefix]) -> f64 {
    let round = || {
        let start = computed();
        for number in numbers {
            black_box(view.price("d", black_box(*number), Wall(NEW_YEAR)));
        }
        (computed() - start) / numbers.len() as f64
    };
    (0..20).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn bench(c: &mut Criterion) {
    let prices = prices();
    let numbers = numbers(&prices);
    let tables = whole_decks(&prices);
    whole_ported();
    let view = View::build(&tables, 1);
    println!("the rate of a number, best of 20 rounds: {:.0} ns", best_round(&view, &numbers));
    let mut at = 0;
    let mut next = || {
        at = (at + 1) % numbers.len();
        numbers[at]
    };
    c.bench_function("the rate of a number among 1,000,000", |b| {
        b.iter(|| view.price("d", black_box(next()), Wall(NEW_YEAR)).expect("a rate"));
    });
    ported_in_no_order();
}

criterion_group!(benches, bench);
criterion_main!(benches);
