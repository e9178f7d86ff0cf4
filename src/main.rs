//! The command line, nothing else.

fn main() -> std::process::ExitCode {
    coracle::cli::main()
}
