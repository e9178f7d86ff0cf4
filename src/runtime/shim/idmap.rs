//! Mounts on which files' owners are shifted into the pod's range: mount_setattr(2), `MOUNT_ATTR_IDMAP`.
#![allow(unsafe_code)] // libc has no functions for these system calls, only their numbers.

use crate::runtime::mount_api::{attach_tree, own_fd};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const OPEN_TREE_CLONE: libc::c_uint = 1;
const OPEN_TREE_CLOEXEC: libc::c_uint = libc::O_CLOEXEC as libc::c_uint;
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Mounts `source` on `target` once more, seen with the ids of `user_namespace`. What is mounted below `source` does
/// not come along.
pub fn mount(source: &Path, target: &Path, user_namespace: &File) -> Result<(), String> {
    shifted(source, target, user_namespace).map_err(|error| {
        let why = match error.raw_os_error() {
            Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => {
                " (this kernel or file system cannot shift owners; leave out `hostUsers: false`)"
            }
            _ => "",
        };
        format!(
            "mounting {} for the pod's own users: {error}{why}",
            source.display()
        )
    })
}

fn shifted(source: &Path, target: &Path, user_namespace: &File) -> io::Result<()> {
    let source = text(source)?;
    // SAFETY: the path is a string with an end and outlives the call.
    let tree = result(unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            libc::AT_FDCWD,
            source.as_ptr(),
            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC,
        )
    })?;
    let tree = own_fd(tree as i32);
    let attributes = Attributes {
        set: MOUNT_ATTR_IDMAP,
        clear: 0,
        propagation: 0,
        user_namespace: user_namespace.as_raw_fd() as u64,
    };
    // SAFETY: the attributes outlive the call, and the size is theirs.
    result(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH as libc::c_uint,
            std::ptr::from_ref(&attributes),
            size_of::<Attributes>(),
        )
    })?;
    attach_tree(&tree, target)
}

fn text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn result(value: libc::c_long) -> io::Result<libc::c_long> {
    match value {
        0.. => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}
