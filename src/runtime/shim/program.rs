//! The end of a launch: what libcontainer has prepared becomes the program.

use super::privileges::Privileges;
use super::sys;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::sched::{CloneFlags, setns};
use std::ffi::CString;
use std::fs;
use std::os::fd::RawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Replaces the prepared process by the program, with containerd's wording where that fails.
#[derive(Debug, Clone)]
pub struct Launcher {
    pub user_namespace: Option<RawFd>,
    /// Where it says why it did not become the program.
    pub status: RawFd,
    pub tty: bool,
    pub privileges: Privileges,
}

impl Launcher {
    fn say(&self, message: &str) {
        let mut left = message.as_bytes();
        while let Ok(count @ 1..) = nix::unistd::write(borrowed(&self.status), left) {
            left = &left[count..];
            if left.is_empty() {
                return;
            }
        }
    }
}

#[allow(unsafe_code)] // A descriptor that crossed a clone by its number.
fn borrowed(fd: &RawFd) -> std::os::fd::BorrowedFd<'_> {
    // SAFETY: the launching process keeps it open until the program runs.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(*fd) }
}

impl Executor for Launcher {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        sys::reset_signals();
        if self.tty
            && let Err(error) = sys::take_terminal()
        {
            self.say(&format!("taking the terminal: {error}"));
            return Err(ExecutorError::Other(error.to_string()));
        }
        let args = spec
            .process()
            .as_ref()
            .and_then(|p| p.args().clone())
            .unwrap_or_default();
        let args: Result<Vec<CString>, _> = args.into_iter().map(CString::new).collect();
        let args = args.map_err(|_| ExecutorError::InvalidArg)?;
        let program = args.first().ok_or(ExecutorError::InvalidArg)?;
        if let Some(namespace) = &self.user_namespace
            && let Err(error) = setns(borrowed(namespace), CloneFlags::CLONE_NEWUSER)
        {
            let message = format!("entering the pod's user namespace: {error}");
            self.say(&message);
            return Err(ExecutorError::Other(message));
        }
        if let Err(message) = self.privileges.take_on() {
            self.say(&message);
            return Err(ExecutorError::Other(message));
        }
        let Err(error) = nix::unistd::execvp(program, &args);
        let message = format!("exec {program:?}: {}", error.desc().to_lowercase());
        self.say(&message);
        Err(ExecutorError::Other(message))
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let process = spec.process().as_ref();
        let args = process.and_then(|p| p.args().as_ref());
        let env = process.and_then(|p| p.env().as_ref());
        let path = env
            .and_then(|env| env.iter().rev().find_map(|e| e.strip_prefix("PATH=")))
            .unwrap_or("");
        let program = args.and_then(|a| a.first()).map_or("", String::as_str);
        find_program(program, path).map_err(|message| {
            self.say(&message);
            ExecutorValidationError::ArgValidationError(message)
        })
    }
}

/// Words as Go's os/exec, which is what users of containerd and runc see.
fn find_program(program: &str, path: &str) -> Result<(), String> {
    let executable = |file: &Path| {
        fs::metadata(file).is_ok_and(|d| d.is_file() && d.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        let file = Path::new(program);
        return match fs::metadata(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(format!(
                "exec: {program:?}: stat {program}: no such file or directory"
            )),
            _ if executable(file) => Ok(()),
            Ok(data) if data.is_dir() => Err(format!("exec: {program:?}: is a directory")),
            _ => Err(format!("exec: {program:?}: permission denied")),
        };
    }
    if !program.is_empty()
        && path
            .split(':')
            .any(|d| executable(&Path::new(d).join(program)))
    {
        return Ok(());
    }
    Err(format!(
        "exec: {program:?}: executable file not found in $PATH"
    ))
}
