//! The outbox itself: which keys the store holds, and how they change together.
//!
//! `o` + sequence: what a call comes to if nobody closes it: its answered row, or the row after its failed attempts; beside
//! it, not final, each further answered row of it: a leg that a transfer has left standing. Which row has which sequence
//! number is known in memory only.
//! `r` + sequence: a finished row. `f`: the range of rows whose file is being written, so that a crash between naming the
//! file and deleting its rows does not write them twice. `h`: when this process was last alive, to the second. `n`: the
//! next sequence number once the outbox was emptied, so that no two files are ever named alike. `t` + call: a call that this
//! node has taken over. `k` + node: a copy of another node's rows, see [`super::kept`]. `x` + key: what could not
//! be read, kept for whoever mends it, so that one bad row never holds up the others.

use super::finished::{Finished, Origin, written};
use super::kept::Kept;
use super::log::{Log, Rows};
use super::orphans::{Orphans, Retaken, note_taken};
use super::store::{Batch as Changes, Store};
use super::{Options, csv_file};
use crate::clock;
use crate::error::Error;
use ::call::CallId;
use ::call::record::{EndedBy, Row};
use parking_lot::{Mutex, MutexGuard};
use rustc_hash::FxHashMap;
use sip::clock::Wall;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Rows of one file at the most.
pub(super) const FILE_ROWS: usize = 50_000;
/// See [`Pace`].
const WORK: u32 = 128;
const REST: u32 = 9;
const LONGEST_REST: Duration = Duration::from_millis(10);
const FILE_KEY: &[u8] = b"f";
const HEARTBEAT_KEY: &[u8] = b"h";
const NEXT_KEY: &[u8] = b"n";

/// See the module.
pub(super) struct Outbox {
    db: Store,
    options: Options,
    /// The next sequence number. Held while a row is written, so that rows appear in the order of their numbers.
    next: Mutex<u64>,
    /// The open rows.
    open: Mutex<Open>,
    /// Open rows of calls that this process does not carry.
    orphans: Mutex<Orphans>,
    /// Calls that this process has taken over, and has not given away since.
    pub(super) retaken: Mutex<Retaken>,
    pending: AtomicU64,
    opened: sip::clock::Instant,
    dirty: AtomicBool,
    /// When the heartbeat was last written, in seconds.
    beaten: AtomicU64,
    /// The oldest sequence number that may still be there: what was deleted before it need not be walked over again.
    exporting: Mutex<u64>,
    /// What the copy of this outbox on another node lacks.
    log: Log,
    /// The copies of other nodes' rows.
    kept: Kept,
    /// This node was removed for good: whoever holds the copy writes what is in it.
    is_disowned: AtomicBool,
}

/// Where the open rows of live calls are: one entry a call and one a transfer of it, so bounded by the calls of the node.
#[derive(Default)]
struct Open {
    next: u64,
    rows: FxHashMap<RowName, OpenRow>,
}

/// An open row: of a call, its last one as [`FINAL`], any other by its attempt.
pub(super) type RowName = (CallId, u32);

/// Attempts are counted from 1.
const FINAL: u32 = 0;
/// Legs of one call that may be open beside its last one: a call is not transferred more often.
const MAX_OPEN: u32 = 64;

/// What is remembered of an open row.
#[derive(Clone, Copy)]
struct OpenRow {
    sequence: u64,
    attempt: u32,
    is_answered: bool,
}

impl Open {
    /// Where this row is, or will be.
    fn place(&mut self, name: RowName) -> &mut OpenRow {
        let next = &mut self.next;
        self.rows.entry(name).or_insert_with(|| {
            *next += 1;
            OpenRow { sequence: *next, attempt: 0, is_answered: false }
        })
    }
}

pub(super) fn failed(error: impl std::fmt::Display) -> Error {
    Error::Records(error.to_string())
}

