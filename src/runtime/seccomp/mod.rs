//! System call filters: what a container may ask of the kernel, seccomp(2).
//!
//! In: a wish (`Unconfined`, `RuntimeDefault`, a profile on disk) and the container's capabilities.
//! Out: a [`Filter`], made before the container exists and loaded by its first process right before it becomes the
//! program.
//!
//! Invariants: everything but loading is pure. A wish that cannot be met is an error, never a weaker filter.
//! The filter finds a system call by halving intervals of numbers: some ten steps, where a chain over every name
//! would be hundreds, on every call of the container. The library everybody uses is in C, and the pure crate
//! (`seccompiler`) knows neither 32-bit ARM nor a second architecture in one filter.
//! It never knows about pods.

mod architecture;
mod compile;
mod install;
mod profile;
mod runtime_default;

pub use compile::Filter;
pub use install::install;

use super::types::Seccomp;
use architecture::Architecture;
use std::io::Read;
use std::path::Path;

/// Largest profile that is read; ones in use have 10 to 60 KiB.
const PROFILE_BYTES_MAX: u64 = 1 << 20;

/// What happens to a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Allow,
    /// Allowed, and written to the audit log.
    Log,
    Errno(u16),
    Trap,
    /// A tracer decides; without one the call fails with ENOSYS.
    Trace(u16),
    KillThread,
    KillProcess,
}

/// A test of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Condition {
    /// 0 to 5.
    argument: u8,
    operator: Operator,
    value: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The argument's bits under this mask equal the value.
    Masked(u64),
}

/// What these calls come to where every condition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    names: Vec<String>,
    action: Action,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Policy {
    default: Action,
    architectures: Vec<Architecture>,
    rules: Vec<Rule>,
    /// `SECCOMP_FILTER_FLAG_*`.
    flags: u32,
}

/// True where the kernel filters system calls: proc(5) shows the line only then.
pub fn supported() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Seccomp:")))
}

/// The filter that `wish` asks for; `capabilities` are names with `CAP_`. `None`: no filter.
pub fn filter(wish: &Seccomp, capabilities: &[String]) -> Result<Option<Filter>, String> {
    let policy = match wish {
        Seccomp::Unconfined => return Ok(None),
        Seccomp::RuntimeDefault => {
            let release = nix::sys::utsname::uname()
                .map(|names| names.release().to_string_lossy().into_owned())
                .unwrap_or_default();
            runtime_default::policy(capabilities, kernel_version(&release))
        }
        Seccomp::Localhost(path) => read(path)?,
    };
    compile::compile(&policy).map(Some)
}

/// Whether the profile at `path` is there and makes a filter.
pub fn check(path: &Path) -> Result<(), String> {
    compile::compile(&read(path)?).map(drop)
}

fn read(path: &Path) -> Result<Policy, String> {
    let failed = |why: &dyn std::fmt::Display| {
        format!("cannot load seccomp profile {:?}: {why}", path.display())
    };
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(PROFILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|e| failed(&e))?;
    if text.len() as u64 > PROFILE_BYTES_MAX {
        return Err(failed(&format!("it is over {PROFILE_BYTES_MAX} bytes")));
    }
    profile::parse(&text).map_err(|e| failed(&e))
}

/// `6.1.21-v8+` is (6, 1).
fn kernel_version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions() {
        for (release, version) in [
            ("6.1.21-v8+", (6, 1)),
            ("4.8-rc1", (4, 8)),
            ("5", (5, 0)),
            ("", (0, 0)),
        ] {
            assert_eq!(kernel_version(release), version, "{release}");
        }
    }
}
