//! Work that takes the processor only when calls leave it: on a thread that may block, at a lower priority while it lasts.
//!
//! A million rates cost each node seconds of work. At the same priority a message that has just come waits for the time slice of
//! that work to end, and on few cores for several of them.

use rustix::process::{getpriority_process, setpriority_process};
use std::sync::OnceLock;

/// The nice value of such work (setpriority(2)); anything else has 0, or what the process was started with.
const NICE: i32 = 10;

/// This thread is calm until it is dropped.
#[derive(Debug)]
pub struct Calm {
    before: Option<i32>,
}

impl Calm {
    /// Lowers the priority of this thread; only where it may be raised again (`RLIMIT_NICE`, `CAP_SYS_NICE`): the thread goes on to
    /// other work, which must not stay behind.
    #[must_use]
    pub fn begin() -> Self {
        static MAY_RETURN: OnceLock<bool> = OnceLock::new();
        let may_return = || std::thread::spawn(|| lower().is_some_and(raise)).join().unwrap_or(false);
        Self { before: if *MAY_RETURN.get_or_init(may_return) { lower() } else { None } }
    }
}

impl Drop for Calm {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            raise(before);
        }
    }
}

/// Answers what it was before; nothing if it is as low already, or cannot be changed. On Linux it is of the calling thread alone.
fn lower() -> Option<i32> {
    let before = getpriority_process(None).ok().filter(|before| *before < NICE)?;
    setpriority_process(None, NICE).ok().map(|()| before)
}

fn raise(to: i32) -> bool {
    setpriority_process(None, to).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_calm_as_long_as_it_says_and_not_longer() {
        let nice = || getpriority_process(None).expect("it can be read");
        let before = nice();
        {
            let _calm = Calm::begin();
            // Where the system lets nobody raise it again, it stays as it is.
            let may_return = std::thread::spawn(move || setpriority_process(None, NICE).is_ok() && raise(before));
            let expected = if may_return.join().expect("it ends") { before.max(NICE) } else { before };
            assert_eq!(nice(), expected);
        }
        assert_eq!(nice(), before);
    }
}
