//! The few system calls that neither std nor socket2 has: epoll, eventfd, and the CPU clock of a thread.
//!
//! The only file of this crate with `unsafe`: each block is one call into libc with memory that outlives it, behind a
//! safe function. Nothing here knows of packets.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// A level-triggered epoll set: a socket that was not emptied is reported again.
pub(crate) struct Poller {
    fd: OwnedFd,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed; a descriptor that is not negative is ours alone.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: as above.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Reports when `source` can be read. Closing the source removes it.
    pub(crate) fn add(&self, source: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN.cast_unsigned(), u64: token };
        // SAFETY: both descriptors are open for the call, and the kernel copies the event.
        check(unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, source.as_raw_fd(), &raw mut event)
        })?;
        Ok(())
    }

    /// Waits until something can be read or the time is over; no timeout waits for ever.
    pub(crate) fn wait(&self, ready: &mut Ready, timeout: Option<Duration>) -> io::Result<()> {
        let timeout_ms = timeout.map_or(-1, |t| i32::try_from(t.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
        let room = i32::try_from(ready.events.len()).unwrap_or(i32::MAX);
        ready.len = 0;
        // SAFETY: the kernel writes at most `room` events into a buffer that holds as many.
        let count = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), ready.events.as_mut_ptr(), room, timeout_ms) };
        match check(count) {
            Ok(count) => ready.len = usize::try_from(count).unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What the last wait reported.
pub(crate) struct Ready {
    events: Box<[libc::epoll_event]>,
    len: usize,
}

impl Ready {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { events: vec![libc::epoll_event { events: 0, u64: 0 }; capacity].into_boxed_slice(), len: 0 }
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = u64> + '_ {
        self.events[..self.len].iter().map(|event| event.u64)
    }

    /// More may be ready than fitted.
    pub(crate) fn is_full(&self) -> bool {
        self.len == self.events.len()
    }
}

/// Wakes a worker from its wait: an eventfd.
pub(crate) struct Wakeup {
    file: File,
}

impl Wakeup {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed; a descriptor that is not negative is ours alone.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: as above.
        Ok(Self { file: unsafe { OwnedFd::from_raw_fd(fd) }.into() })
    }

    /// Never blocks: a counter that is full already wakes.
    pub(crate) fn wake(&self) {
        let _ = (&self.file).write(&1_u64.to_ne_bytes());
    }

    pub(crate) fn clear(&self) {
        let _ = (&self.file).read(&mut [0; 8]);
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Grows the process's descriptor table to hold so many at once, or as many as the limit lets it.
///
/// The kernel doubles the table when it is full, and in a process with threads each doubling waits for an RCU grace
/// period of milliseconds: better at the start than within a call.
pub(crate) fn reserve_descriptors(count: u64, any: BorrowedFd<'_>) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the one structure that it is given.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return;
    }
    let highest = i32::try_from(count.min(limit.rlim_cur.saturating_sub(1))).unwrap_or(i32::MAX);
    // SAFETY: no memory is passed; the copy, if there is one, is ours alone.
    let copy = unsafe { libc::fcntl(any.as_raw_fd(), libc::F_DUPFD_CLOEXEC, highest) };
    if copy >= 0 {
        // SAFETY: as above. It is closed at once: the table stays as large.
        drop(unsafe { OwnedFd::from_raw_fd(copy) });
    }
}

/// CPU time, user and system, that the calling thread has used since it began.
pub(crate) fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the one structure that it is given.
    if unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wakeup_is_reported_until_it_is_cleared() {
        let (poller, wakeup) = (Poller::new().expect("epoll"), Wakeup::new().expect("eventfd"));
        let mut ready = Ready::with_capacity(4);
        poller.add(wakeup.fd(), 7).expect("added");
        poller.wait(&mut ready, Some(Duration::ZERO)).expect("waited");
        assert_eq!(ready.tokens().count(), 0);
        wakeup.wake();
        wakeup.wake();
        poller.wait(&mut ready, None).expect("waited");
        assert_eq!(ready.tokens().collect::<Vec<_>>(), [7]);
        wakeup.clear();
        poller.wait(&mut ready, Some(Duration::ZERO)).expect("waited");
        assert_eq!(ready.tokens().count(), 0);
    }

    #[test]
    fn the_cpu_clock_runs_only_forward() {
        let before = thread_cpu();
        assert!(thread_cpu() >= before);
    }
}
