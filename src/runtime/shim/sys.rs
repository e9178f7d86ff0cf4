//! System calls that nix does not wrap safely, each behind a function that is.
#![allow(unsafe_code)] // fork, prctl, poll, ioctl and descriptors received by number.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// `Some(pid)` in the parent, `None` in the child.
pub fn fork() -> io::Result<Option<i32>> {
    // SAFETY: the shim has a single thread, so the child may go on with everything, allocation included.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Some(child.as_raw())),
        nix::unistd::ForkResult::Child => Ok(None),
    }
}

/// Closes every descriptor above the standard streams. Only for the start of a process, when nothing owns one or
/// nothing of its owners runs any more.
pub fn close_inherited() -> io::Result<()> {
    // SAFETY: called before anything in this process has opened a descriptor.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
    match result {
        0 => Ok(()),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) => Ok(()), // Linux before 5.9
        _ => Err(io::Error::last_os_error()),
    }
}

/// Heap that is free goes back to the kernel: glibc keeps up to 128 KiB at the end of its heap and more once a large
/// block was freed. A shim is idle nearly always, and there is one per pod.
#[cfg(target_env = "gnu")]
pub fn keep_heap_small() {
    /// Bytes at the heap's end that may stay free, and from which on a block gets its own mapping.
    const KEPT_BYTES: libc::c_int = 16 * 1024;
    // SAFETY: takes numbers only.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BYTES);
    }
}
#[cfg(not(target_env = "gnu"))]
pub fn keep_heap_small() {}

/// Orphans below this process become its children.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// SIGKILL for this process when its parent ends.
pub fn die_with_parent() -> nix::Result<()> {
    // SAFETY: takes numbers only.
    nix::Error::result(unsafe {
        libc::prctl(
            libc::PR_SET_PDEATHSIG,
            libc::SIGKILL as libc::c_ulong,
            0,
            0,
            0,
        )
    })
    .map(drop)
}

/// The name that `ps` shows without arguments.
pub fn rename(name: &std::ffi::CStr) {
    // SAFETY: the name outlives the call, which copies it.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// SIGCHLD as a descriptor.
pub fn child_signals() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    Ok(SignalFd::with_flags(
        &set,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

/// Gives a child the signal state a fresh program expects.
pub fn reset_signals() {
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    // Exec hands on what is ignored: SIGPIPE by Rust's runtime, SIGHUP where the node was started by nohup.
    for signal in Signal::iterator() {
        // SAFETY: SIG_DFL installs no handler. SIGKILL and SIGSTOP cannot be changed, and stay what they are.
        unsafe { libc::signal(signal as libc::c_int, libc::SIG_DFL) };
    }
}

/// Makes standard input the controlling terminal of this session.
pub fn take_terminal() -> io::Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub fn detach_standard_streams() -> io::Result<()> {
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for number in 0..3 {
        nix::unistd::dup2(std::os::fd::AsRawFd::as_raw_fd(&null), number)?;
    }
    Ok(())
}

/// Ends a forked child without running anything of the parent's.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(code) }
}

/// Owns a descriptor that the kernel has just handed over in a message.
pub fn received(fd: RawFd) -> OwnedFd {
    // SAFETY: SCM_RIGHTS made a new descriptor that nobody else in this process knows.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Reads and writes through it answer "would block" instead of waiting.
pub fn non_blocking(fd: &impl std::os::fd::AsRawFd) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = OFlag::from_bits_retain(fcntl(fd.as_raw_fd(), FcntlArg::F_GETFL)?);
    fcntl(fd.as_raw_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Waits for at most `timeout_ms` (-1: without limit); returns which of `interest` (descriptor, events) are ready.
pub fn poll(interest: &[(RawFd, i16)], timeout_ms: i32) -> io::Result<Vec<bool>> {
    let mut set: Vec<libc::pollfd> = interest
        .iter()
        .map(|(fd, events)| libc::pollfd {
            fd: *fd,
            events: *events,
            revents: 0,
        })
        .collect();
    // SAFETY: pointer and length describe `set`.
    let ready = unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, timeout_ms) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        return Ok(vec![false; interest.len()]);
    }
    Ok(set.iter().map(|entry| entry.revents != 0).collect())
}
