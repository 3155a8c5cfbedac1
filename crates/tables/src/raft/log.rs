//! Raft's log and vote. Its newest entries are kept in memory too: what is not yet on the disk must be readable, and
//! followers and the state machine read what was just written.

use super::codec::{read_entry, write_entry};
use super::writer::{self, Done, Job};
use super::{Entry, Id, Types, Vote};
use crate::Error;
use crate::store::{self, Batch, Engine, Family};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

const VOTE_KEY: &[u8] = b"vote";
const PURGED_KEY: &[u8] = b"purged";

/// Bytes of entries kept in memory, besides those that are not written yet.
const CACHED: usize = 32 << 20;
/// Bytes of entries that go to another node together, if there are several.
const TOGETHER: usize = 192 << 10;

/// The log; a clone is the same.
#[derive(Clone)]
pub(super) struct Log {
    engine: Arc<Engine>,
    tail: Arc<Mutex<Tail>>,
    /// Absent in memory, where nothing blocks.
    jobs: Option<mpsc::Sender<Job>>,
}

#[derive(Default)]
struct Tail {
    vote: Option<Vote>,
    purged: Option<Id>,
    last: Option<Id>,
    /// The newest entries with their sizes.
    entries: BTreeMap<u64, (Entry, usize)>,
    bytes: usize,
    /// Bytes appended since the log was cut.
    grown: usize,
    /// The first entry of each write that is under way.
    unwritten: VecDeque<u64>,
}

/// The thread behind a log. It ends before this is gone: one that still wrote while the process ends would meet a RocksDB that is being
/// taken apart.
pub(super) struct Writing(Option<(mpsc::Sender<Job>, JoinHandle<()>)>);

impl Log {
    /// Reads where the log stands and starts its thread.
    pub(super) fn open(engine: Arc<Engine>) -> Result<(Self, Writing), Error> {
        let purged: Option<Id> = store::read(&engine, Family::Meta, PURGED_KEY)?;
        let last = match engine.last(Family::Log)? {
            Some((_, value)) => Some(read_entry(&value).map_err(|what| broken(&engine, &what))?.log_id),
            None => purged,
        };
        let vote = store::read(&engine, Family::Meta, VOTE_KEY)?;
        let tail = Arc::new(Mutex::new(Tail { vote, purged, last, ..Tail::default() }));
        if !engine.blocks() {
            return Ok((Self { engine, tail, jobs: None }, Writing(None)));
        }
        let thread = writer::start(Arc::downgrade(&engine));
        let (jobs, thread) = thread.map_err(|source| Error::File { path: engine.dir().to_path_buf(), source })?;
        Ok((Self { engine, tail, jobs: Some(jobs.clone()) }, Writing(Some((jobs, thread)))))
    }

    /// Whether a thread writes it.
    pub(super) const fn blocks(&self) -> bool {
        self.jobs.is_some()
    }

    /// Bytes appended since the log was cut.
    pub(super) fn grown(&self) -> usize {
        self.tail.lock().grown
    }

    /// Writes in the order of the calls, and returns when it is written.
    async fn write(&self, batch: Batch, sync: bool) -> io::Result<()> {
        let Some(jobs) = &self.jobs else { return self.engine.write(batch, sync).map_err(io::Error::other) };
        let (told, written) = oneshot::channel();
        jobs.send(Job { batch, sync, done: Done::Told(told) }).await.map_err(|_| stopped())?;
        written.await.map_err(|_| stopped())?
    }

    /// Entries that are no longer in memory. `bytes` bounds them, but for the first.
    async fn read_stored(&self, start: u64, end: u64, bytes: usize) -> io::Result<Vec<Entry>> {
        if start >= end {
            return Ok(Vec::new());
        }
        let engine = Arc::clone(&self.engine);
        let read = move || {
            let (mut entries, mut size) = (Vec::new(), 0);
            engine.scan(Family::Log, &start.to_be_bytes(), |key, value| {
                size += value.len();
                if key >= end.to_be_bytes().as_slice() || (size > bytes && !entries.is_empty()) {
                    return Ok(false);
                }
                entries.push(read_entry(value).map_err(|what| broken(&engine, &what))?);
                Ok(true)
            })?;
            Ok::<_, Error>(entries)
        };
        if !self.engine.blocks() {
            return read().map_err(io::Error::other);
        }
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?.map_err(io::Error::other)
    }

    async fn read(&self, start: u64, end: u64, bytes: usize) -> io::Result<Vec<Entry>> {
        let (first, cached) = {
            let tail = self.tail.lock();
            let first = tail.entries.keys().next().map_or(end, |first| *first).max(start).min(end);
            (first, tail.entries.range(first..end).map(|(_, entry)| entry.clone()).collect::<Vec<_>>())
        };
        let mut entries = self.read_stored(start, first, bytes).await?;
        if entries.len() as u64 == first - start {
            let mut size = 0;
            entries.extend(cached.into_iter().map_while(|(entry, length)| {
                size += length;
                (size <= bytes || size == length).then_some(entry)
            }));
        }
        Ok(entries)
    }
}

