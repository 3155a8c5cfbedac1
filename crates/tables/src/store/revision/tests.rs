//! A revision of many rows is there whole or not at all, wherever its writing ends.

use super::*;
use crate::Storage;
use crate::store::{change, inverse, load};
use routing::model::{Deck, Ported, Rate};
use routing::{E164, Row};
use sip::clock::Wall;
use std::sync::Arc;

fn deck(name: &str) -> Row {
    Row::Deck(Arc::new(Deck { name: name.into(), currency: "EUR".parse().expect("a currency") }))
}

fn rate(deck: &str, number: u64, initial: u32) -> Row {
    let prefix = (1_000_000_000 + number).to_string().parse().expect("digits");
    let (rate, connect_fee) = Default::default();
    let rate = Rate { deck: deck.into(), prefix, rate, connect_fee, initial, next: 1, from: None, to: None };
    Row::Rate(Arc::new(rate))
}

fn ported(number: u64, lrn: u64) -> Row {
    let of = |number: u64| -> E164 { format!("+{}", 44_700_000_000 + number).parse().expect("a number") };
    Row::Ported(Ported { number: of(number), lrn: of(lrn) })
}

fn tables(rows: impl IntoIterator<Item = Row>) -> Tables {
    let mut tables = Tables::default();
    rows.into_iter().for_each(|row| tables.put(row));
    tables
}

/// Many rows, some megabytes of each kind.
fn before() -> Tables {
    let kept = (0..60_000).map(|number| rate("kept", number, 1));
    let gone = (0..2_000).map(|number| rate("gone", number, 1));
    let ported = (0..60_000).map(|number| ported(number, 7));
    tables([deck("gone"), deck("kept")].into_iter().chain(kept).chain(gone).chain(ported))
}

/// As many, most of which are other ones.
fn after() -> Tables {
    let kept = (0..60_000).filter(|number| number % 3 != 0).map(|number| rate("kept", number, 1 + (number % 2) as u32));
    let new = (0..50_000).map(|number| rate("new", number, 1));
    let ported = (30_000..90_000).map(|number| ported(number, 8));
    tables([deck("kept"), deck("new")].into_iter().chain(kept).chain(new).chain(ported))
}

fn count(tables: &Tables) -> u64 {
    tables.rows().count() as u64
}

/// Writes a revision, to its end or to where the process ends, and answers the bytes of its last batch.
fn write(engine: &Engine, revision: Revision, from: &Tables, to: &Tables, ends: bool) -> usize {
    let (who, comment) = Default::default();
    let (at, added, changed, deleted, rollback_to) = (Wall(0), 0, 0, 0, None);
    let info = RevisionInfo { revision, at, who, comment, added, changed, deleted, rollback_to };
    let (mut batch, mut touched) = (Batch::default(), Touched::default());
    let rows = put_large(engine, &mut batch, &info, (from, count(from)), to, &mut touched).expect("it is written");
    assert_eq!(rows, count(to));
    let size = batch.size();
    if ends {
        engine.write(batch, false).expect("it is written");
    }
    size
}

/// A store with the first state, in memory and on a disk.
fn stores() -> Vec<(Engine, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Engine::open(&Storage::Disk(folder.path().into())).expect("a store");
    let memory = Engine::open(&Storage::Memory).expect("memory");
    [(disk, Some(folder)), (memory, None)]
        .into_iter()
        .inspect(|(engine, _)| assert!(write(engine, 1, &Tables::default(), &before(), true) > 0))
        .collect()
}

/// How many keys of a family begin with these bytes.
fn keys(engine: &Engine, family: Family, prefix: &[u8]) -> usize {
    let mut keys = 0;
    let count = |key: &[u8], _: &[u8]| {
        keys += usize::from(key.starts_with(prefix));
        Ok(true)
    };
    engine.scan(family, prefix, count).expect("it reads");
    keys
}

