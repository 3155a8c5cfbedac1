//! A switch as a child process on a core of its own: its CPU time and its memory, all its processes summed.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the C library calls `sysconf(_SC_CLK_TCK)`: 100 on every Linux that matters.
const TICKS_A_SECOND: f64 = 100.0;
/// Descriptors for the switch: four ports for each of 20,000 calls, and room.
const DESCRIPTORS: u64 = 200_000;

/// A running child, killed when it goes out of scope.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `program` on `core`; its output goes to `log`.
    pub(crate) fn start<S: AsRef<OsStr>>(core: usize, program: &Path, arguments: &[S], log: &Path) -> Result<Self> {
        Self::start_with(core, program, arguments, log, &[])
    }

    /// The same with these variables in its environment.
    pub(crate) fn start_with<S: AsRef<OsStr>>(
        core: usize,
        program: &Path,
        arguments: &[S],
        log: &Path,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let output = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let name = program.display().to_string();
        // Both tools replace themselves by the program, so the child's id is the program's.
        let child = Command::new("prlimit")
            .args([&format!("--nofile={0}:{0}", descriptors()), "taskset", "-c", &core.to_string()])
            .arg(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name, log: log.to_owned() })
    }

    /// Waits until `ready` says so, for `limit` at most.
    pub(crate) fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at its start ({status}): {}", self.name, self.log_tail());
            }
            if start.elapsed() > limit {
                bail!("{} is not ready after {} s: {}", self.name, limit.as_secs(), self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// User and system time so far, in microseconds, of the process and all its descendants.
    pub(crate) fn cpu_us(&self) -> f64 {
        let ticks: u64 = self.family().iter().filter_map(|&id| cpu_ticks(id)).sum();
        ticks as f64 * 1e6 / TICKS_A_SECOND
    }

    /// The proportional set size of all its processes, in KB.
    pub(crate) fn pss_kb(&self) -> f64 {
        self.family().iter().filter_map(|&id| pss_kb(id)).sum()
    }

    fn family(&self) -> Vec<u32> {
        let mut family = vec![self.child.id()];
        let all: Vec<(u32, u32)> = processes();
        let mut next = 0;
        while next < family.len() {
            let parent = family[next];
            family.extend(all.iter().filter(|&&(_, of)| of == parent).map(|&(id, _)| id));
            next += 1;
        }
        family
    }

    fn signal(&self, name: &str) {
        let family: Vec<String> = self.family().iter().map(u32::to_string).collect();
        let _ = Command::new("kill").arg(name).args(family).stderr(Stdio::null()).status();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal("-TERM");
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.signal("-KILL");
        let _ = self.child.wait();
    }
}

/// How many descriptors a switch gets: what it needs, or what this machine allows.
pub(crate) fn descriptors() -> u64 {
    let wanted = format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}");
    let raised = Command::new("prlimit").args([&wanted, "true"]).stderr(Stdio::null()).status();
    if raised.is_ok_and(|status| status.success()) {
        return DESCRIPTORS;
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(1024)
}

/// Whether `program` is to be found on the path.
pub(crate) fn installed(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    let sbin = [Path::new("/usr/sbin").to_owned(), Path::new("/usr/local/sbin").to_owned()];
    std::env::split_paths(&path).chain(sbin).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Every process and its parent.
fn processes() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((id, stat(id)?.get(1)?.parse().ok()?))
        })
        .collect()
}

/// The fields of `/proc/ID/stat` behind the name: state, parent, …
fn stat(id: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn cpu_ticks(id: u32) -> Option<u64> {
    let stat = stat(id)?;
    Some(stat.get(11)?.parse::<u64>().ok()? + stat.get(12)?.parse::<u64>().ok()?)
}

fn pss_kb(id: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}
