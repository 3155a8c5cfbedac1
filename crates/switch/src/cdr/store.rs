//! Where the outbox is: RocksDB in a folder, or a map that outlives its node, for simulations of crashes.

use crate::error::Error;
use parking_lot::Mutex;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, Direction, IteratorMode, ReadOptions, WriteBatch,
    WriteOptions,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What stays of an outbox in memory while its node is down. A clone is the same shelf.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<Mutex<Content>>);

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Default)]
struct Content {
    now: Map,
    /// What was written since the last sync, with what was there before.
    unsynced: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Shelf {
    /// The machine has died, and not only its process: what was not synced is gone.
    pub fn lose_unsynced(&self) {
        let mut content = self.0.lock();
        let unsynced = std::mem::take(&mut content.unsynced);
        for (key, before) in unsynced.into_iter().rev() {
            match before {
                Some(value) => content.now.insert(key, value),
                None => content.now.remove(&key),
            };
        }
    }
}

impl Content {
    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let before = match value {
            Some(value) => self.now.insert(key.clone(), value),
            None => self.now.remove(&key),
        };
        self.unsynced.push((key, before));
    }
}

/// Changes that are made together.
#[derive(Default)]
pub(super) struct Batch(Vec<Op>);

/// One change. It is on the wire as well, to whoever holds a copy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) enum Op {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
}

impl Op {
    /// About so many.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Put(key, value) | Self::DeleteRange(key, value) => key.len() + value.len(),
            Self::Delete(key) => key.len(),
        }
    }

    /// Whether it changes open and finished rows, and nothing else.
    pub(super) fn is_of_rows(&self) -> bool {
        let is_row = |key: &[u8]| matches!(key, [b'o' | b'r', ..]) && key.len() <= ROW_KEY;
        match self {
            Self::Put(key, _) | Self::Delete(key) => is_row(key),
            Self::DeleteRange(from, to) => is_row(from) && (is_row(to) || to == ROWS_END) && from <= to,
        }
    }

    /// The same with a prefix before its keys.
    pub(super) fn under(self, prefix: &[u8]) -> Self {
        match self {
            Self::Put(key, value) => Self::Put([prefix, &key].concat(), value),
            Self::Delete(key) => Self::Delete([prefix, &key].concat()),
            Self::DeleteRange(from, to) => Self::DeleteRange([prefix, &from].concat(), [prefix, &to].concat()),
        }
    }
}

/// Open and finished rows are from here to before the other.
pub(super) const ROWS: &[u8] = b"o";
/// See [`ROWS`].
pub(super) const ROWS_END: &[u8] = b"s";
/// The longest key of a row, and one byte more: the end of a range.
const ROW_KEY: usize = 10;

impl Batch {
    /// The changes of open and finished rows.
    pub(super) fn of_rows(&self) -> Vec<Op> {
        self.0.iter().filter(|op| op.is_of_rows()).cloned().collect()
    }

    pub(super) fn push(&mut self, op: Op) {
        self.0.push(op);
    }

    pub(super) fn put(&mut self, key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) {
        self.0.push(Op::Put(key.as_ref().to_vec(), value.into()));
    }

    pub(super) fn delete(&mut self, key: impl AsRef<[u8]>) {
        self.0.push(Op::Delete(key.as_ref().to_vec()));
    }

    /// From the first to before the second.
    pub(super) fn delete_range(&mut self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) {
        self.0.push(Op::DeleteRange(from.as_ref().to_vec(), to.as_ref().to_vec()));
    }
}

/// A key and its value.
pub(super) type Pair = (Box<[u8]>, Box<[u8]>);

/// Kinds of rows that are written in turn, each in order, have a column family each: RocksDB remembers in each where the last row
/// went, and has to search for the place of one that comes after another kind. A family has the keys that begin with its byte, the
/// default one all others. In the order of the keys.
const FAMILIES: [(u8, &str); 2] = [(b'k', "kept"), (b'o', "open")];

/// A range of keys that lie in one family, to before the second; to the end without one.
struct Segment {
    family: Option<&'static str>,
    from: Vec<u8>,
    to: Option<Vec<u8>>,
}