impl Writing {
    /// Ends the thread when everything before is written. Blocks.
    pub(super) fn stop(mut self) {
        let Some((jobs, thread)) = self.0.take() else { return };
        // It may have ended already.
        let _ = jobs.blocking_send(Job::stop());
        join(thread);
    }
}

/// A node that fails to start, or gives up, stops nothing in order. What is being written takes milliseconds.
impl Drop for Writing {
    fn drop(&mut self) {
        if let Some((jobs, thread)) = self.0.take()
            && (jobs.try_send(Job::stop()).is_ok() || jobs.is_closed())
        {
            join(thread);
        }
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("tables: the thread of the log has panicked");
    }
}

impl Tail {
    fn push(&mut self, entry: Entry, size: usize) {
        self.last = Some(entry.log_id);
        self.bytes += size;
        self.grown += size;
        if let Some((_, old)) = self.entries.insert(entry.log_id.index, (entry, size)) {
            self.bytes -= old;
        }
    }

    /// Lets go of old entries that are on the disk.
    fn trim(&mut self) {
        let unwritten = self.unwritten.iter().min().copied().unwrap_or(u64::MAX);
        while self.bytes > CACHED
            && let Some(first) = self.entries.first_entry()
            && *first.key() < unwritten
        {
            self.bytes -= first.remove().1;
        }
    }

    fn keep(&mut self, range: impl RangeBounds<u64>) {
        self.entries.retain(|index, _| range.contains(index));
        self.bytes = self.entries.values().map(|(_, size)| size).sum();
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => *start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start, end.max(start), usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, TOGETHER).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.tail.lock().vote)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let tail = self.tail.lock();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let mut batch = Batch::default();
        batch.put(Family::Meta, VOTE_KEY, store::encode(vote).map_err(io::Error::other)?);
        self.write(batch, true).await?;
        self.tail.lock().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut batch = Batch::default();
        {
            let mut tail = self.tail.lock();
            let mut first = None;
            for entry in entries {
                let bytes = write_entry(&entry).map_err(io::Error::other)?;
                first = first.or(Some(entry.log_id.index));
                tail.push(entry, bytes.len());
                batch.put(Family::Log, key(tail.last.map_or(0, |id| id.index)), bytes.into());
            }
            if self.jobs.is_some() {
                tail.unwritten.push_back(first.unwrap_or(u64::MAX));
            }
            tail.trim();
        }
        let Some(jobs) = &self.jobs else {
            callback.io_completed(self.engine.write(batch, true).map_err(io::Error::other));
            return Ok(());
        };
        let tail = Arc::clone(&self.tail);
        let noted = Box::new(move || {
            tail.lock().unwritten.pop_front();
        });
        let job = Job { batch, sync: true, done: Done::Flushed(callback, noted) };
        jobs.send(job).await.map_err(|_| stopped())
    }

    async fn truncate_after(&mut self, last_log_id: Option<Id>) -> Result<(), io::Error> {
        let next = last_log_id.map_or(0, |id| id.index + 1);
        {
            let mut tail = self.tail.lock();
            tail.keep(..next);
            tail.last = last_log_id.or(tail.purged);
        }
        let mut batch = Batch::default();
        batch.delete_range(Family::Log, key(next), key(u64::MAX));
        self.write(batch, true).await
    }

    async fn purge(&mut self, log_id: Id) -> Result<(), io::Error> {
        let mut batch = Batch::default();
        batch.delete_range(Family::Log, key(0), key(log_id.index + 1));
        put_purged(&mut batch, log_id).map_err(io::Error::other)?;
        {
            let mut tail = self.tail.lock();
            tail.keep(log_id.index + 1..);
            tail.grown = tail.bytes;
            tail.purged = Some(log_id);
            tail.last = tail.last.max(Some(log_id));
        }
        // Not synced: it stands behind what was applied in the same write-ahead log, and is lost only with it.
        self.write(batch, false).await
    }
}

/// A log that begins after `id`, with a vote of that time.
pub(super) fn founding(batch: &mut Batch, id: Id, vote: &Vote) -> Result<(), Error> {
    put_purged(batch, id)?;
    batch.put(Family::Meta, VOTE_KEY, store::encode(vote)?);
    Ok(())
}

fn put_purged(batch: &mut Batch, id: Id) -> Result<(), Error> {
    batch.put(Family::Meta, PURGED_KEY, store::encode(&id)?);
    Ok(())
}

fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

fn broken(engine: &Engine, what: &str) -> Error {
    engine.broken(format!("an entry of the log: {what}"))
}

fn stopped() -> io::Error {
    io::Error::other("the log is closed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Storage;

    #[test]
    fn the_thread_ends_with_whoever_holds_it_though_the_log_is_still_used() {
        for is_stopped in [true, false] {
            let folder = tempfile::tempdir().expect("a folder");
            let engine = Arc::new(Engine::open(&Storage::Disk(folder.path().to_owned())).expect("opens"));
            let (log, writing) = Log::open(engine).expect("opens");
            let jobs = log.jobs.clone().expect("a disk has a thread");
            assert!(!jobs.is_closed());
            if is_stopped {
                writing.stop();
            } else {
                drop(writing);
            }
            assert!(jobs.is_closed(), "it reads no more, since it has ended");
        }
    }
}
