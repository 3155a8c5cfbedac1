//! The built-in partners: a PBX that calls, and carriers that answer with audio of their own.

use anyhow::{Context as _, anyhow};
use load::{Mix, NumberRange, Options, Progress, Report, Snapshot};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// The tables of the three sites know these.
const PBX: ([u8; 4], u16) = ([127, 0, 9, 1], 5060);
const PBX_SECOND: ([u8; 4], u16) = ([127, 0, 9, 2], 5060);
const ALPHA: ([u8; 4], u16) = ([127, 0, 9, 10], 5080);
const BETA: ([u8; 4], u16) = ([127, 0, 9, 20], 5080);
/// The trunk with few channels.
pub(super) const SMALL: &str = "beta";
/// Calls a second: a view that a person can follow.
const RATE: f64 = 20.0;
/// Calls for the small trunk, all at once and over all sites.
pub(super) const AT_ONCE: u64 = 60;
/// How long those that are admitted last: long past the last of the others.
const HELD: Duration = Duration::from_secs(6);

/// An entrance that says nothing for so long is passed over: partners have a list of them.
const FAILOVER: Duration = Duration::from_millis(500);

/// A run of them on a thread of its own.
pub(super) struct Partners {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<Result<Report, load::Error>>>,
}

impl Partners {
    /// The calls of everyday: they enter at each site in turn and go to alpha.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn usual(calls: u64, entrances: &[SocketAddr]) -> anyhow::Result<Self> {
        let mut options = options(PBX, ALPHA, entrances)?;
        options.rate = RATE;
        options.calls = Some(calls);
        // Twice the time that the calls need at this rate: the count ends the run, not the clock.
        options.duration = Duration::from_secs(calls / 10 + 10);
        // Long enough that whoever is up when a site dies is up long after it.
        options.hold = Duration::from_secs(8);
        options.ring = Duration::from_millis(300);
        options.mix = Mix { answered: 8, busy: 1, cancelled: 1, no_answer: 0 };
        options.called_numbers = NumberRange { first: "+447700900000".into(), count: 10_000 };
        Self::start("partners", options)
    }

    /// More calls at once, over all sites, than beta has channels in the whole cluster.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn burst(entrances: &[SocketAddr]) -> anyhow::Result<Self> {
        let mut options = options(PBX_SECOND, BETA, entrances)?;
        options.rate = 1_000.0;
        options.calls = Some(AT_ONCE);
        options.hold = HELD;
        options.called_numbers = NumberRange { first: "+491510000000".into(), count: 10_000 };
        Self::start("burst", options)
    }

    fn start(name: &str, options: Options) -> anyhow::Result<Self> {
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
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

fn options(caller: ([u8; 4], u16), callee: ([u8; 4], u16), entrances: &[SocketAddr]) -> anyhow::Result<Options> {
    let [first, more @ ..] = entrances else { return Err(anyhow!("no node takes calls")) };
    let mut options = Options::new(SocketAddr::from(caller), Some(SocketAddr::from(callee)), *first);
    options.more_targets = more.to_vec();
    options.audio = true;
    options.failover = Some(FAILOVER);
    options.caller_numbers = NumberRange { first: "+442071230100".into(), count: 100 };
    Ok(options)
}

impl Drop for Partners {
    fn drop(&mut self) {
        self.progress.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
