//! `coracle doctor`: can this machine run a node, and if not, how is it mended?
//!
//! What comes in: a file tree (`/`, or a made-up board in tests) and the data directory. What goes out: one line per
//! check, and exit code 1 if a node cannot run.
//!
//! Invariants: facts are gathered in one place and judged by pure functions; a fact that cannot be read is a warning,
//! never a panic; `--fix` does only what can be undone, and says what it did.
//!
//! It never knows about a running node.

mod cgroup;
mod cmdline;
mod facts;
mod fix;
mod gather;
mod isolation;
mod judge;
mod system;

#[cfg(test)]
mod board_tests;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    Warn,
    Fail,
}

/// One line of the doctor's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub level: Level,
    pub what: &'static str,
    pub how: String,
    /// How to mend it; empty where nothing needs mending.
    pub mend: String,
}

impl Check {
    pub fn new(
        level: Level,
        what: &'static str,
        how: impl Into<String>,
        mend: impl Into<String>,
    ) -> Check {
        Check {
            level,
            what,
            how: how.into(),
            mend: mend.into(),
        }
    }

    pub fn ok(what: &'static str, how: impl Into<String>) -> Check {
        Check::new(Level::Ok, what, how, "")
    }

    /// `ok    clock: plausible`, and how to mend it after a dash.
    fn line(&self) -> String {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        let mend = if self.mend.is_empty() {
            String::new()
        } else {
            format!(" - {}", self.mend)
        };
        format!("{level:<5} {}: {}{mend}", self.what, self.how)
    }
}

/// Prints every check of this machine; with `fix` mends first what can be mended safely.
pub fn run(fix: bool, data_dir: &Path) -> ExitCode {
    let root = Path::new("/");
    let mut lines = Vec::new();
    if fix {
        lines.extend(fix::mend(root, &gather::gather(root, data_dir)));
    }
    let checks = judge::judge(&gather::gather(root, data_dir));
    lines.extend(checks.iter().map(Check::line));
    let mut out = std::io::stdout().lock();
    for line in lines {
        // A closed pipe (`doctor | head`) ends the output, not the verdict.
        if writeln!(out, "{line}").is_err() {
            break;
        }
    }
    if checks.iter().any(|check| check.level == Level::Fail) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
