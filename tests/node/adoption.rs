//! What happens to containers when the node process goes down.

use crate::common::TestNode;
use crate::lifecycle::script_pod;

pub const TESTS: &[(&str, fn())] = &[(
    "containers_outlive_the_node_process",
    containers_outlive_the_node_process,
)];

fn containers_outlive_the_node_process() {
    let mut node = TestNode::start();
    crate::import_busybox(&node);
    node.apply(&script_pod(
        "steady",
        "Always",
        "while true; do date +%s; sleep 1; done",
    ));
    node.apply(&script_pod(
        "brief",
        "Always",
        "until test -e /tmp/go; do sleep 0.1; done; exit 9",
    ));
    for pod in ["pod/steady", "pod/brief"] {
        node.wait_for("default", pod, "{.status.phase}", "Running");
    }
    let identity = "{.status.containerStatuses[0].containerID} {.status.podIP}";
    let before = node.value("default", "pod/steady", identity);
    node.kubectl(&["exec", "brief", "--", "touch", "/tmp/go"])
        .must();
    node.kill_hard();
    // While nobody watches, one container ends; the shim keeps its exit.
    node.up();
    node.wait_for("default", "pod/steady", "{.status.phase}", "Running");
    assert_eq!(node.value("default", "pod/steady", identity), before);
    assert_eq!(
        node.value(
            "default",
            "pod/steady",
            "{.status.containerStatuses[0].restartCount}"
        ),
        "0"
    );
    node.wait_for(
        "default",
        "pod/brief",
        "{.status.containerStatuses[0].lastState.terminated.exitCode}",
        "9",
    );
    node.kubectl(&["exec", "steady", "--", "echo", "still served"])
        .must_say("still served");
    node.apply(&script_pod("after", "Always", "sleep 3600"));
    node.wait_for("default", "pod/after", "{.status.phase}", "Running");
    assert_ne!(
        node.value("default", "pod/after", "{.status.podIP}"),
        node.value("default", "pod/steady", "{.status.podIP}")
    );
    node.reset().must();
}
