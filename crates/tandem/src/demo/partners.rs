//! The built-in partners: a PBX that calls, and a carrier that answers with audio of its own.

use anyhow::{Context as _, anyhow};
use load::{Mix, NumberRange, Options, Progress, Report, Snapshot};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// The sample tables know these.
const PBX: ([u8; 4], u16) = ([127, 0, 9, 1], 5060);
const ALPHA: ([u8; 4], u16) = ([127, 0, 9, 10], 5080);
const NODE: ([u8; 4], u16) = ([127, 0, 1, 1], 5060);
/// Calls a second: a view that a person can follow.
const RATE: f64 = 20.0;

/// A run of them on a thread of its own.
pub(super) struct Partners {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<Result<Report, load::Error>>>,
}

impl Partners {
    /// Starts calling.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(calls: u64) -> anyhow::Result<Self> {
        let mut options = Options::new(SocketAddr::from(PBX), Some(SocketAddr::from(ALPHA)), SocketAddr::from(NODE));
        options.rate = RATE;
        options.calls = Some(calls);
        // Twice the time that the calls need at this rate: the count ends the run, not the clock.
        options.duration = Duration::from_secs(calls / 10 + 10);
        options.hold = Duration::from_secs(5);
        options.ring = Duration::from_millis(300);
        options.audio = true;
        options.mix = Mix { answered: 8, busy: 1, cancelled: 1, no_answer: 0 };
        options.caller_numbers = NumberRange { first: "+442071230100".into(), count: 100 };
        options.called_numbers = NumberRange { first: "+447700900000".into(), count: 10_000 };
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let thread = std::thread::Builder::new()
            .name("partners".to_owned())
            .spawn(move || load::run(&options, &shared))
            .context("the partners' thread")?;
        Ok(Self { progress, thread: Some(thread) })
    }

    /// Whether every call has ended.
    pub(super) fn finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Where they stand.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.progress.snapshot()
    }

    /// What came of it.
    ///
    /// # Errors
    /// A partner's address cannot be bound.
    pub(super) fn report(&mut self) -> anyhow::Result<Report> {
        let thread = self.thread.take().ok_or_else(|| anyhow!("the partners have reported already"))?;
        let report = thread.join().map_err(|_| anyhow!("the partners failed"))?;
        report.context("the partners could not call")
    }
}

impl Drop for Partners {
    fn drop(&mut self) {
        self.progress.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
