//! The outbox itself: which keys RocksDB holds, and how they change together.
//!
//! `o` + call: the open row of an answered call. `r` + sequence: a finished row. `f`: the range of rows whose file is being
//! written, so that a crash between naming the file and deleting its rows does not write them twice. `h`: when this process
//! was last alive, to the second.

use super::{Options, csv_file};
use crate::clock;
use crate::error::Error;
use ::call::CallId;
use ::call::record::{EndedBy, Row};
use parking_lot::Mutex;
use rocksdb::{DB, Direction, IteratorMode, WriteBatch};
use sip::clock::Wall;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Rows of one file at the most.
const FILE_ROWS: usize = 50_000;
const FILE_KEY: &[u8] = b"f";
const HEARTBEAT_KEY: &[u8] = b"h";

/// See the module.
pub(super) struct Outbox {
    db: DB,
    options: Options,
    /// The next sequence number. Held while a row is written, so that rows appear in the order of their numbers.
    next: Mutex<u64>,
    pending: AtomicU64,
    dirty: AtomicBool,
    /// When the heartbeat was last written, in seconds.
    beaten: AtomicU64,
    exporting: Mutex<()>,
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Records(error.to_string())
}

impl Outbox {
    pub(super) fn open(options: Options) -> Result<Self, Error> {
        let folder = options.data_dir.join("outbox");
        std::fs::create_dir_all(&folder).map_err(failed)?;
        std::fs::create_dir_all(options.data_dir.join("cdr")).map_err(failed)?;
        let mut settings = rocksdb::Options::default();
        settings.create_if_missing(true);
        settings.set_write_buffer_size(16 << 20);
        settings.set_max_background_jobs(1);
        settings.set_max_total_wal_size(64 << 20);
        settings.set_keep_log_file_num(4);
        let db = DB::open(&settings, folder).map_err(failed)?;
        let outbox = Self {
            db,
            options,
            next: Mutex::new(0),
            pending: AtomicU64::new(0),
            dirty: AtomicBool::new(false),
            beaten: AtomicU64::new(0),
            exporting: Mutex::new(()),
        };
        outbox.resume()?;
        Ok(outbox)
    }

