//! The Kubernetes API, driven by unmodified kubectl and by the `kube` crate. Needs root: a whole node runs.

#[path = "../common/mod.rs"]
mod common;

mod kubectl;
mod library;

use common::TestNode;
use libtest_mimic::{Arguments, Trial};
use std::sync::{Arc, Mutex, OnceLock};

static SHARED: OnceLock<Mutex<Option<Arc<TestNode>>>> = OnceLock::new();

/// The node that trials share. It has the smallest profile, so that history is soon compacted.
pub fn shared() -> Arc<TestNode> {
    let mut slot = SHARED
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    slot.get_or_insert_with(|| {
        let mut node = TestNode::prepare();
        node.profile = "pi-zero-2-w";
        node.up();
        Arc::new(node)
    })
    .clone()
}

/// A fresh namespace on the shared node.
pub fn namespace(name: &str) -> Arc<TestNode> {
    let node = shared();
    node.apply(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"
    ));
    node
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    if !common::is_root() {
        println!("tests/api needs root: it starts a whole node. NOT RUN.");
        return libtest_mimic::run(
            &arguments,
            vec![Trial::test("not_run_because_not_root", || Ok(())).with_ignored_flag(true)],
        )
        .exit_code();
    }
    let mut trials = Vec::new();
    for (room, tests) in [("kubectl", kubectl::TESTS), ("library", library::TESTS)] {
        for &(name, test) in tests {
            trials.push(Trial::test(format!("{room}::{name}"), move || {
                test();
                Ok(())
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(slot) = SHARED.get() {
        // The last owner's drop resets the host.
        slot.lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .take();
    }
    conclusion.exit_code()
}
