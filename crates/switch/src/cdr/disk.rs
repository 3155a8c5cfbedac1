//! The outbox on a disk, in three layers: recent changes in memory, and in a journal for the next start; those that are being moved;
//! and RocksDB, where what lives for longer than a few seconds goes.
//!
//! Most rows are written, exported and deleted within seconds. In RocksDB each would be given a place, copied, marked as deleted and
//! copied again; here it is written behind the one before, and forgotten. [`Disk::settle`] moves what is left every few seconds.

use super::journal::Journal;
use super::overlay::{Overlay, merge};
use super::settled::Settled;
use super::store::{Op, Pair};
use crate::error::Error;
use parking_lot::Mutex;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec;

/// The journal's folder, within that of RocksDB.
const JOURNAL: &str = "journal";
/// Bytes of recent changes that are taken while they cannot be moved.
const RECENT: usize = 256 << 20;
/// Rows that are read together.
const PAGE: usize = 256;

/// See the module.
pub(super) struct Disk {
    settled: Settled,
    folder: PathBuf,
    inside: Mutex<Inside>,
    /// Held while changes are moved: the highest number that a segment was given.
    settling: Mutex<u64>,
    /// Held while the disk is forced: the number of the last time that this succeeded.
    syncing: Mutex<u64>,
    /// The number of times that it was begun.
    syncs: AtomicU64,
}

struct Inside {
    journal: Journal,
    recent: Overlay,
    /// On its way to the settled rows.
    moving: Option<Arc<Overlay>>,
    /// Segments before the present one that may not be synced yet.
    former: Vec<Arc<File>>,
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Records(error.to_string())
}

