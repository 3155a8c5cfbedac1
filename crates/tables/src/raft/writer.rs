//! The thread that writes the log: what waits is written together, with one sync.

use super::Types;
use crate::calm::Calm;
use crate::store::{Batch, Engine};
use openraft::storage::IOFlushed;
use std::io;
use std::sync::Weak;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// Writes that may wait. Raft itself bounds what it has under way; this is the last bound.
const WAITING: usize = 1024;
/// Bytes that are written together at most.
const TOGETHER: usize = 16 << 20;

/// Bytes that may take a while.
const LONG: usize = 32 << 10;

/// Something to write, and who wants to know.
pub(super) struct Job {
    pub(super) batch: Batch,
    pub(super) sync: bool,
    pub(super) done: Done,
}

impl Job {
    /// The last one.
    pub(super) fn stop() -> Self {
        Self { batch: Batch::default(), sync: false, done: Done::Stop }
    }
}

/// Who wants to know that it is written.
pub(super) enum Done {
    /// Raft, for entries.
    Flushed(IOFlushed<Types>, Box<dyn FnOnce() + Send>),
    /// Somebody who waits.
    Told(oneshot::Sender<io::Result<()>>),
    /// The thread is to end.
    Stop,
}

/// Starts the thread. It ends when it is told to or nobody can tell it anything any more. It never keeps the engine: a
/// database that was closed by a thread that nobody waits for could outlive `main`, which RocksDB does not survive.
pub(super) fn start(engine: Weak<Engine>) -> io::Result<(mpsc::Sender<Job>, JoinHandle<()>)> {
    let (sender, jobs) = mpsc::channel(WAITING);
    let thread = std::thread::Builder::new().name("tables-log".into()).spawn(move || run(&engine, jobs))?;
    Ok((sender, thread))
}

fn run(engine: &Weak<Engine>, mut jobs: mpsc::Receiver<Job>) {
    while let Some(first) = jobs.blocking_recv() {
        let (mut batch, mut sync, mut waiting) = (Batch::default(), false, Vec::new());
        let mut next = Some(first);
        let mut stop = false;
        while let Some(job) = next {
            sync |= job.sync;
            stop |= matches!(job.done, Done::Stop);
            batch.append(job.batch);
            waiting.push(job.done);
            next = if stop || batch.size() > TOGETHER { None } else { jobs.try_recv().ok() };
        }
        // Only the pieces of large changes are so long.
        let _calm = (batch.size() > LONG).then(Calm::begin);
        let written = match engine.upgrade() {
            Some(engine) => engine.write(batch, sync).map_err(|error| error.to_string()),
            None => Err("the store is closed".to_owned()),
        };
        waiting.into_iter().for_each(|done| tell(done, &written));
        if stop {
            return;
        }
    }
}

fn tell(done: Done, written: &Result<(), String>) {
    let result = || written.clone().map_err(io::Error::other);
    match done {
        Done::Flushed(callback, noted) => {
            noted();
            callback.io_completed(result());
        }
        Done::Told(who) => {
            // Who asked may have gone with the rest of Raft.
            let _ = who.send(result());
        }
        Done::Stop => {}
    }
}
