//! Work that takes the processor only when calls leave it: on a thread that may block, at a lower priority while it lasts.
//!
//! A million rates cost each node seconds of work. At the same priority a message that has just come waits for the time slice of
//! that work to end, and on few cores for several of them. A lower one alone does not help with the first: whoever runs may use up its
//! slice. So such work asks for a longer one, which the scheduler (since Linux 6.12) takes as leave to interrupt it at any time for
//! whoever has a shorter one, as everybody else has. Only a little longer: of two such threads that share a processor one owes the
//! other as much as a slice, and when it is paid back whoever carries calls waits.
//!
//! Whoever has just had more than its share is passed over even so, until the scheduler looks again at its next tick. So such work
//! looks up by itself, more often than that: it [breathes](breathe). And leaves the processor for a moment even if nobody waits for it,
//! since whoever comes then finds it free.

#![allow(unsafe_code, reason = "sched_setattr has no safe form in the library")]

use rustix::process::{Pid, getpriority_process, setpriority_process};
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The nice value of such work (setpriority(2)); anything else has 0, or what the process was started with.
const NICE: i32 = 10;
/// The slice of such work in nanoseconds: longer than the usual one, which is 2.8 ms at most.
const SLICE: u64 = 3_000_000;
/// As long as everybody's.
const USUAL: u64 = 0;
/// Between two breaths: a tick of the scheduler takes 1 to 10 ms.
const BREATH: Duration = Duration::from_micros(500);
/// As long as a breath is: some ten steps of a call.
const PAUSE: Duration = Duration::from_micros(200);

thread_local! {
    /// When this thread took its last breath; only while it is calm.
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Where long work may pause: others have this processor for a moment, if this thread is calm and has worked for a while.
pub fn breathe() {
    breathe_by(|| std::thread::sleep(PAUSE));
}

fn breathe_by(pause: impl FnOnce()) {
    let Some(last) = LAST.get() else { return };
    if last.elapsed() >= BREATH {
        pause();
        LAST.set(Some(Instant::now()));
    }
}

/// This thread is calm until it is dropped.
#[derive(Debug)]
pub struct Calm {
    /// Its nice value; nothing if it stays as it is.
    before: Option<i32>,
}

impl Calm {
    /// Lowers the priority of this thread; only where it may be raised again (`RLIMIT_NICE`, `CAP_SYS_NICE`): the thread goes on to
    /// other work, which must not stay behind.
    #[must_use]
    pub fn begin() -> Self {
        static MAY_RETURN: OnceLock<bool> = OnceLock::new();
        let may_return = || std::thread::spawn(|| lower().is_some_and(raise)).join().unwrap_or(false);
        let before = if *MAY_RETURN.get_or_init(may_return) { lower() } else { None };
        if before.is_some() {
            LAST.set(Some(Instant::now()));
        }
        Self { before }
    }
}

impl Drop for Calm {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            LAST.set(None);
            raise(before);
        }
    }
}

/// Answers what it was before; nothing if it is as low already, or cannot be changed. On Linux it is of the calling thread alone.
fn lower() -> Option<i32> {
    let before = getpriority_process(None).ok().filter(|before| *before < NICE)?;
    set(0, NICE, SLICE).then_some(before)
}

fn raise(to: i32) -> bool {
    set(0, to, USUAL)
}

/// Makes the threads calm that RocksDB keeps for all databases of the process. Records are written to memory first, and their writer
/// waits for these threads only when what is in memory fills up faster than they flush it.
pub(crate) fn calm_rocksdb() {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for thread in threads {
        let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        let id = thread.file_name().to_str().and_then(|id| id.parse().ok());
        if let Some(id) = id.filter(|_| name.starts_with("rocksdb:"))
            && let Ok(before) = getpriority_process(Pid::from_raw(id))
        {
            set(id, before.max(NICE), SLICE);
        }
    }
}

/// Of the thread with this id, 0 for the calling one; whether the system lets it. A filter of system calls may let pass the nice value
/// alone.
fn set(thread: libc::pid_t, nice: i32, slice: u64) -> bool {
    set_both(thread, nice, slice) || setpriority_process(Pid::from_raw(thread), nice).is_ok()
}

fn set_both(thread: libc::pid_t, nice: i32, slice: u64) -> bool {
    // SAFETY: plain numbers, of which all zeros is a value.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    attributes.size = size_of::<libc::sched_attr>() as u32;
    attributes.sched_flags = libc::SCHED_FLAG_KEEP_POLICY as u64;
    attributes.sched_nice = nice;
    attributes.sched_runtime = slice;
    // SAFETY: the kernel reads as much of the attributes as their size says.
    unsafe { libc::syscall(libc::SYS_sched_setattr, thread, &raw const attributes, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nice() -> i32 {
        getpriority_process(None).expect("it can be read")
    }

    /// Nanoseconds; 0 with a kernel that knows none.
    fn slice(thread: libc::pid_t) -> u64 {
        // SAFETY: plain numbers, of which all zeros is a value, written by the kernel as far as their size says.
        unsafe {
            let mut attributes: libc::sched_attr = std::mem::zeroed();
            let size = size_of::<libc::sched_attr>();
            assert_eq!(libc::syscall(libc::SYS_sched_getattr, thread, &raw mut attributes, size, 0), 0);
            attributes.sched_runtime
        }
    }

    #[test]
    fn a_thread_is_calm_as_long_as_it_says_and_not_longer() {
        let before = (nice(), slice(0));
        {
            let _calm = Calm::begin();
            // Where the system lets nobody raise it again, it stays as it is.
            let may_return = std::thread::spawn(move || set(0, NICE, SLICE) && raise(before.0));
            let expected = if may_return.join().expect("it ends") { before.0.max(NICE) } else { before.0 };
            assert_eq!(nice(), expected);
            if expected > before.0 && before.1 > 0 {
                assert_eq!(slice(0), SLICE);
            }
        }
        assert_eq!((nice(), slice(0)), before);
    }

    #[test]
    fn only_a_calm_thread_breathes_and_only_after_a_while() {
        let paused = || {
            let mut paused = false;
            breathe_by(|| paused = true);
            paused
        };
        let wait = |since: Instant| {
            while since.elapsed() < BREATH {
                std::hint::spin_loop();
            }
        };
        wait(Instant::now());
        assert!(!paused(), "nobody is calm");
        let calm = Calm::begin();
        if let Some(began) = LAST.get() {
            assert!(!paused() || began.elapsed() >= BREATH, "it has just begun");
            let last = LAST.get().expect("it is calm");
            wait(last);
            assert!(paused(), "a while has passed");
            assert!(LAST.get() > Some(last), "the next while begins");
        }
        assert_eq!(LAST.get().is_some(), calm.before.is_some());
        drop(calm);
        wait(Instant::now());
        assert!(!paused(), "it is calm no more");
    }

    #[test]
    fn what_rocksdb_does_in_the_background_is_interrupted() {
        let folder = tempfile::tempdir().expect("a folder");
        let _db = rocksdb::DB::open_default(folder.path()).expect("it opens");
        calm_rocksdb();
        let mut found = 0;
        for thread in std::fs::read_dir("/proc/self/task").expect("proc is there").flatten() {
            let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            let id: i32 = thread.file_name().to_str().and_then(|id| id.parse().ok()).expect("a number");
            if name.starts_with("rocksdb:") && slice(0) > 0 {
                found += 1;
                assert_eq!(slice(id), SLICE, "{name}");
            }
        }
        assert!(found > 0 || slice(0) == 0, "RocksDB names its threads otherwise now");
    }
}
