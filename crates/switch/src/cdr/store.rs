//! Where the outbox is: on a disk, or a map that outlives its node, for simulations of crashes.

use super::disk::Disk;
use crate::error::Error;
use parking_lot::Mutex;
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
    Put(#[serde(with = "serde_bytes")] Vec<u8>, #[serde(with = "serde_bytes")] Vec<u8>),
    Delete(#[serde(with = "serde_bytes")] Vec<u8>),
    DeleteRange(#[serde(with = "serde_bytes")] Vec<u8>, #[serde(with = "serde_bytes")] Vec<u8>),
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

/// See the module.
pub(super) enum Store {
    Disk(Box<Disk>),
    Memory(Shelf),
}

impl Store {
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        Ok(Self::Disk(Box::new(Disk::open(folder)?)))
    }

    /// Whether its work may block.
    pub(super) const fn blocks(&self) -> bool {
        matches!(self, Self::Disk(_))
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Disk(disk) => disk.get(key),
            Self::Memory(shelf) => Ok(shelf.0.lock().now.get(key).cloned()),
        }
    }

    pub(super) fn put(&self, key: &[u8], value: Vec<u8>) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.put(key, value);
        self.write(batch)
    }

    pub(super) fn write(&self, batch: Batch) -> Result<(), Error> {
        match self {
            Self::Disk(disk) => disk.write(batch.0),
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

    /// Everything from a key on, in order: each row as it is when it is reached.
    pub(super) fn from(&self, key: &[u8]) -> Box<dyn Iterator<Item = Result<Pair, Error>> + '_> {
        match self {
            Self::Disk(disk) => Box::new(disk.from(key)),
            Self::Memory(shelf) => {
                let content = shelf.0.lock();
                let there = content.now.range(key.to_vec()..).map(|(key, value)| Ok(pair(key, value)));
                Box::new(there.collect::<Vec<_>>().into_iter())
            }
        }
    }

    /// The last key before this one, or this one itself.
    pub(super) fn last_before(&self, key: &[u8]) -> Result<Option<Box<[u8]>>, Error> {
        match self {
            Self::Disk(disk) => disk.last_before(key),
            Self::Memory(shelf) => {
                let content = shelf.0.lock();
                Ok(content.now.range(..=key.to_vec()).next_back().map(|(key, _)| key.as_slice().into()))
            }
        }
    }

    /// Forces everything to the disk.
    pub(super) fn sync(&self) -> Result<(), Error> {
        match self {
            Self::Disk(disk) => disk.sync(),
            Self::Memory(shelf) => {
                shelf.0.lock().unsynced.clear();
                Ok(())
            }
        }
    }

    /// Moves what is left of recent changes to where it does not have to be read again at the next start.
    pub(super) fn settle(&self) -> Result<(), Error> {
        match self {
            Self::Disk(disk) => disk.settle(),
            Self::Memory(_) => Ok(()),
        }
    }
}

fn pair(key: &[u8], value: &[u8]) -> Pair {
    (key.into(), value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of all versions send each other these.
    #[test]
    fn a_change_is_written_as_it_always_was() {
        let ops = [Op::Put(vec![7, 200], vec![3]), Op::Delete(vec![8]), Op::DeleteRange(vec![], vec![9, 255])];
        let written = postcard::to_allocvec(&ops).expect("written");
        assert_eq!(written, [0, 2, 7, 200, 1, 3, 1, 1, 8, 2, 0, 2, 9, 255]);
        assert_eq!(postcard::from_bytes::<[Op; 3]>(&written).expect("reads"), ops);
    }

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
            assert_eq!(store.last_before(b"b").expect("reads").expect("one"), Box::from(*b"a3"));
            assert_eq!(store.get(b"c1").expect("reads").as_deref(), Some(&b"x"[..]));
            assert!(store.get(b"a1").expect("reads").is_none());
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
