//! The rows that are not recent, in RocksDB: of what is written most is gone before it would come here.
//!
//! Kinds of rows that follow each other have a column family each: RocksDB finds the place of a key next to that of the one before.
//! A family has the keys that begin with its byte, the default one all others.

use super::overlay::{Overlay, Page};
use crate::error::Error;
use parking_lot::Mutex;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, Direction, IteratorMode, ReadOptions, WriteBatch,
    WriteOptions,
};
use rustc_hash::FxHashMap;
use std::path::Path;

/// In the order of the keys.
const FAMILIES: [(u8, &str); 2] = [(b'k', "kept"), (b'o', "open")];
/// Rows that are written together.
const TOGETHER: usize = 1_000;

/// Bytes of the number that a row's key ends with.
const NUMBER: usize = 8;

type Key = Box<[u8]>;

/// See the module.
pub(super) struct Settled {
    db: DB,
    /// Of keys that are alike but for their number, the highest that may be here: whatever is above was never here.
    highest: Mutex<FxHashMap<Key, Key>>,
}

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

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Records(error.to_string())
}

type Entry = (Key, Box<[u8]>);

/// What lies in a segment, from a key on or from a key back.
fn walk<'db>(
    db: &'db DB,
    segment: Segment,
    key: &[u8],
    direction: Direction,
) -> impl Iterator<Item = Result<Entry, Error>> + use<'db> {
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

impl Settled {
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let mut settings = rocksdb::Options::default();
        settings.create_if_missing(true);
        settings.set_write_buffer_size(16 << 20);
        settings.set_max_background_jobs(1);
        settings.set_max_total_wal_size(64 << 20);
        settings.set_keep_log_file_num(4);
        // Rows live for minutes: most are deleted before they would be compressed for nothing.
        settings.set_compression_type(DBCompressionType::None);
        settings.create_missing_column_families(true);
        let names = FAMILIES.iter().map(|(_, name)| *name).chain([rocksdb::DEFAULT_COLUMN_FAMILY_NAME]);
        let families = names.map(|name| ColumnFamilyDescriptor::new(name, settings.clone()));
        let db = DB::open_cf_descriptors(&settings, folder, families).map_err(failed)?;
        gather(&db)?;
        Ok(Self { db, highest: Mutex::default() })
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.db.get_cf(handle(&self.db, family_of(key)), key).map_err(failed)
    }

    /// Everything from a key on, in order.
    fn from(&self, key: &[u8]) -> impl Iterator<Item = Result<Entry, Error>> {
        let rest = segments().into_iter().filter(move |segment| segment.to.as_deref().is_none_or(|to| *key < *to));
        rest.flat_map(move |segment| walk(&self.db, segment, key, Direction::Forward))
    }

    /// So many rows from this key on.
    pub(super) fn page(&self, from: &[u8], limit: usize) -> Result<Page, Error> {
        let entries = self.from(from).take(limit).map(|entry| entry.map(|(key, value)| (key, Some(value))));
        let entries = entries.collect::<Result<Vec<_>, Error>>()?;
        let end = if entries.len() < limit { None } else { entries.last().map(|(key, _)| key.clone()) };
        Ok(Page { entries, end })
    }

    /// The last key up to this one.
    pub(super) fn last_before(&self, key: &[u8]) -> Result<Option<Box<[u8]>>, Error> {
        let before = segments().into_iter().rev().filter(|segment| *segment.from <= *key);
        let last = before.flat_map(|segment| walk(&self.db, segment, key, Direction::Reverse)).next().transpose()?;
        Ok(last.map(|(key, _)| key))
    }

    /// Makes the changes of an overlay, and forces them to the disk. What of them is done before a failure may be done again.
    pub(super) fn take(&self, overlay: &Overlay) -> Result<(), Error> {
        for (from, to) in overlay.gone() {
            self.drop_range(from, to)?;
        }
        let (mut batch, mut count) = (WriteBatch::default(), 0);
        for (key, value) in overlay.keys() {
            let cf = handle(&self.db, family_of(key));
            let may_be_here = self.may_hold(key, value.is_some())?;
            match value {
                Some(value) => batch.put_cf(cf, key, value),
                None if may_be_here => batch.delete_cf(cf, key),
                // Most rows: a mark for what was never here would be carried along for nothing.
                None => continue,
            }
            count += 1;
            if count == TOGETHER {
                self.db.write(std::mem::take(&mut batch)).map_err(failed)?;
                count = 0;
            }
        }
        self.db.write(batch).map_err(failed)?;
        self.db.flush_wal(true).map_err(failed)
    }

    /// Whether a key may be here already; `comes` says that it will be from now on.
    fn may_hold(&self, key: &[u8], comes: bool) -> Result<bool, Error> {
        let Some((kind, _)) =
            key.split_at_checked(key.len().saturating_sub(NUMBER)).filter(|(kind, _)| !kind.is_empty())
        else {
            return Ok(true);
        };
        let mut all = self.highest.lock();
        if let Some(highest) = all.get_mut(kind) {
            let may = *key <= **highest;
            if comes && !may {
                *highest = key.into();
            }
            return Ok(may);
        }
        let last = self.last_before(&[kind, &[u8::MAX; NUMBER]].concat())?;
        // What is before the kind is below each of its keys.
        let highest = last.unwrap_or_default();
        let may = *key <= *highest;
        all.insert(kind.into(), if comes && !may { key.into() } else { highest });
        Ok(may)
    }

    fn drop_range(&self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        for segment in segments() {
            let from = from.to_vec().max(segment.from.clone());
            let to = segment.to.as_ref().map_or_else(|| to.to_vec(), |end| end.clone().min(to.to_vec()));
            if from >= to {
                continue;
            }
            // One by one where they are few: each look at a family would go through all its ranges that were deleted.
            let (cf, mut rest) = (handle(&self.db, segment.family), None);
            for (place, entry) in walk(&self.db, segment, &from, Direction::Forward).enumerate() {
                let (key, _) = entry?;
                if *key >= *to {
                    break;
                }
                if place == TOGETHER {
                    rest = Some(key);
                    break;
                }
                batch.delete_cf(cf, key);
            }
            if let Some(rest) = rest {
                batch.delete_range_cf(cf, rest, to.into());
            }
        }
        self.db.write(batch).map_err(failed)
    }
}

/// Brings rows to their families that an earlier version left among all others.
fn gather(db: &DB) -> Result<(), Error> {
    for (byte, name) in FAMILIES {
        loop {
            let segment = Segment { family: None, from: vec![byte], to: Some(vec![byte + 1]) };
            let (mut batch, mut count) = (WriteBatch::default(), 0);
            for entry in walk(db, segment, &[byte], Direction::Forward).take(TOGETHER) {
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
