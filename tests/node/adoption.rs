//! What happens to containers when the node process or the whole board goes down.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::lifecycle::script_pod;

pub const TESTS: &[(&str, fn())] = &[
    (
        "containers_outlive_the_node_process",
        containers_outlive_the_node_process,
    ),
    (
        "pods_come_back_after_a_reboot",
        pods_come_back_after_a_reboot,
    ),
];

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

fn pods_come_back_after_a_reboot() {
    let mut node = TestNode::start();
    crate::import_busybox(&node);
    node.apply(&script_pod("keeper", "Always", "sleep 3600"));
    node.apply(&script_pod("once", "Never", "sleep 3600"));
    for pod in ["pod/keeper", "pod/once"] {
        node.wait_for("default", pod, "{.status.phase}", "Running");
    }
    node.kill_hard();
    power_off(&node);
    node.up();
    node.wait_for(
        "default",
        "pod/keeper",
        "{.status.containerStatuses[0].restartCount}",
        "1",
    );
    node.wait_for("default", "pod/keeper", "{.status.phase}", "Running");
    node.wait_for("default", "pod/once", "{.status.phase}", "Failed");
    assert_eq!(
        node.value("default", "pod/keeper", "{.spec.containers[0].image}"),
        IMAGE
    );
    node.reset().must();
}

/// What a reboot does, without one: every process of the node dies, and tmpfs and links are empty afterwards.
fn power_off(node: &TestNode) {
    let run_dir = node.run_dir();
    let belongs = |pid: &str| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&*run_dir.to_string_lossy()))
    };
    let shims = || -> Vec<i32> {
        std::fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && belongs(pid))
            .filter_map(|pid| pid.parse().ok())
            .collect()
    };
    assert!(
        !shims().is_empty(),
        "shims name their run directory on their command line"
    );
    assert!(eventually(|| {
        let alive = shims();
        for &pid in &alive {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
        alive.is_empty()
    }));
    std::fs::remove_dir_all(&run_dir).expect("run directory");
    crate::common::run(std::process::Command::new("ip").args(["link", "delete", node.bridge()]))
        .must();
}
