//! Checks of this host.

use std::path::Path;
use std::process::ExitCode;

/// Refuses: this build has no checks.
pub fn run(_fix: bool, _data_dir: &Path) -> ExitCode {
    eprintln!("error: this build of coracle has no checks");
    ExitCode::FAILURE
}