impl Outbox {
    pub(super) fn open(options: Options) -> Result<Self, Error> {
        std::fs::create_dir_all(options.data_dir.join("cdr")).map_err(failed)?;
        let db = match &options.shelf {
            Some(shelf) => Store::Memory(shelf.clone()),
            None => Store::open(&options.data_dir.join("outbox"))?,
        };
        let log = Log::new(options.alone);
        let outbox = Self {
            kept: Kept::open(&db)?,
            db,
            log,
            is_disowned: AtomicBool::new(false),
            options,
            next: Mutex::new(0),
            open: Mutex::new(Open::default()),
            orphans: Mutex::default(),
            retaken: Mutex::default(),
            pending: AtomicU64::new(0),
            opened: clock::now().mono,
            dirty: AtomicBool::new(false),
            beaten: AtomicU64::new(0),
            exporting: Mutex::new(0),
        };
        outbox.drop_finished()?;
        outbox.resume()?;
        Ok(outbox)
    }

    /// Deletes open rows of which the finished rows are here: an earlier version left them until the export.
    fn drop_finished(&self) -> Result<(), Error> {
        let rows = |kind: &'static [u8; 1]| {
            let there =
                self.db.from(kind).take_while(|entry| entry.as_ref().map_or(true, |(key, _)| key.starts_with(kind)));
            // What cannot be read is set aside where it is asked for.
            there.filter_map(|entry| match entry {
                Ok((key, value)) => {
                    postcard::take_from_bytes::<Row>(&value).ok().map(|(row, _)| Ok((name_of(&row), key)))
                }
                Err(error) => Some(Err(error)),
            })
        };
        let open = rows(b"o").collect::<Result<FxHashMap<RowName, Box<[u8]>>, Error>>()?;
        let mut batch = Changes::default();
        if !open.is_empty() {
            for entry in rows(b"r") {
                if let Some(key) = open.get(&entry?.0) {
                    batch.delete(key);
                }
            }
        }
        self.write(batch)
    }

    /// Finds the next sequence number and finishes a file that a crash interrupted.
    fn resume(&self) -> Result<(), Error> {
        let mut next = match self.db.get(NEXT_KEY)? {
            Some(bytes) => postcard::from_bytes(&bytes).map_err(failed)?,
            None => 0,
        };
        csv_file::remove_unfinished(&self.folder()).map_err(failed)?;
        if let Some(intent) = self.db.get(FILE_KEY)? {
            let (first, last, name): (u64, u64, String) = postcard::from_bytes(&intent).map_err(failed)?;
            next = next.max(last + 1);
            if self.folder().join(name).exists() {
                self.forget(first, last)?;
            }
        }
        for entry in self.db.from(b"r") {
            let (key, _) = entry?;
            let Some(sequence) = sequence_of(b"r", &key) else { break };
            next = next.max(sequence + 1);
            self.pending.fetch_add(1, Ordering::Relaxed);
        }
        *self.next.lock() = next;
        // Behind whatever an earlier process left open.
        let last = self.db.last_before(b"p")?;
        self.open.lock().next = last.and_then(|key| sequence_of(b"o", &key)).unwrap_or(0);
        Ok(())
    }

    /// Takes a finished row back that no file holds yet.
    pub(super) fn withdraw(&self, key: &[u8]) -> Result<(), Error> {
        let mut batch = Changes::default();
        batch.delete(key);
        self.write(batch)?;
        self.pending.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a change that adds no finished row.
    pub(super) fn write(&self, batch: Changes) -> Result<(), Error> {
        self.log.write(&self.db, batch, None)
    }

    /// For how long this process has had the outbox.
    pub(super) fn age(&self) -> Duration {
        clock::now().mono.since(self.opened)
    }

    /// When the process before this one was last alive. Calls that it left open ended then; without a sign of that they ended
    /// at once, since nobody may be charged for the time that it lay dead.
    pub(super) fn last_beat(&self) -> Result<Wall, Error> {
        match self.db.get(HEARTBEAT_KEY)? {
            Some(bytes) => Ok(Wall(postcard::from_bytes(&bytes).map_err(failed)?)),
            None => Ok(Wall(0)),
        }
    }

    pub(super) const fn db(&self) -> &Store {
        &self.db
    }

    /// What the copy of this outbox lacks.
    pub(super) const fn log(&self) -> &Log {
        &self.log
    }

    /// The copies of other nodes' rows.
    pub(super) const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// This node was removed for good: from now on what its copy holds is left to whoever has that.
    pub(super) fn disown(&self) {
        self.is_disowned.store(true, Ordering::Relaxed);
    }

    /// Rows, open and finished.
    pub(super) fn size(&self) -> u64 {
        self.pending() + self.open.lock().rows.len() as u64
    }

    /// The open rows that wait for somebody to close them.
    pub(super) fn orphans(&self) -> MutexGuard<'_, Orphans> {
        self.orphans.lock()
    }

    /// Takes the open rows of a call out of what this process closes; answers their keys.
    pub(super) fn forget_open(&self, call: CallId) -> Vec<[u8; 9]> {
        let mut open = self.open.lock();
        let rows = (FINAL..=MAX_OPEN).filter_map(|attempt| open.rows.remove(&(call, attempt)));
        rows.map(|row| open_key(row.sequence)).collect()
    }

    /// Takes what cannot be read out of the way, and says so.
    pub(super) fn set_aside(&self, key: &[u8], value: &[u8], why: &postcard::Error) -> Result<(), Error> {
        tracing::error!(error = %why, "a call record cannot be read; it is kept in the outbox under another key");
        metrics::counter!("tandem_cdr_failed_total").increment(1);
        let mut batch = Changes::default();
        batch.delete(key);
        batch.put([b"x", key].concat(), value);
        self.write(batch)
    }

    pub(super) fn put_open(&self, row: &Row) -> Result<(), Error> {
        let bytes = written(row)?;
        let sequence = {
            let mut open = self.open.lock();
            let place = open.place(name_of(row));
            (place.attempt, place.is_answered) = (row.attempt, row.answered.is_some());
            place.sequence
        };
        let mut batch = Changes::default();
        batch.put(open_key(sequence), bytes);
        if row.takeovers > 0 {
            let now = clock::now().wall;
            note_taken(&mut batch, row, now);
            self.retaken.lock().note(row.call, now);
        }
        self.write(batch)?;
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn put_closed(&self, row: &Row) -> Result<(), Error> {
        let mut batch = Changes::default();
        let name = name_of(row);
        let ends = row.is_final || row.answered.is_some();
        let closed = ends.then(|| self.open.lock().rows.get(&name).copied()).flatten();
        if closed.is_none()
            && let Some((sequence, open)) = self.after_attempt(row)
        {
            batch.put(open_key(sequence), written(&open)?);
        }
        if let Some(open) = closed {
            batch.delete(open_key(open.sequence));
        }
        self.append_all(batch, &[(row, None)])?;
        // Not before the row is kept: a disk that refused it leaves the open row to whoever starts next.
        if closed.is_some() {
            self.open.lock().rows.remove(&name);
        }
        Ok(())
    }

    /// Writes a finished row of this node and what goes with it.
    pub(super) fn append(&self, batch: Changes, row: &Row) -> Result<(), Error> {
        self.append_all(batch, &[(row, None)])
    }

    /// Writes finished rows and what goes with them.
    pub(super) fn append_all(&self, mut batch: Changes, rows: &[(&Row, Option<&Origin>)]) -> Result<(), Error> {
        let values = rows.iter().map(|(row, origin)| Finished::bytes(row, *origin)).collect::<Result<Vec<_>, _>>()?;
        let (mut next, count) = (self.next.lock(), rows.len() as u64);
        for ((row, _), (sequence, bytes)) in rows.iter().zip((*next..).zip(values)) {
            batch.put(row_key(sequence), bytes);
            if row.takeovers > 0 {
                note_taken(&mut batch, row, clock::now().wall);
            }
        }
        let appended = (count > 0).then_some(Rows { first: *next, count });
        self.log.write(&self.db, batch, appended)?;
        *next += count;
        // Counted under the lock: an export that already sees the row must not subtract it first.
        self.pending.fetch_add(count, Ordering::Relaxed);
        drop(next);
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }

    /// What a call comes to after a failed attempt if the process dies now: a call with a row has a final one. Nothing if
    /// the call is open as answered, or if this was its last row.
    fn after_attempt(&self, row: &Row) -> Option<(u64, Row)> {
        if row.is_final || row.answered.is_some() {
            return None;
        }
        let mut open = self.open.lock();
        let place = open.place((row.call, FINAL));
        if place.is_answered {
            return None;
        }
        place.attempt = place.attempt.max(row.attempt.saturating_add(1));
        let open = Row {
            attempt: place.attempt,
            is_final: true,
            started: row.ended,
            ringing: None,
            answered: None,
            pdd_ms: None,
            egress_trunk: "".into(),
            egress_account: "".into(),
            egress_call_id: "".into(),
            ..row.clone()
        };
        Some((place.sequence, open))
    }

    /// Whether its work may block.
    pub(super) const fn blocks(&self) -> bool {
        self.db.blocks()
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
        if self.beaten.load(Ordering::Relaxed) != wall.0 / 1000 {
            self.beat(wall)?;
            self.beaten.store(wall.0 / 1000, Ordering::Relaxed);
            // The heartbeat is worth a sync: it is what calls are charged by after the machine died.
            self.dirty.store(true, Ordering::Release);
        }
        if self.dirty.swap(false, Ordering::AcqRel)
            && let Err(error) = self.db.sync()
        {
            self.dirty.store(true, Ordering::Release);
            return Err(error);
        }
        Ok(())
    }

    /// Moves what is left of recent rows to where the next start need not read it again. What cannot be moved waits for the next time.
    pub(super) fn settle(&self) {
        if let Err(error) = self.db.settle() {
            tracing::error!(%error, "recent call records cannot be moved out of the journal");
        }
    }

    /// Notes that this process was alive at `wall`.
    pub(super) fn beat(&self, wall: Wall) -> Result<(), Error> {
        self.db.put(HEARTBEAT_KEY, postcard::to_allocvec(&wall.0).map_err(failed)?)
    }

    /// Writes every finished row that has a copy, or has waited for one in vain, into closed files at this pace. Answers how
    /// many rows.
    pub(super) fn export(&self, pace: Pace) -> Result<u64, Error> {
        self.export_before(self.log.bound(clock::now().mono), pace)
    }

    /// The same with every row, whether it has a copy or not.
    pub(super) fn export_all(&self, pace: Pace) -> Result<u64, Error> {
        self.export_before(u64::MAX, pace)
    }

    fn export_before(&self, bound: u64, mut pace: Pace) -> Result<u64, Error> {
        if self.is_held_up() {
            return Ok(0);
        }
        let mut oldest = self.exporting.lock();
        // What comes while files are written is the next export's: this one would not end.
        let bound = bound.min(*self.next.lock());
        let mut written = 0;
        // Looked at once: a row that is confirmed meanwhile is counted all the same.
        let confirmed = self.log.confirmed();
        if self.is_disowned.load(Ordering::Relaxed) {
            *oldest = confirmed.max(*oldest);
        }
        while let Some(Batch { first, last, rows }) = self.finished(*oldest, bound, &mut pace)? {
            // Behind each file of a long export: what comes meanwhile must not pile up in memory until it is refused.
            if written > 0 {
                self.settle();
            }
            if !rows.is_empty() {
                self.write_file(first, last, &rows, &mut pace)?;
            }
            if last >= confirmed {
                let lacking = (last + 1 - confirmed.max(first)).min(rows.len() as u64);
                metrics::counter!("tandem_cdr_unreplicated_total").increment(lacking);
            }
            self.forget(first, last)?;
            self.pending.fetch_sub(rows.len() as u64, Ordering::Relaxed);
            written += rows.len() as u64;
            *oldest = last + 1;
        }
        Ok(written)
    }

    fn write_file(&self, first: u64, last: u64, rows: &[Finished], pace: &mut Pace) -> Result<(), Error> {
        let name = csv_file::name(&self.options.node, clock::now().wall, first);
        let intent = postcard::to_allocvec(&(first, last, &name)).map_err(failed)?;
        self.db.put(FILE_KEY, intent)?;
        self.db.sync()?;
        std::fs::create_dir_all(self.folder()).map_err(failed)?;
        csv_file::write(&self.folder().join(name), &self.options, rows.iter().inspect(|_| pace.step())).map_err(failed)
    }

    /// The rows of the next file, from the oldest on to before `bound`; nothing if none waits. What cannot be read is set aside.
    fn finished(&self, oldest: u64, bound: u64, pace: &mut Pace) -> Result<Option<Batch>, Error> {
        let mut batch: Option<Batch> = None;
        for entry in self.db.from(&row_key(oldest)).take(FILE_ROWS) {
            let (key, value) = entry?;
            let Some(sequence) = sequence_of(b"r", &key).filter(|sequence| *sequence < bound) else { break };
            let batch = batch.get_or_insert_with(|| Batch { first: sequence, last: sequence, rows: Vec::new() });
            batch.last = sequence;
            pace.step();
            match Finished::read(&value) {
                Ok(row) => batch.rows.push(row),
                Err(error) => {
                    self.set_aside(&key, &value, &error)?;
                    self.pending.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        Ok(batch)
    }

    /// Deletes the rows of a file that has its name.
    fn forget(&self, first: u64, last: u64) -> Result<(), Error> {
        let mut batch = Changes::default();
        batch.delete_range(row_key(first), row_key(last + 1));
        batch.delete(FILE_KEY);
        batch.put(NEXT_KEY, postcard::to_allocvec(&(last + 1)).map_err(failed)?);
        self.write(batch)
    }
}

/// How much of the processor an export may take: thousands of rows in one go would take it from the calls for as long as
/// a retransmission takes.
pub(super) struct Pace {
    rests: bool,
    rows: u32,
    since: Instant,
}

impl Pace {
    /// As fast as it goes: nobody calls any more.
    pub(super) fn hurried() -> Self {
        Self { rests: false, rows: 0, since: Instant::now() }
    }

    /// [`WORK`] rows, then a rest of [`REST`] times as long: a tenth of a core, which a node at four fifths of its peak still has.
    pub(super) fn steady() -> Self {
        Self { rests: true, ..Self::hurried() }
    }

    fn step(&mut self) {
        self.rows += 1;
        if self.rests && self.rows.is_multiple_of(WORK) {
            std::thread::sleep((self.since.elapsed() * REST).min(LONGEST_REST));
            self.since = Instant::now();
        }
    }
}

/// The rows of one file and their range of sequence numbers.
struct Batch {
    first: u64,
    last: u64,
    rows: Vec<Finished>,
}

#[cfg(test)]
impl Outbox {
    /// An export that dies when its file has just got its name.
    pub(super) fn stop_after_naming(&self) -> Result<(), Error> {
        let mut pace = Pace::hurried();
        let Some(Batch { first, last, rows }) = self.finished(0, u64::MAX, &mut pace)? else { return Ok(()) };
        self.write_file(first, last, &rows, &mut pace)
    }

    /// A row that no version can read.
    pub(super) fn damage_next(&self) -> Result<(), Error> {
        let mut next = self.next.lock();
        self.db.put(&row_key(*next), vec![0xff; 3])?;
        *next += 1;
        self.pending.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// The final row of a call whose process died.
pub(super) fn close_orphan(row: &mut Row, last_alive: Wall) {
    let talking = row.answered;
    row.ended = last_alive.max(talking.unwrap_or(row.started));
    row.duration_ms = talking.map_or(0, |answered| row.ended.0 - answered.0);
    row.ended_by = EndedBy::Switch;
    row.reason = "process_died".into();
    if talking.is_none() {
        // 41, temporary failure (Q.850): the caller heard nothing final from us.
        (row.sip_code, row.q850) = (500, 41);
    }
}

fn open_key(sequence: u64) -> [u8; 9] {
    key(b'o', sequence)
}

pub(super) fn name_of(row: &Row) -> RowName {
    (row.call, if row.is_final { FINAL } else { row.attempt })
}

fn row_key(sequence: u64) -> [u8; 9] {
    key(b'r', sequence)
}

fn key(kind: u8, sequence: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&sequence.to_be_bytes());
    key
}

fn sequence_of(kind: &[u8; 1], key: &[u8]) -> Option<u64> {
    key.strip_prefix(kind)?.try_into().ok().map(u64::from_be_bytes)
}
