//! What the binary needs of the system beside files and sockets: limits of the process, and signals.

#![allow(unsafe_code, reason = "getrlimit, setrlimit and kill have no safe wrapper among our dependencies")]

/// Raises the soft limit of open files to the hard one; answers what it is then.
pub(crate) fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write only the struct that they are given.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return 0;
        }
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
    }
    limit.rlim_cur
}

/// Asks a process of ours to end in order (SIGTERM).
pub(crate) fn terminate(pid: u32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: kill takes no pointer; the process is a child of ours that has not been waited for.
    unsafe {
        libc::kill(pid, libc::SIGTERM);
    }
}
