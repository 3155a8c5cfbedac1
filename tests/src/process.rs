//! Processes that a test starts, and waiting with a deadline.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds; panics with `what` when it has not by then.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    assert!(holds_within(limit, &mut condition), "waited {limit:?} for: {what}");
}

/// Whether `condition` comes to hold within `limit`.
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

/// Waits for a moment, where a test or a fault plan is about time itself.
pub fn sleep_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}

/// A figure for whoever runs a test with `--no-capture`.
#[allow(clippy::print_stderr, reason = "nobody else speaks here")]
pub fn report(line: &str) {
    eprintln!("{line}");
}

/// A child process whose output goes to files. It is killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts `command`, writing its standard output and error to `<dir>/<name>.out`.
    pub fn start(command: &mut Command, dir: &Path, name: &str) -> Self {
        let output = dir.join(format!("{name}.out"));
        let file = File::options().create(true).append(true).open(&output).expect("the output file can be made");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file handle can be copied"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}: {command:?}"));
        Self { name: name.to_owned(), child, output }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end; panics, with what it wrote, when that takes longer than `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        let ended = holds_within(limit, || {
            status = self.child.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        assert!(ended, "{} did not end within {limit:?}:\n{}", self.name, self.output());
        status.expect("it ended")
    }

    /// Asks it to stop (SIGTERM) and waits.
    #[track_caller]
    pub fn stop(&mut self, limit: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait(limit)
    }

    /// Ends it at once (SIGKILL), as a failing machine would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name, such as `TERM` or `USR1`.
    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
    }

    /// What became of it: how it ended, or what its threads do. To be read where it should have answered and has not.
    pub fn state(&self) -> String {
        let proc = PathBuf::from(format!("/proc/{}", self.id()));
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        // Behind the name, which may hold anything: the state first, the status that its end left last.
        let stat = read(proc.join("stat"));
        let fields: Vec<&str> = stat.rsplit_once(')').map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
        if fields.first().is_none_or(|state| *state == "Z") {
            let status = fields.last().and_then(|code| code.parse().ok()).map(ExitStatus::from_raw);
            return status.map_or_else(|| "is gone".to_owned(), |status| format!("has ended: {status}"));
        }
        let threads = std::fs::read_dir(proc.join("task")).into_iter().flatten().flatten();
        let threads = threads.map(|thread| {
            let stat = read(thread.path().join("stat"));
            let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or("?");
            format!("{} {state} {}", read(thread.path().join("comm")).trim(), read(thread.path().join("wchan")).trim())
        });
        format!("runs: {}", threads.collect::<Vec<_>>().join("; "))
    }

    /// The last part of what it wrote.
    pub fn output(&self) -> String {
        tail(&self.output, 6_000)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last `limit` bytes of a file, or nothing if there is none.
pub fn tail(path: &Path, limit: usize) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(limit)..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_process_ended_is_told_from_one_that_hangs() {
        let dir = tempfile::tempdir().expect("a folder");
        let process = Process::start(Command::new("sleep").arg("1000"), dir.path(), "sleep");
        wait_until("it sleeps", Duration::from_secs(10), || process.state().starts_with("runs: sleep S"));
        process.signal("KILL");
        wait_until("it is dead", Duration::from_secs(10), || process.state().contains("has ended"));
        assert!(process.state().contains("SIGKILL"), "{}", process.state());
    }
}
