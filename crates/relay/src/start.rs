//! Starts and joins the worker threads: alone, as here, or one a shard actor.

use crate::handle::Handle;
use crate::worker::Worker;
use crate::{Error, Options};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

/// How a worker thread ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was told to.
    Stopped,
    /// It panicked or epoll failed; its sessions have been released.
    Failed,
}

/// The relay with worker threads of its own and nobody who restarts them: for tests, benchmarks and small tools. The
/// switch uses [`Handle::prepare`] and [`crate::spawn_shard`].
pub struct Relay {
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// [`Error::Options`], or [`Error::Io`] when the system refuses descriptors or threads.
    pub fn start(options: Options) -> Result<Self, Error> {
        let mut relay = Self { handle: Handle::prepare(options)?, threads: Vec::new() };
        for index in 0..relay.handle.shards() {
            relay.threads.push(start_worker(&relay.handle, index, |_| {})?);
        }
        Ok(relay)
    }

    /// A handle for the rest of the program.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Releases every session and waits for the threads.
    pub fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.handle.shared.shards.iter().for_each(|shard| shard.queue.stop());
        for thread in self.threads.drain(..) {
            // A worker catches its own panics.
            let _ = thread.join();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.join();
    }
}

/// Starts the thread of one shard; `ended` is called on it when all its sessions are gone.
pub(crate) fn start_worker(
    handle: &Handle,
    index: usize,
    ended: impl FnOnce(Exit) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    handle.shared.shards[index].queue.resume();
    let mut worker = Worker::new(handle.clone(), index)?;
    std::thread::Builder::new().name(format!("relay-{index}")).spawn(move || ended(work(&mut worker)))
}

fn work(worker: &mut Worker) -> Exit {
    let exit = match catch_unwind(AssertUnwindSafe(|| worker.run())) {
        Ok(Ok(())) => Exit::Stopped,
        Ok(Err(error)) => {
            tracing::error!(%error, "a relay worker failed");
            Exit::Failed
        }
        Err(_) => Exit::Failed,
    };
    worker.abandon(exit == Exit::Failed);
    exit
}
