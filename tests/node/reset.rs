//! `coracle reset` and `coracle demo` leave the host as they found it.

use crate::common::{TestNode, coracle, files_below, run};
use crate::lifecycle::script_pod;
use std::process::Command;

pub const TESTS: &[(&str, fn())] = &[
    ("reset_leaves_no_difference", reset_leaves_no_difference),
    (
        "demo_shows_an_update_without_a_failed_request_and_cleans_up",
        demo_shows_an_update_without_a_failed_request_and_cleans_up,
    ),
];

/// What one node could leave on a host. Trials run at the same time on other nodes of this process,
/// so only what bears this node's names is compared where a list is shared.
fn traces(node: &TestNode) -> Vec<String> {
    let mut traces = Vec::new();
    let mut add = |what: &str, text: String, needles: &[&str]| {
        for line in text
            .lines()
            .filter(|line| needles.iter().any(|needle| line.contains(needle)))
        {
            traces.push(format!("{what}: {line}"));
        }
    };
    let directory = node.data_dir();
    let directory = directory
        .parent()
        .expect("parent")
        .to_string_lossy()
        .into_owned();
    let cgroup = format!("coracle-{}", node.name);
    let said = |program: &str, arguments: &[&str]| {
        run(Command::new(program).args(arguments)).must().stdout
    };
    add("link", said("ip", &["-o", "link"]), &[node.bridge()]);
    add(
        "route",
        said("ip", &["route", "show", "table", "all"]),
        &[node.bridge()],
    );
    add(
        "nftables",
        said("nft", &["list", "ruleset"]),
        &[node.bridge(), &node.pod_cidr()],
    );
    add(
        "mount",
        std::fs::read_to_string("/proc/mounts").expect("mounts"),
        &[&directory],
    );
    add("process", said("ps", &["-eo", "args"]), &[&directory]);
    let cgroups = files_below(std::path::Path::new("/sys/fs/cgroup"))
        .iter()
        .map(|path| path.to_string_lossy().into_owned() + "\n")
        .collect();
    add("cgroup", cgroups, &[&cgroup]);
    for root in [node.data_dir(), node.run_dir()] {
        for file in files_below(&root) {
            traces.push(format!("file: {}", file.display()));
        }
    }
    traces
}

fn reset_leaves_no_difference() {
    let mut node = TestNode::prepare();
    assert_eq!(traces(&node), Vec::<String>::new());
    node.up();
    crate::import_busybox(&node);
    for number in 0..3 {
        node.apply(&script_pod(
            &format!("left-{number}"),
            "Always",
            "sleep 3600",
        ));
    }
    for number in 0..3 {
        node.wait_for(
            "default",
            &format!("pod/left-{number}"),
            "{.status.phase}",
            "Running",
        );
    }
    let during = traces(&node);
    for kind in ["link", "route", "nftables", "process", "cgroup", "file"] {
        assert!(
            during.iter().any(|trace| trace.starts_with(kind)),
            "a node leaves no {kind}? {during:#?}"
        );
    }
    // The hardest case: nobody tidied up before.
    node.kill_hard();
    node.reset().must();
    assert_eq!(traces(&node), Vec::<String>::new());
    // A second reset finds nothing and is no error.
    node.reset().must();
}

fn demo_shows_an_update_without_a_failed_request_and_cleans_up() {
    let ran = run(coracle().args(["demo", "--once"])).must();
    let said = ran.stdout + &ran.stderr;
    for text in [
        "deployment.apps/hello created",
        "statefulset.apps/store created",
        "daemonset.apps/agent created",
        "cronjob.batch/backup created",
        "store-0",
        "store-1",
        "Hello from hello-",
        "deployment.apps/hello configured",
        "old: 0 ready, new: 3 ready",
        " requests during the update, 0 failed",
        "pod/store-0 is back, start 2 after start 1",
        "--from=cronjob/backup",
        "job.batch/backup-now created",
        "its log: the backup is done",
        "kubectl",
        "Everything the demo made is gone.",
    ] {
        assert!(said.contains(text), "no {text:?} in\n{said}");
    }
    let processes = run(Command::new("ps").args(["-eo", "args"])).must().stdout;
    assert!(
        !processes
            .lines()
            .any(|line| line.contains("coracle") && line.contains("demo")),
        "{processes}"
    );
}
