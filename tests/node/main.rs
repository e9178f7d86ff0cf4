//! Real containers on a real node, driven by unmodified kubectl. Needs root.

#[path = "../common/busybox.rs"]
mod busybox;
#[path = "../common/mod.rs"]
mod common;

mod adoption;
mod attach;
mod autoscalers;
mod budgets;
mod claims;
mod cli_generators;
mod cli_objects;
mod cli_verbs;
mod crashes;
mod cron_jobs;
mod daemon_sets;
mod deployments;
mod endpoints;
mod endurance;
mod ephemeral;
mod eviction;
mod full_disk;
mod garbage;
mod health;
mod hooks;
mod identity;
mod image_loss;
mod images;
mod jobs;
mod lifecycle;
mod log_flood;
mod logs;
mod manifests;
mod mounts;
mod node_lifecycle;
mod outcomes;
mod own_spaces;
mod port_forward;
mod probe_servers;
mod probes;
mod reboot;
mod refusals;
mod reset;
mod resources;
mod scheduling;
mod security;
mod service_accounts;
mod sidecars;
mod stateful_sets;
mod static_pods;
mod stats;
mod streams;
mod volumes;

use common::TestNode;
use common::shared::Shared;
use std::process::ExitCode;
use std::sync::Arc;

/// It has the busybox image.
static SHARED: Shared = Shared::new(|| {
    let node = TestNode::start();
    import_busybox(&node);
    node
});

pub fn shared() -> Arc<TestNode> {
    SHARED.node()
}

pub fn namespace(name: &str) -> Arc<TestNode> {
    SHARED.namespace(name)
}

pub fn import_busybox(node: &TestNode) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let archive = directory.path().join("busybox.tar");
    busybox::write_archive(&archive);
    node.coracle(&["image", "import", &archive.to_string_lossy()])
        .must();
}

fn main() -> ExitCode {
    SHARED.run(&[
        ("cron_jobs", cron_jobs::TESTS),
        ("jobs", jobs::TESTS),
        ("lifecycle", lifecycle::TESTS),
        ("deployments", deployments::TESTS),
        ("autoscalers", autoscalers::TESTS),
        ("budgets", budgets::TESTS),
        ("endpoints", endpoints::TESTS),
        ("daemon_sets", daemon_sets::TESTS),
        ("stateful_sets", stateful_sets::TESTS),
        ("sidecars", sidecars::TESTS),
        ("garbage", garbage::TESTS),
        ("node_lifecycle", node_lifecycle::TESTS),
        ("hooks", hooks::TESTS),
        ("ephemeral", ephemeral::TESTS),
        ("static_pods", static_pods::TESTS),
        ("logs", logs::TESTS),
        ("log_flood", log_flood::TESTS),
        ("full_disk", full_disk::TESTS),
        ("streams", streams::TESTS),
        ("attach", attach::TESTS),
        ("port_forward", port_forward::TESTS),
        ("images", images::TESTS),
        ("image_loss", image_loss::TESTS),
        ("security", security::TESTS),
        ("own_spaces", own_spaces::TESTS),
        ("identity", identity::TESTS),
        ("adoption", adoption::TESTS),
        ("reboot", reboot::TESTS),
        ("refusals", refusals::TESTS),
        ("service_accounts", service_accounts::TESTS),
        ("probes", probes::TESTS),
        ("health", health::TESTS),
        ("outcomes", outcomes::TESTS),
        ("crashes", crashes::TESTS),
        ("endurance", endurance::TESTS),
        ("reset", reset::TESTS),
        ("volumes", volumes::TESTS),
        ("mounts", mounts::TESTS),
        ("claims", claims::TESTS),
        ("stats", stats::TESTS),
        ("eviction", eviction::TESTS),
        ("resources", resources::TESTS),
        ("cli_verbs", cli_verbs::TESTS),
        ("cli_generators", cli_generators::TESTS),
        ("cli_objects", cli_objects::TESTS),
        ("scheduling", scheduling::TESTS),
    ])
}
