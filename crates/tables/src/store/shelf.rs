//! A store in memory, without a thread of its own, that outlives the node on it: for simulations. As a disk does, it loses
//! with its machine what was not synced.

use super::engine::{Batch, Family, Op};
use crate::Error;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What stays of a node in memory while it is down. A clone is the same shelf; one node at a time may run on it.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<Content>>);

#[derive(Default)]
pub(super) struct Content {
    now: Maps,
    /// As it was at the last sync.
    synced: Maps,
    /// What was written since, in order.
    unsynced: Vec<Batch>,
}

/// One map a family.
#[derive(Clone, Default)]
struct Maps([BTreeMap<Vec<u8>, Vec<u8>>; Family::ALL.len()]);

impl Shelf {
    /// The shelf of a machine that starts: what was never synced is gone, and an empty one gets its first content.
    pub(super) fn start(&self) -> Result<(), Error> {
        let mut content = self.lock();
        content.unsynced.clear();
        content.now = content.synced.clone();
        if content.now.0.iter().all(BTreeMap::is_empty) {
            content.write(super::folder::first_content()?, true);
        }
        Ok(())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock()
    }
}

impl Content {
    pub(super) fn write(&mut self, batch: Batch, sync: bool) {
        self.now.apply(batch.clone());
        self.unsynced.push(batch);
        if sync {
            self.unsynced.drain(..).for_each(|batch| self.synced.apply(batch));
        }
    }

    /// On the disk at once, whatever becomes of what was written before it.
    pub(super) fn write_apart(&mut self, batch: &Batch) {
        self.now.apply(batch.clone());
        self.synced.apply(batch.clone());
        // Once more behind what was before it.
        self.unsynced.push(batch.clone());
    }

    pub(super) const fn family(&self, family: Family) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.now.0[family as usize]
    }
}

impl Maps {
    fn apply(&mut self, batch: Batch) {
        for op in batch.into_ops() {
            match op {
                Op::Put(family, key, value) => drop(self.0[family as usize].insert(key, value)),
                Op::Delete(family, key) => drop(self.0[family as usize].remove(&key)),
                Op::DeleteRange(family, from, to) => {
                    let map = &mut self.0[family as usize];
                    let mut gone = map.split_off(&from);
                    if let Some(to) = to {
                        map.append(&mut gone.split_off(&to));
                    }
                }
            }
        }
    }
}

impl PartialEq for Shelf {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Shelf {}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::Engine;
    use super::*;
    use crate::Storage;

    fn put(engine: &Engine, key: &str, sync: bool) {
        let mut batch = Batch::default();
        batch.put(Family::Rows, key, b"1".to_vec());
        engine.write(batch, sync).expect("memory");
    }

    #[test]
    fn what_was_not_synced_is_gone_with_the_machine_and_all_before_a_sync_is_there() {
        let shelf = Shelf::default();
        let engine = Engine::open(&Storage::Shelf(shelf.clone())).expect("opens");
        put(&engine, "early", false);
        put(&engine, "synced", true);
        put(&engine, "late", false);
        drop(engine);
        let engine = Engine::open(&Storage::Shelf(shelf)).expect("opens again");
        let there = |key: &str| engine.get(Family::Rows, key.as_bytes()).expect("memory").is_some();
        assert_eq!(["early", "synced", "late"].map(there), [true, true, false]);
        assert!(engine.get(Family::Meta, b"format").expect("memory").is_some());
    }

    #[test]
    fn what_was_written_apart_outlives_the_machine_and_what_was_written_before_it_does_not() {
        let shelf = Shelf::default();
        let open = || Engine::open(&Storage::Shelf(shelf.clone())).expect("opens");
        let engine = open();
        put(&engine, "early", false);
        let mut apart = Batch::default();
        apart.put(Family::Rows, "apart", b"1".to_vec());
        engine.write_apart(apart).expect("memory");
        drop(engine);
        let there = |engine: &Engine| {
            ["early", "apart", "late"].map(|key| engine.get(Family::Rows, key.as_bytes()).expect("memory").is_some())
        };
        let engine = open();
        assert_eq!(there(&engine), [false, true, false]);
        let mut late = Batch::default();
        late.delete(Family::Rows, "apart");
        engine.write(late, false).expect("memory");
        put(&engine, "late", true);
        drop(engine);
        assert_eq!(there(&open()), [false, false, true]);
    }
}
