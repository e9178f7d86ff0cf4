//! The kernel's descriptor-based mount calls, which nix does not wrap yet (Linux 5.2; libcontainer needs them too).
#![allow(unsafe_code)] // open_tree, move_mount and descriptors received by number.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Owns a descriptor that a call has just returned.
pub fn own_fd(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel made it for the caller, and nobody else in this process knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A detached copy of the mounts at `place`, all below included. It stays in the peer groups of what it copies.
/// open_tree(2)
pub fn copy_tree(place: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE
        | libc::OPEN_TREE_CLOEXEC
        | (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE) as libc::c_uint;
    // SAFETY: a descriptor that lives through the call, an empty string and flags.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, place.as_raw_fd(), c"".as_ptr(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(own_fd(fd as RawFd))
}

/// Attaches a detached tree at `target`. move_mount(2)
pub fn attach_tree(tree: &OwnedFd, target: &Path) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    // SAFETY: a descriptor and strings that live through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