/// All keys, in order.
fn segments() -> Vec<Segment> {
    let mut all = vec![Segment { family: None, from: Vec::new(), to: None }];
    for (byte, name) in FAMILIES {
        if let Some(last) = all.last_mut() {
            last.to = Some(vec![byte]);
        }
        all.push(Segment { family: Some(name), from: vec![byte], to: Some(vec![byte + 1]) });
        all.push(Segment { family: None, from: vec![byte + 1], to: None });
    }
    all
}

fn family_of(key: &[u8]) -> Option<&'static str> {
    let first = key.first()?;
    FAMILIES.iter().find(|(byte, _)| byte == first).map(|(_, name)| *name)
}

/// The families are opened with the store, so each is there.
fn handle<'db>(db: &'db DB, family: Option<&str>) -> &'db ColumnFamily {
    let name = family.unwrap_or(rocksdb::DEFAULT_COLUMN_FAMILY_NAME);
    db.cf_handle(name).expect("a column family that was opened with the store")
}

/// What lies in a segment, from a key on or from a key back.
fn walk<'db>(
    db: &'db DB,
    segment: Segment,
    key: &[u8],
    direction: Direction,
) -> impl Iterator<Item = Result<Pair, Error>> + use<'db> {
    let mut bounds = ReadOptions::default();
    let inside = |at: &[u8]| *segment.from <= *at && segment.to.as_deref().is_none_or(|to| at < to);
    let mode = match direction {
        _ if inside(key) => IteratorMode::From(key, direction),
        Direction::Forward => IteratorMode::Start,
        Direction::Reverse => IteratorMode::End,
    };
    let cf = handle(db, segment.family);
    // An empty bound would be one that nothing is before.
    if !segment.from.is_empty() {
        bounds.set_iterate_lower_bound(segment.from);
    }
    if let Some(to) = segment.to {
        bounds.set_iterate_upper_bound(to);
    }
    db.iterator_cf_opt(cf, bounds, mode).map(|entry| entry.map_err(failed))
}

/// See the module.
pub(super) enum Store {
    Disk(Box<DB>),
    Memory(Shelf),
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Records(error.to_string())
}

impl Store {
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut settings = rocksdb::Options::default();
        settings.create_if_missing(true);
        settings.set_write_buffer_size(16 << 20);
        settings.set_max_background_jobs(1);
        settings.set_max_total_wal_size(64 << 20);
        settings.set_keep_log_file_num(4);
        // Rows live for seconds: most are deleted before they would be compressed for nothing.
        settings.set_compression_type(DBCompressionType::None);
        settings.create_missing_column_families(true);
        let names = FAMILIES.iter().map(|(_, name)| *name).chain([rocksdb::DEFAULT_COLUMN_FAMILY_NAME]);
        let families = names.map(|name| ColumnFamilyDescriptor::new(name, settings.clone()));
        let db = DB::open_cf_descriptors(&settings, folder, families).map_err(failed)?;
        gather(&db)?;
        Ok(Self::Disk(Box::new(db)))
    }

    /// Whether its work may block.
    pub(super) const fn blocks(&self) -> bool {
        matches!(self, Self::Disk(_))
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Disk(db) => db.get_cf(handle(db, family_of(key)), key).map_err(failed),
            Self::Memory(shelf) => Ok(shelf.0.lock().now.get(key).cloned()),
        }
    }

    pub(super) fn put(&self, key: &[u8], value: Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Disk(db) => db.put_cf(handle(db, family_of(key)), key, value).map_err(failed),
            Self::Memory(shelf) => {
                shelf.0.lock().set(key.to_vec(), Some(value));
                Ok(())
            }
        }
    }

    pub(super) fn write(&self, batch: Batch) -> Result<(), Error> {
        match self {
            Self::Disk(db) => db.write(rocks(db, batch)).map_err(failed),
            Self::Memory(shelf) => {
                let mut content = shelf.0.lock();
                for op in batch.0 {
                    match op {
                        Op::Put(key, value) => content.set(key, Some(value)),
                        Op::Delete(key) => content.set(key, None),
                        Op::DeleteRange(from, to) => {
                            let gone: Vec<_> = content.now.range(from..to).map(|(key, _)| key.clone()).collect();
                            gone.into_iter().for_each(|key| content.set(key, None));
                        }
                    }
                }
                Ok(())
            }
        }
    }

    /// Everything from a key on, in order.
    pub(super) fn from(&self, key: &[u8]) -> Box<dyn Iterator<Item = Result<Pair, Error>> + '_> {
        match self {
            Self::Disk(db) => {
                let key = key.to_vec();
                let rest = segments().into_iter().filter(|segment| segment.to.as_deref().is_none_or(|to| *key < *to));
                let rest: Vec<Segment> = rest.collect();
                Box::new(rest.into_iter().flat_map(move |segment| walk(db, segment, &key, Direction::Forward)))
            }
            Self::Memory(shelf) => {
                let content = shelf.0.lock();
                let there = content.now.range(key.to_vec()..).map(|(key, value)| Ok(pair(key, value)));
                Box::new(there.collect::<Vec<_>>().into_iter())
            }
        }
    }

    /// The last before a key, or the key itself.
    pub(super) fn last_before(&self, key: &[u8]) -> Result<Option<Pair>, Error> {
        match self {
            Self::Disk(db) => {
                let before = segments().into_iter().rev().filter(|segment| *segment.from <= *key);
                before.flat_map(|segment| walk(db, segment, key, Direction::Reverse)).next().transpose()
            }
            Self::Memory(shelf) => {
                let content = shelf.0.lock();
                Ok(content.now.range(..=key.to_vec()).next_back().map(|(key, value)| pair(key, value)))
            }
        }
    }

    /// Forces everything to the disk.
    pub(super) fn sync(&self) -> Result<(), Error> {
        match self {
            Self::Disk(db) => db.flush_wal(true).map_err(failed),
            Self::Memory(shelf) => {
                shelf.0.lock().unsynced.clear();
                Ok(())
            }
        }
    }
}