    /// Finds the next sequence number and finishes a file that a crash interrupted.
    fn resume(&self) -> Result<(), Error> {
        if let Some(range) = self.db.get(FILE_KEY).map_err(failed)? {
            let range: (u64, u64, PathBuf) = postcard::from_bytes(&range).map_err(failed)?;
            *self.next.lock() = range.1 + 1;
            if range.2.exists() {
                self.forget(range.0, range.1)?;
            }
        }
        for entry in self.db.iterator(IteratorMode::From(b"r", Direction::Forward)) {
            let (key, _) = entry.map_err(failed)?;
            let Some(sequence) = sequence_of(&key) else { break };
            let mut next = self.next.lock();
            *next = (*next).max(sequence + 1);
            self.pending.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Turns the open rows of an earlier process into final ones. They ended when it was last alive.
    pub(super) fn close_orphans(&self) -> Result<u64, Error> {
        let last_alive = match self.db.get(HEARTBEAT_KEY).map_err(failed)? {
            Some(bytes) => Wall(postcard::from_bytes(&bytes).map_err(failed)?),
            None => clock::now().wall,
        };
        let mut orphans = Vec::new();
        for entry in self.db.iterator(IteratorMode::From(b"o", Direction::Forward)) {
            let (key, value) = entry.map_err(failed)?;
            if key.first() != Some(&b'o') {
                break;
            }
            orphans.push(postcard::from_bytes::<Row>(&value).map_err(failed)?);
        }
        for row in &mut orphans {
            let answered = row.answered.unwrap_or(row.started);
            row.ended = last_alive.max(answered);
            row.duration_ms = row.ended.0 - answered.0;
            row.ended_by = EndedBy::Switch;
            row.reason = "process_died".into();
            row.is_final = true;
            self.put_closed(row)?;
        }
        self.sync()?;
        Ok(orphans.len() as u64)
    }

    pub(super) fn put_open(&self, row: &Row) -> Result<(), Error> {
        let bytes = postcard::to_allocvec(row).map_err(failed)?;
        self.db.put(open_key(row.call), bytes).map_err(failed)?;
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn put_closed(&self, row: &Row) -> Result<(), Error> {
        let bytes = postcard::to_allocvec(row).map_err(failed)?;
        let mut next = self.next.lock();
        let mut batch = WriteBatch::default();
        if row.is_final && row.answered.is_some() {
            batch.delete(open_key(row.call));
        }
        batch.put(row_key(*next), bytes);
        self.db.write(batch).map_err(failed)?;
        *next += 1;
        drop(next);
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.options.data_dir.join("cdr")
    }

    /// Forces the log to the disk if anything was written since, and notes that we live.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let wall = clock::now().wall;
        if self.beaten.swap(wall.0 / 1000, Ordering::Relaxed) != wall.0 / 1000 {
            self.db.put(HEARTBEAT_KEY, postcard::to_allocvec(&wall.0).map_err(failed)?).map_err(failed)?;
        }
        if self.dirty.swap(false, Ordering::AcqRel) {
            self.db.flush_wal(true).map_err(failed)?;
        }
        Ok(())
    }

    /// Writes every finished row into closed files. Answers how many rows.
    pub(super) fn export(&self) -> Result<u64, Error> {
        let _one_at_a_time = self.exporting.lock();
        let mut written = 0;
        loop {
            let rows = self.finished(FILE_ROWS)?;
            let (Some(first), Some(last)) = (rows.first().map(|r| r.0), rows.last().map(|r| r.0)) else { break };
            let name = csv_file::name(&self.options.node, clock::now().wall, first);
            let path = self.folder().join(name);
            let intent = postcard::to_allocvec(&(first, last, &path)).map_err(failed)?;
            self.db.put(FILE_KEY, intent).map_err(failed)?;
            self.db.flush_wal(true).map_err(failed)?;
            csv_file::write(&path, &self.options, rows.iter().map(|(_, row)| row)).map_err(failed)?;
            self.forget(first, last)?;
            self.pending.fetch_sub(rows.len() as u64, Ordering::Relaxed);
            written += rows.len() as u64;
            if rows.len() < FILE_ROWS {
                break;
            }
        }
        Ok(written)
    }

    /// The oldest finished rows.
    fn finished(&self, limit: usize) -> Result<Vec<(u64, Row)>, Error> {
        let mut rows = Vec::new();
        for entry in self.db.iterator(IteratorMode::From(b"r", Direction::Forward)).take(limit) {
            let (key, value) = entry.map_err(failed)?;
            let Some(sequence) = sequence_of(&key) else { break };
            rows.push((sequence, postcard::from_bytes(&value).map_err(failed)?));
        }
        Ok(rows)
    }

    fn forget(&self, first: u64, last: u64) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        for sequence in first..=last {
            batch.delete(row_key(sequence));
        }
        batch.delete(FILE_KEY);
        self.db.write(batch).map_err(failed)
    }
}

fn open_key(call: CallId) -> [u8; 15] {
    let mut key = [b'o'; 15];
    key[1..3].copy_from_slice(&call.shard.to_be_bytes());
    key[3..7].copy_from_slice(&call.epoch.to_be_bytes());
    key[7..].copy_from_slice(&call.call.to_be_bytes());
    key
}

fn row_key(sequence: u64) -> [u8; 9] {
    let mut key = [b'r'; 9];
    key[1..].copy_from_slice(&sequence.to_be_bytes());
    key
}

fn sequence_of(key: &[u8]) -> Option<u64> {
    key.strip_prefix(b"r")?.try_into().ok().map(u64::from_be_bytes)
}
