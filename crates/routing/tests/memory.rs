//! What a rate and a ported number weigh: a node keeps millions of them, and each change beside the last.

#![allow(unsafe_code, reason = "a global allocator that counts cannot be written otherwise")]

use routing::model::{Deck, Ported, Price};
use routing::{Change, E164, Row, Tables, Touched, View};
use rust_decimal::Decimal;
use sip::clock::Wall;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: usize, sign: isize) {
    let bytes = isize::try_from(bytes).unwrap_or(isize::MAX) * sign;
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const RATES: u64 = 1_000_000;
/// Of what is put in no order, which takes longer.
const SOME: u64 = 200_000;

/// What `make` leaves allocated, a row.
fn weight<T>(rows: u64, make: impl FnOnce() -> T) -> (T, f64) {
    let before = LIVE.get();
    let made = make();
    (made, (LIVE.get() - before) as f64 / rows as f64)
}

/// Visits every number below [`SOME`] once: the multiplier has no factor in common with it.
fn shuffled(at: u64) -> u64 {
    at * 618_033 % SOME
}

fn price(at: u64) -> Price {
    Price {
        prefix: (1_000_000 + at).to_string().parse().expect("digits"),
        rate: Decimal::new(at as i64, 6),
        connect_fee: Decimal::new(at as i64 % 7, 2),
        initial: 60,
        next: 60,
        from: Some(Wall(1_767_225_600_000 + at)),
        to: Some(Wall(1_798_761_600_000)),
    }
}

fn row(at: u64) -> Row {
    Row::Rate(price(at).of_deck(&"d".into()).into())
}

fn head() -> Tables {
    let mut tables = Tables::default();
    let currency = "EUR".parse().expect("it reads");
    tables.put(Row::Deck(Deck { name: "d".into(), currency }.into()));
    tables
}

#[test]
fn a_rate_weighs_at_most_sixty_bytes_with_the_view() {
    let load = |rows: u64, order: fn(u64) -> u64| {
        weight(rows, || {
            let mut tables = head();
            tables.put_rates("d", (0..rows).map(order).map(price));
            let view = View::build(&tables, 1);
            (tables, view)
        })
    };
    let (_, in_no_order) = load(SOME, shuffled);
    let ((tables, view), in_order) = load(RATES, |at| at);
    assert_eq!(tables.decks()["d"].len() as u64, RATES);
    println!("a rate: {in_order:.1} bytes in order, {in_no_order:.1} in no order");
    assert!(in_order <= 42.0, "{in_order} bytes a rate put in order");
    assert!(in_no_order <= 60.0, "{in_no_order} bytes a rate put in no order");

    // The view that calls still hold and the one after a small change share all but a piece.
    let (_, beside) = weight(1, || {
        let change = Change { put: vec![row(500_000), row(2_000_000)], delete: vec![row(7).key()] };
        let mut after = tables.clone();
        after.apply(&change).expect("it applies");
        let view = View::rebuild(&view, &after, &Touched::by(&change), 2);
        (after, view)
    });
    println!("a change of three rates: {beside} bytes");
    assert!(beside < 300_000.0, "{beside} bytes for a change of three rates");
}

#[test]
fn a_ported_number_weighs_at_most_twenty_four_bytes_with_the_view() {
    let number = |at: u64| -> E164 { format!("+44{}", 1_000_000 + at).parse().expect("it reads") };
    let fill = |order: fn(u64) -> u64| {
        weight(SOME, || {
            let mut tables = Tables::default();
            (0..SOME).map(order).for_each(|at| {
                tables.put(Row::Ported(Ported { number: number(at), lrn: number(at % 100) }));
            });
            let view = View::build(&tables, 1);
            (tables, view)
        })
    };
    let ((tables, view), in_order) = fill(|at| at);
    assert_eq!((tables.ported().len() as u64, view.lrn(number(5))), (SOME, Some(number(5))));
    let (_, in_no_order) = fill(shuffled);
    assert!(in_order <= 17.0, "{in_order} bytes a number put in order");
    assert!(in_no_order <= 24.0, "{in_no_order} bytes a number put in no order");
    println!("a ported number: {in_order:.1} bytes in order, {in_no_order:.1} in no order");
}
