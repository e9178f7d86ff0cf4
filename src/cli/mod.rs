//! The `coracle` command: verbs for a node's owner and for its users.
use std::process::ExitCode;

/// Parses the command line, runs the verb, prints errors to standard error.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|verb| verb == "shim") {
        return crate::runtime::shim_main(&arguments[1..]);
    }
    todo!("command line")
}
