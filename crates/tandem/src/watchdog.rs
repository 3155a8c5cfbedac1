//! Ends the process when its runtime stands still while the machine does not: what hangs is worth less than a node that its
//! supervisor starts again, whose calls others have taken meanwhile.
//!
//! It decides by its own thread's time, so a process that was stopped or a machine that stood still accuses nobody.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The runtime may stand still for so long. The others have given the node up long before, and no load makes it wait like this.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// Looks in this time.
const LOOKS: u32 = 40;
/// What is last said may take so long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How the runtime shows that it goes on: a task of it moves this several times in each look.
#[derive(Clone, Default)]
struct Beat(Arc<AtomicU64>);

/// What one look after the other comes to.
struct Watch {
    limit: Duration,
    seen: u64,
    /// When the thread last looked.
    looked: Instant,
    /// For how long the beat has not moved, as far as this thread was awake.
    still: Duration,
}

impl Watch {
    fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, seen: 0, looked: now, still: Duration::ZERO }
    }

    fn pause(&self) -> Duration {
        self.limit / LOOKS
    }

    /// Whether the beat has stood still for too long. A look that comes late counts as one: this thread slept as well.
    fn is_over(&mut self, now: Instant, beat: u64) -> bool {
        let since = now.saturating_duration_since(self.looked).min(self.pause() * 2);
        self.looked = now;
        self.still = if beat == self.seen { self.still + since } else { Duration::ZERO };
        self.seen = beat;
        self.still >= self.limit
    }
}

/// Watches the runtime that this is called in, until the process ends.
///
/// # Errors
/// The thread cannot be made.
pub(crate) fn start() -> std::io::Result<()> {
    watch(LIMIT, || {
        let said = std::thread::spawn(|| {
            tracing::error!(
                limit_s = LIMIT.as_secs(),
                threads = %threads(Path::new("/proc/self/task")),
                "nothing moves in this process: it ends, to be started again"
            );
        });
        // Whatever holds everything else up may hold the log up as well.
        let deadline = Instant::now() + LAST_WORDS;
        while !said.is_finished() && Instant::now() < deadline {
            std::thread::sleep(LAST_WORDS / 100);
        }
        std::process::abort();
    })
}

fn watch(limit: Duration, end: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let beat = Beat::default();
    let mut watch = Watch::new(limit, Instant::now());
    let (beating, pause) = (beat.clone(), watch.pause());
    tokio::spawn(async move {
        loop {
            beating.0.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(pause / 4).await;
        }
    });
    std::thread::Builder::new().name("watchdog".into()).spawn(move || {
        loop {
            std::thread::sleep(pause);
            // A runtime that has ended has dropped its tasks, and nobody is left to be watched.
            if Arc::strong_count(&beat.0) == 1 {
                return;
            }
            if watch.is_over(Instant::now(), beat.0.load(Ordering::Relaxed)) {
                return end();
            }
        }
    })?;
    Ok(())
}

/// What each thread does: its name, its state and where in the kernel it waits (`man 5 proc`).
fn threads(tasks: &Path) -> String {
    let Ok(tasks) = std::fs::read_dir(tasks) else { return String::new() };
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let lines = tasks.flatten().map(|task| {
        let (name, waits) = (read(task.path().join("comm")), read(task.path().join("wchan")));
        let stat = read(task.path().join("stat"));
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next()).unwrap_or('?');
        format!("{} {state} {}", name.trim(), waits.trim())
    });
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime")
    }

    #[test]
    fn a_runtime_whose_workers_all_hang_is_ended() {
        let (runtime, (ended, is_ended)) = (runtime(), mpsc::channel());
        let (go_on, may_go_on) = mpsc::channel::<()>();
        runtime.block_on(async move {
            watch(Duration::from_millis(200), move || ended.send(()).expect("somebody waits")).expect("a thread");
        });
        runtime.spawn(async move {
            let _ = may_go_on.recv();
        });
        is_ended.recv_timeout(Duration::from_secs(10)).expect("it is ended");
        drop(go_on);
    }

    #[test]
    fn a_runtime_that_waits_is_not_ended_and_one_that_is_gone_is_not_watched() {
        let (runtime, (ended, is_ended)) = (runtime(), mpsc::channel::<()>());
        let limit = Duration::from_millis(200);
        runtime.block_on(async move {
            watch(limit, move || ended.send(()).expect("somebody waits")).expect("a thread");
        });
        assert_eq!(is_ended.recv_timeout(limit * 5), Err(mpsc::RecvTimeoutError::Timeout));
        drop(runtime);
        assert_eq!(is_ended.recv_timeout(limit * 20), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn time_in_which_the_whole_process_slept_counts_as_one_look() {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(20), start);
        assert!(!watch.is_over(start + Duration::from_secs(1), 7));
        assert!(!watch.is_over(start + Duration::from_secs(3_600), 7), "an hour on the bench");
        let mut now = start + Duration::from_secs(3_600);
        let looks = (1..).find(|_| {
            now += Duration::from_millis(500);
            watch.is_over(now, 7)
        });
        assert_eq!(looks, Some(38), "the late look counts as two");
    }

    #[test]
    fn what_each_thread_does_is_said() {
        let said = threads(Path::new("/proc/self/task"));
        assert!(said.contains(" R 0") || said.contains(" R "), "this one runs: {said}");
    }
}
