//! Real containers on a real node, driven by unmodified kubectl. Needs root.

#[path = "../common/busybox.rs"]
mod busybox;
#[path = "../common/mod.rs"]
mod common;

mod adoption;
mod images;
mod lifecycle;
mod logs;
mod refusals;
mod reset;
mod streams;

use common::TestNode;
use libtest_mimic::{Arguments, Trial};
use std::sync::{Arc, Mutex, OnceLock};

/// The node that trials share; each works in a namespace of its own.
static SHARED: OnceLock<Mutex<Option<Arc<TestNode>>>> = OnceLock::new();

/// The shared node, started by the first trial that asks; it has the busybox image.
pub fn shared() -> Arc<TestNode> {
    let mut slot = SHARED
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    slot.get_or_insert_with(|| {
        let node = TestNode::start();
        import_busybox(&node);
        Arc::new(node)
    })
    .clone()
}

pub fn import_busybox(node: &TestNode) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let archive = directory.path().join("busybox.tar");
    busybox::write_archive(&archive);
    node.coracle(&["image", "import", &archive.to_string_lossy()])
        .must();
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
        // Said in the name and in the output, and never passed off as a success of the tests themselves.
        println!("tests/node needs root: it starts real containers. NOT RUN.");
        return libtest_mimic::run(
            &arguments,
            vec![Trial::test("not_run_because_not_root", || Ok(())).with_ignored_flag(true)],
        )
        .exit_code();
    }
    let mut trials = Vec::new();
    for (room, tests) in [
        ("lifecycle", lifecycle::TESTS),
        ("logs", logs::TESTS),
        ("streams", streams::TESTS),
        ("images", images::TESTS),
        ("adoption", adoption::TESTS),
        ("refusals", refusals::TESTS),
        ("reset", reset::TESTS),
    ] {
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
