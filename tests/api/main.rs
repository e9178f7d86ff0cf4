//! The Kubernetes API, driven by unmodified kubectl, by the `kube` crate and by the Python client. Needs root: a whole node
//! runs.

#[path = "../common/busybox.rs"]
mod busybox;
#[path = "../common/mod.rs"]
mod common;

mod access;
mod applications;
mod kubectl;
mod library;
mod policies;
mod python;
mod workloads;

use common::TestNode;
use common::shared::Shared;
use std::process::ExitCode;
use std::sync::Arc;

/// It has the smallest profile, so that history is soon compacted, and the busybox image.
static SHARED: Shared = Shared::new(|| {
    let mut node = TestNode::prepare();
    node.profile = "pi-zero-2-w";
    node.up();
    import_busybox(&node, busybox::IMAGE);
    node
});

pub fn shared() -> Arc<TestNode> {
    SHARED.node()
}

pub fn namespace(name: &str) -> Arc<TestNode> {
    SHARED.namespace(name)
}

/// Imports the image that containers of these tests run, marked by its name's tag.
pub fn import_busybox(node: &TestNode, name: &str) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let archive = directory.path().join("busybox.tar");
    busybox::write_archive_named(&archive, name, name, 0);
    node.coracle(&["image", "import", &archive.to_string_lossy()])
        .must();
}

fn main() -> ExitCode {
    SHARED.run(&[
        ("applications", applications::TESTS),
        ("python", python::TESTS),
        ("access", access::TESTS),
        ("kubectl", kubectl::TESTS),
        ("library", library::TESTS),
        ("policies", policies::TESTS),
        ("workloads", workloads::TESTS),
    ])
}
