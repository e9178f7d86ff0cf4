use std::path::Path;
use std::process::ExitCode;
pub fn run(_fix: bool, _data_dir: &Path) -> ExitCode {
    todo!()
}