#[test]
fn what_is_written_in_many_batches_reads_back_whole_with_its_way_there_and_back() {
    let (before, after) = (before(), after());
    for (engine, _folder) in stores() {
        assert_eq!(load(&engine).expect("it reads").tables, before);
        let last = write(&engine, 2, &before, &after, true);
        assert!(last < 4 * AHEAD, "{last} bytes in one batch");
        let loaded = load(&engine).expect("it reads");
        assert_eq!((loaded.revision, loaded.rows), (2, count(&after)));
        assert_eq!(loaded.tables, after);
        let mut tables = before.clone();
        tables.apply_unchecked(&change(&engine, 2).expect("it reads"));
        assert_eq!(tables, after);
        tables.apply_unchecked(&inverse(&engine, 2).expect("it reads"));
        assert_eq!(tables, before);
    }
}

#[test]
fn a_revision_whose_writing_ended_early_is_taken_back_and_can_be_made_again() {
    let (before, after) = (before(), after());
    for (engine, _folder) in stores() {
        write(&engine, 2, &before, &after, false);
        assert!(keys(&engine, Family::Rows, &[]) != before.rows().count(), "rows are there");
        let loaded = load(&engine).expect("it reads");
        assert_eq!((loaded.revision, loaded.rows), (1, count(&before)));
        assert_eq!(loaded.tables, before);
        assert_eq!(keys(&engine, Family::Changes, &2u64.to_be_bytes()), 0, "nothing of it is left");
        write(&engine, 2, &before, &after, true);
        assert_eq!(load(&engine).expect("it reads").tables, after);
    }
}

/// As when the machine loses its power: of what is not synced nothing is left.
#[test]
fn a_revision_that_ended_with_its_machine_is_taken_back_too() {
    let (before, after) = (before(), after());
    let shelf = crate::Shelf::default();
    let open = || Engine::open(&Storage::Shelf(shelf.clone())).expect("memory");
    let engine = open();
    write(&engine, 1, &Tables::default(), &before, true);
    engine.write(Batch::default(), true).expect("memory");
    write(&engine, 2, &before, &after, false);
    drop(engine);
    let engine = open();
    assert!(keys(&engine, Family::Rows, &[]) != before.rows().count(), "rows are there");
    let loaded = load(&engine).expect("it reads");
    assert_eq!((loaded.revision, loaded.rows), (1, count(&before)));
    assert_eq!(loaded.tables, before);
}

#[test]
fn taking_a_revision_back_may_end_early_too() {
    let (before, after) = (before(), after());
    for (engine, _folder) in stores() {
        write(&engine, 2, &before, &after, false);
        let mut batch = Batch::default();
        let piece = ledger::piece(&engine, 2, Way::Back, 0).expect("it reads").expect("it is there");
        piece.delete.iter().for_each(|key| delete_row(&mut batch, key));
        piece.put.iter().for_each(|row| batch.put(Family::Rows, row.key().to_bytes(), encode(row).expect("JSON")));
        engine.write(batch, false).expect("it is written");
        assert_eq!(load(&engine).expect("it reads").tables, before);
    }
}

#[test]
fn a_revision_that_cannot_be_taken_back_is_reported() {
    for (engine, _folder) in stores() {
        let mut batch = Batch::default();
        batch.put(Family::Meta, PENDING_KEY, encode(&2).expect("JSON"));
        engine.write(batch, false).expect("it is written");
        let error = load(&engine).expect_err("it cannot be");
        assert!(matches!(&error, Error::Broken { what, .. } if what.contains("its way back is missing")), "{error}");
    }
}

#[test]
fn a_small_revision_is_one_batch() {
    for (engine, _folder) in stores() {
        let mut after = before();
        after.put(ported(1, 8));
        write(&engine, 2, &before(), &after, false);
        assert_eq!(keys(&engine, Family::Changes, &2u64.to_be_bytes()), 0);
        assert!(engine.get(Family::Meta, PENDING_KEY).expect("it reads").is_none());
    }
}
