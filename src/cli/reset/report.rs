//! What was removed, and what could not be.

use crate::cli::Outcome;
use std::process::ExitCode;

/// Prints as it goes; remembers failures.
#[derive(Debug, Default)]
pub struct Report {
    quiet: bool,
    removed: usize,
    failures: usize,
}

impl Report {
    /// Says only what fails.
    pub fn quiet() -> Report {
        Report {
            quiet: true,
            ..Report::default()
        }
    }
    pub fn removed(&mut self, what: &str, name: &str) {
        self.removed += 1;
        if !self.quiet {
            println!("removed {what} {name}");
        }
    }
    pub fn failed(&mut self, what: &str, name: &str, cause: &anyhow::Error) {
        self.failures += 1;
        eprintln!("error: {what} {name} could not be removed: {cause:#}");
    }
    pub fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("note: {text}");
        }
    }
    /// Fails where something is left.
    pub fn finish(self) -> Outcome {
        if self.failures > 0 {
            anyhow::bail!(
                "{} of {} things are left; run it again when their users are gone",
                self.failures,
                self.failures + self.removed
            );
        }
        if self.removed == 0 && !self.quiet {
            println!("nothing of Coracle is on this host");
        }
        Ok(ExitCode::SUCCESS)
    }
}