impl Disk {
    /// Opens it. What the journal of an earlier process holds goes to the settled rows first.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let settled = Settled::open(folder)?;
        let folder = folder.join(JOURNAL);
        fs::create_dir_all(&folder).map_err(failed)?;
        let found = Journal::read(&folder).map_err(failed)?;
        if found.lost > 0 {
            tracing::error!(
                bytes = found.lost,
                "the journal of call records ends in what cannot be read, as after the machine died; it is kept beside it as .damaged"
            );
            metrics::counter!("tandem_cdr_failed_total").increment(1);
        }
        let mut overlay = Overlay::default();
        found.ops.into_iter().for_each(|op| overlay.apply(op));
        if !overlay.is_empty() {
            settled.take(&overlay)?;
        }
        let number = found.last + 1;
        let journal = Journal::begin(&folder, number).map_err(failed)?;
        Journal::drop_before(&folder, number).map_err(failed)?;
        let inside = Inside { journal, recent: Overlay::default(), moving: None, former: Vec::new() };
        Ok(Self {
            settled,
            folder,
            inside: Mutex::new(inside),
            settling: Mutex::new(number),
            syncing: Mutex::new(0),
            syncs: AtomicU64::new(0),
        })
    }

    /// Makes changes together. When this returns, they survive the process.
    pub(super) fn write(&self, ops: Vec<Op>) -> Result<(), Error> {
        if ops.is_empty() {
            return Ok(());
        }
        let mut inside = self.inside.lock();
        if inside.recent.bytes() > RECENT {
            return Err(failed("too many changes wait to be moved to the settled rows"));
        }
        inside.journal.append(&ops).map_err(failed)?;
        ops.into_iter().for_each(|op| inside.recent.apply(op));
        Ok(())
    }

    /// Forces what was written so far to the disk: one at a time, and for all who have asked before it began.
    ///
    /// A second sync of the file waits for the first one with the last page of it locked, which the next change is written to: a call
    /// would wait for a disk that is busy with something else.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let asked = self.syncs.load(Ordering::Acquire);
        let mut done = self.syncing.lock();
        if *done > asked {
            return Ok(());
        }
        let number = self.syncs.fetch_add(1, Ordering::AcqRel) + 1;
        self.force()?;
        *done = number;
        Ok(())
    }

    fn force(&self) -> Result<(), Error> {
        let (former, present) = {
            let inside = self.inside.lock();
            (inside.former.clone(), inside.journal.file())
        };
        for file in former.iter().chain([&present]) {
            file.sync_data().map_err(failed)?;
        }
        self.inside.lock().former.retain(|file| !former.iter().any(|synced| Arc::ptr_eq(file, synced)));
        Ok(())
    }

    /// Moves what is left of the changes so far to the settled rows, and drops the segments that held them.
    pub(super) fn settle(&self) -> Result<(), Error> {
        let mut number = self.settling.lock();
        self.begin_move(&mut number)?;
        self.end_move()
    }

    /// Begins a segment; what was written before is on its way from now on. One that failed is tried again before another begins.
    fn begin_move(&self, number: &mut u64) -> Result<(), Error> {
        let is_due = |inside: &Inside| inside.moving.is_none() && !inside.journal.is_empty();
        if !is_due(&self.inside.lock()) {
            return Ok(());
        }
        *number += 1;
        let next = Journal::begin(&self.folder, *number).map_err(failed)?;
        let mut inside = self.inside.lock();
        let former = std::mem::replace(&mut inside.journal, next);
        inside.former.push(former.file());
        let recent = std::mem::take(&mut inside.recent);
        inside.moving = Some(Arc::new(recent));
        Ok(())
    }

    fn end_move(&self) -> Result<(), Error> {
        // Before anything that was written later: a journal that is torn is not read behind that.
        self.sync()?;
        let Some(moving) = self.inside.lock().moving.clone() else { return Ok(()) };
        self.settled.take(&moving)?;
        let present = {
            let mut inside = self.inside.lock();
            inside.moving = None;
            inside.journal.number()
        };
        Journal::drop_before(&self.folder, present).map_err(failed)
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        {
            let inside = self.inside.lock();
            let moving = || inside.moving.as_ref().and_then(|moving| moving.get(key));
            if let Some(said) = inside.recent.get(key).or_else(moving) {
                return Ok(said.map(<[u8]>::to_vec));
            }
        }
        self.settled.get(key)
    }

    /// The last key up to this one.
    pub(super) fn last_before(&self, key: &[u8]) -> Result<Option<Box<[u8]>>, Error> {
        let mut key: Box<[u8]> = key.into();
        loop {
            let above = {
                let inside = self.inside.lock();
                let moving = inside.moving.as_ref().and_then(|moving| moving.last_before(&key));
                inside.recent.last_before(&key).max(moving)
            };
            let Some(last) = above.max(self.settled.last_before(&key)?) else { return Ok(None) };
            if self.get(&last)?.is_some() {
                return Ok(Some(last));
            }
            // It was deleted above the settled rows.
            let Some(before) = just_before(&last) else { return Ok(None) };
            key = before;
        }
    }

    /// Everything from a key on, in order: each row as it is when its page is read.
    pub(super) fn from(&self, key: &[u8]) -> Walk<'_> {
        Walk { disk: self, page: Vec::new().into_iter(), next: Some(key.to_vec()) }
    }

    /// Rows from a key on, and where the next ones begin. The layers are read from the top: rows only go down, so none is missed that
    /// is moved meanwhile.
    fn page(&self, from: &[u8]) -> Result<(Vec<Pair>, Option<Vec<u8>>), Error> {
        let (recent, gone, moving) = {
            let inside = self.inside.lock();
            (inside.recent.page(from, PAGE), inside.recent.gone().to_vec(), inside.moving.clone())
        };
        let mut pages = vec![recent];
        pages.extend(moving.as_ref().map(|moving| moving.page(from, PAGE)));
        pages.push(self.settled.page(from, PAGE)?);
        let last = pages.len() - 1;
        let above = |layer: usize, key: &[u8]| {
            let inside = |(from, to): &(Vec<u8>, Vec<u8>)| **from <= *key && *key < **to;
            layer > 0 && gone.iter().any(inside)
                || layer == last && moving.as_ref().is_some_and(|moving| moving.is_gone(key))
        };
        let (pairs, end) = merge(pages, above);
        Ok((pairs, end.map(just_after)))
    }
}

/// See [`Disk::from`].
pub(super) struct Walk<'a> {
    disk: &'a Disk,
    page: vec::IntoIter<Pair>,
    /// Where the next page begins; nothing behind the last one.
    next: Option<Vec<u8>>,
}

impl Iterator for Walk<'_> {
    type Item = Result<Pair, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(pair) = self.page.next() {
                return Some(Ok(pair));
            }
            match self.disk.page(&self.next.take()?) {
                Ok((page, next)) => (self.page, self.next) = (page.into_iter(), next),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn just_after(key: Box<[u8]>) -> Vec<u8> {
    let mut key = key.into_vec();
    key.push(0);
    key
}

/// A key with no other one of this outbox between it and this one: none is nearly as long.
fn just_before(key: &[u8]) -> Option<Box<[u8]>> {
    let (last, rest) = key.split_last()?;
    let Some(less) = last.checked_sub(1) else { return Some(rest.into()) };
    Some([rest, &[less], &[u8::MAX; 32]].concat().into())
}

#[cfg(test)]
mod tests;
