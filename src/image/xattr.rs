//! Setting extended attributes, for which nix has no call.
#![allow(unsafe_code)] // fsetxattr(2) and lsetxattr(2) through libc.

use nix::errno::Errno;
use nix::libc;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsRawFd;

/// Sets `name` on an open file or directory.
pub(super) fn set(file: &File, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: `name` is NUL-terminated, `value` is valid for its length, and the descriptor is open for the call.
    let result = unsafe {
        libc::fsetxattr(
            file.as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    Errno::result(result).map(drop)
}
