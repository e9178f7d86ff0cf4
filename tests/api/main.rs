//! The Kubernetes API, driven by unmodified kubectl and by the `kube` crate. Needs root: a whole node runs.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod kubectl;
mod library;
mod policies;
mod workloads;

use common::TestNode;
use common::shared::Shared;
use std::process::ExitCode;
use std::sync::Arc;

/// It has the smallest profile, so that history is soon compacted.
static SHARED: Shared = Shared::new(|| {
    let mut node = TestNode::prepare();
    node.profile = "pi-zero-2-w";
    node.up();
    node
});

pub fn shared() -> Arc<TestNode> {
    SHARED.node()
}

pub fn namespace(name: &str) -> Arc<TestNode> {
    SHARED.namespace(name)
}

fn main() -> ExitCode {
    SHARED.run(&[
        ("access", access::TESTS),
        ("kubectl", kubectl::TESTS),
        ("library", library::TESTS),
        ("policies", policies::TESTS),
        ("workloads", workloads::TESTS),
    ])
}
