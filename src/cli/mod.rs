//! The `coracle` command: verbs for a node's owner and for its users.
pub mod describe;

use std::process::ExitCode;

/// Parses the command line, runs the verb, prints errors to standard error.
pub fn main() -> ExitCode {
    todo!("command line")
}