fn pair(key: &[u8], value: &[u8]) -> Pair {
    (key.into(), value.into())
}

fn rocks(db: &DB, batch: Batch) -> WriteBatch {
    let mut written = WriteBatch::default();
    for op in batch.0 {
        match op {
            Op::Put(key, value) => written.put_cf(handle(db, family_of(&key)), key, value),
            Op::Delete(key) => written.delete_cf(handle(db, family_of(&key)), key),
            Op::DeleteRange(from, to) => {
                for segment in segments() {
                    let from = from.clone().max(segment.from);
                    let to = segment.to.map_or_else(|| to.clone(), |end| end.min(to.clone()));
                    if from < to {
                        written.delete_range_cf(handle(db, segment.family), from, to);
                    }
                }
            }
        }
    }
    written
}

/// Rows that are moved together.
const MOVED: usize = 1_000;

/// Brings rows to their families that an earlier version left among all others.
fn gather(db: &DB) -> Result<(), Error> {
    for (byte, name) in FAMILIES {
        loop {
            let segment = Segment { family: None, from: vec![byte], to: Some(vec![byte + 1]) };
            let (mut batch, mut count) = (WriteBatch::default(), 0);
            for entry in walk(db, segment, &[byte], Direction::Forward).take(MOVED) {
                let (key, value) = entry?;
                batch.put_cf(handle(db, Some(name)), &key, value);
                batch.delete(&key);
                count += 1;
            }
            if count == 0 {
                break;
            }
            let mut synced = WriteOptions::default();
            synced.set_sync(true);
            db.write_opt(batch, &synced).map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same on a disk and in memory.
    #[test]
    fn both_kinds_keep_order_ranges_and_batches() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Store::open(folder.path()).expect("opens");
        for store in [disk, Store::Memory(Shelf::default())] {
            let mut batch = Batch::default();
            for key in ["a1", "a2", "a3", "b1"] {
                batch.put(key, key.as_bytes());
            }
            store.write(batch).expect("written");
            let mut batch = Batch::default();
            batch.delete_range("a1", "a3");
            batch.delete("b1");
            batch.put("c1", "x");
            store.write(batch).expect("written");
            let keys: Vec<_> = store.from(b"a").map(|pair| pair.expect("reads").0).collect();
            assert_eq!(keys, [Box::from(*b"a3"), Box::from(*b"c1")]);
            assert_eq!(store.last_before(b"b").expect("reads").expect("one").0, Box::from(*b"a3"));
            assert_eq!(store.get(b"c1").expect("reads").as_deref(), Some(&b"x"[..]));
            assert!(store.get(b"a1").expect("reads").is_none());
        }
    }

    /// Over the borders of families, in both directions.
    #[test]
    fn both_kinds_hold_all_families_in_the_order_of_their_keys() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Store::open(folder.path()).expect("opens");
        for store in [disk, Store::Memory(Shelf::default())] {
            let all = ["a", "jz", "k1", "k2", "l", "nz", "o1", "o2", "p", "r1", "z"];
            let mut batch = Batch::default();
            all.iter().rev().for_each(|key| batch.put(key, key.as_bytes()));
            store.write(batch).expect("written");
            let keys = |from: &str| -> Vec<String> {
                let found = store.from(from.as_bytes()).map(|pair| pair.expect("reads").0);
                found.map(|key| String::from_utf8(key.into()).expect("text")).collect()
            };
            for (at, key) in all.iter().enumerate() {
                assert_eq!(keys(key), all[at..], "from {key}");
                let back = |key: &[u8]| store.last_before(key).expect("reads").map(|pair| pair.0);
                assert_eq!(back(key.as_bytes()).as_deref(), Some(key.as_bytes()));
                let before = at.checked_sub(1).map(|before| all[before].as_bytes());
                let mut just_before = key.as_bytes().to_vec();
                *just_before.last_mut().expect("a byte") -= 1;
                just_before.push(u8::MAX);
                assert_eq!(back(&just_before).as_deref(), before, "before {key}");
                assert_eq!(store.get(key.as_bytes()).expect("reads").as_deref(), Some(key.as_bytes()));
            }
            let mut batch = Batch::default();
            batch.delete_range("k2", "o2");
            batch.delete_range("q", "s");
            store.write(batch).expect("written");
            assert_eq!(keys(""), ["a", "jz", "k1", "o2", "p", "z"]);
        }
    }

    #[test]
    fn what_an_earlier_version_wrote_is_found_where_it_belongs() {
        let folder = tempfile::tempdir().expect("a folder");
        {
            let db = DB::open_default(folder.path()).expect("opens");
            for row in 0..2_500_u32 {
                db.put([&b"o"[..], &row.to_be_bytes()].concat(), "open").expect("written");
            }
            db.put("k1", "kept").expect("written");
            db.put("r1", "finished").expect("written");
        }
        for _ in 0..2 {
            let store = Store::open(folder.path()).expect("opens");
            assert_eq!(
                store.from(b"o").filter(|pair| pair.as_ref().is_ok_and(|pair| pair.0[0] == b'o')).count(),
                2_500
            );
            assert_eq!(store.get(b"k1").expect("reads").as_deref(), Some(&b"kept"[..]));
            assert_eq!(store.get(b"r1").expect("reads").as_deref(), Some(&b"finished"[..]));
            let Store::Disk(db) = &store else { panic!("it is on a disk") };
            assert_eq!(db.iterator(IteratorMode::Start).count(), 1, "the default family has what no other has");
        }
    }

    #[test]
    fn a_machine_that_dies_loses_what_was_not_synced_and_nothing_else() {
        let shelf = Shelf::default();
        let store = Store::Memory(shelf.clone());
        store.put(b"a", b"1".to_vec()).expect("memory");
        store.put(b"b", b"1".to_vec()).expect("memory");
        store.sync().expect("memory");
        store.put(b"a", b"2".to_vec()).expect("memory");
        store.put(b"a", b"3".to_vec()).expect("memory");
        let mut batch = Batch::default();
        batch.delete("b");
        store.write(batch).expect("memory");
        shelf.lose_unsynced();
        let there = |key: &[u8]| store.get(key).expect("memory").expect("there");
        assert_eq!((there(b"a"), there(b"b")), (b"1".to_vec(), b"1".to_vec()));
    }
}
