//! One node for all trials of a test binary, and the run of the trials around it.

#![allow(dead_code, clippy::unwrap_used)]

use super::{TestNode, is_root};
use libtest_mimic::{Arguments, Trial};
use std::cell::RefCell;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

/// Trials of one file, by name.
pub type Room = (&'static str, &'static [(&'static str, fn())]);

thread_local! {
    /// The namespaces that the trial on this thread has asked for.
    static SPACES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The node that trials share; each works in a namespace of its own.
pub struct Shared {
    slot: Mutex<Option<Arc<TestNode>>>,
    start: fn() -> TestNode,
}

impl Shared {
    pub const fn new(start: fn() -> TestNode) -> Shared {
        Shared {
            slot: Mutex::new(None),
            start,
        }
    }

    /// Started by the first trial that asks.
    pub fn node(&self) -> Arc<TestNode> {
        let mut slot = self
            .slot
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        slot.get_or_insert_with(|| Arc::new((self.start)())).clone()
    }

    /// The node, with a fresh namespace on it.
    pub fn namespace(&self, name: &str) -> Arc<TestNode> {
        let node = self.node();
        node.apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"
        ));
        SPACES.with_borrow_mut(|spaces| spaces.push(name.to_owned()));
        node
    }

    /// Makes room for the pods of other trials; a failed trial's are left to look at.
    fn leave(&self) {
        let spaces = SPACES.take();
        if spaces.is_empty() {
            return;
        }
        let mut arguments = vec!["delete", "namespace", "--wait=false", "--ignore-not-found"];
        arguments.extend(spaces.iter().map(String::as_str));
        self.node().kubectl(&arguments).must();
    }

    /// Runs every trial, then clears the host. Without root nothing runs, and that is said by name and in the output.
    pub fn run(&'static self, rooms: &[Room]) -> ExitCode {
        let arguments = Arguments::from_args();
        if !is_root() {
            println!("these tests need root: they start a whole node. NOT RUN.");
            let told = Trial::test("not_run_because_not_root", || Ok(())).with_ignored_flag(true);
            return libtest_mimic::run(&arguments, vec![told]).exit_code();
        }
        let mut trials = Vec::new();
        for &(room, tests) in rooms {
            for &(name, test) in tests {
                trials.push(Trial::test(format!("{room}::{name}"), move || {
                    SPACES.take();
                    test();
                    self.leave();
                    Ok(())
                }));
            }
        }
        let conclusion = libtest_mimic::run(&arguments, trials);
        // The last owner's drop resets the host.
        self.slot
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .take();
        conclusion.exit_code()
    }
}
