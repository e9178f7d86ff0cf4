//! Lines about things on their way: moving on a terminal, one per change elsewhere.

use super::say;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// The name of the line that counts.
const COUNTED: &str = "clients";

/// A line for each name.
pub struct Board {
    terminal: bool,
    all: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
    said: BTreeMap<String, String>,
}

impl Board {
    pub fn new() -> Board {
        Board {
            terminal: std::io::stdout().is_terminal() && std::io::stderr().is_terminal(),
            all: MultiProgress::new(),
            bars: BTreeMap::new(),
            said: BTreeMap::new(),
        }
    }

    pub fn show(&mut self, name: &str, state: &str, settled: bool) {
        if self.said.get(name).is_some_and(|before| before == state) {
            return;
        }
        self.said.insert(name.to_owned(), state.to_owned());
        if !self.terminal {
            say(&format!("  {name:<22} {state}"));
            return;
        }
        self.draw(name, state, settled);
    }

    /// What changes many times a second: for a terminal only, and only until it is told in another way.
    pub fn count(&mut self, state: &str) {
        if self.terminal {
            self.draw(COUNTED, state, false);
        }
    }

    fn draw(&mut self, name: &str, state: &str, settled: bool) {
        let bar = self.bars.entry(name.to_owned()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("  {spinner} {prefix:22} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        if settled {
            bar.finish_with_message(state.to_owned());
        } else {
            bar.set_message(state.to_owned());
        }
    }
}

/// What is still moving stays as it is: nobody looks after it any more.
impl Drop for Board {
    fn drop(&mut self) {
        for bar in self.bars.values() {
            bar.disable_steady_tick();
            if bar.prefix() == COUNTED {
                bar.finish_and_clear();
            } else {
                bar.abandon();
            }
        }
        // The last line was drawn without its end.
        if !self.bars.is_empty() {
            let _ = writeln!(std::io::stderr());
        }
    }
}
