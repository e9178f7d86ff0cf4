//! Loading a filter into the calling process, seccomp(2).
#![allow(unsafe_code)] // The system call takes pointers.

use super::compile::Filter;
use std::io;

const SET_MODE_FILTER: libc::c_uint = 1;
const FLAG_SPEC_ALLOW: u32 = 1 << 2;

/// Filters the calling process and all it starts, for good. Needs CAP_SYS_ADMIN in its user namespace, or
/// no_new_privs.
pub fn install(filter: &Filter) -> io::Result<()> {
    let mut steps: Vec<libc::sock_filter> = filter
        .program
        .iter()
        .map(|step| libc::sock_filter {
            code: step.code,
            jt: step.if_true,
            jf: step.if_false,
            k: step.operand,
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(steps.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: steps.as_mut_ptr(),
    };
    match load(&program, filter.flags) {
        // Linux before 4.17 lacks the flag, which only spares the container a slowdown.
        Err(error)
            if error.raw_os_error() == Some(libc::EINVAL)
                && filter.flags & FLAG_SPEC_ALLOW != 0 =>
        {
            load(&program, filter.flags & !FLAG_SPEC_ALLOW)
        }
        result => result,
    }
}

fn load(program: &libc::sock_fprog, flags: u32) -> io::Result<()> {
    // SAFETY: the program and its steps outlive the call, which copies them; the length is theirs.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SET_MODE_FILTER,
            flags,
            std::ptr::from_ref(program),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
