//! What becomes of what probes say: gates, restarts, and who is asked when.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::namespace;
use crate::probes::{READY, RESTARTS, apply, condition, inside, wait_for_event};
use serde_json::json;

pub const TESTS: &[(&str, fn())] = &[
    (
        "startup_holds_the_others_back",
        startup_holds_the_others_back,
    ),
    ("liveness_restarts", liveness_restarts),
    (
        "a_failed_probe_outweighs_a_clean_exit",
        a_failed_probe_outweighs_a_clean_exit,
    ),
    (
        "startup_failure_ends_a_pod_that_is_not_restarted",
        startup_failure_ends_a_pod_that_is_not_restarted,
    ),
    ("readiness_gate", readiness_gate),
    (
        "a_pod_on_its_way_out_is_still_watched",
        a_pod_on_its_way_out_is_still_watched,
    ),
    ("a_sidecars_probes_count", a_sidecars_probes_count),
    (
        "the_node_process_may_come_and_go",
        the_node_process_may_come_and_go,
    ),
];

const STARTED: &str = "{.status.containerStatuses[0].started}";

fn startup_holds_the_others_back() {
    let node = namespace("probe-startup");
    apply(
        &node,
        "probe-startup",
        "slow",
        "exec sleep 3600",
        json!({
            "startupProbe": {
                "exec": {"command": ["test", "-e", "/tmp/started"]},
                "periodSeconds": 1, "failureThreshold": 600, "timeoutSeconds": 10,
            },
            // Would restart the container at once if it were not held back.
            "livenessProbe": {
                "exec": {"command": ["test", "-e", "/tmp/started"]},
                "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10,
            },
            "readinessProbe": {"exec": {"command": ["true"]}, "timeoutSeconds": 10},
        }),
        json!({}),
    );
    wait_for_event(
        &node,
        "probe-startup",
        "Unhealthy",
        "Startup probe failed: ",
    );
    let pod = "pod/slow";
    assert_eq!(node.value("probe-startup", pod, STARTED), "false");
    assert_eq!(node.value("probe-startup", pod, READY), "false");
    inside(&node, "probe-startup", "slow", "touch /tmp/started");
    node.wait_for("probe-startup", pod, STARTED, "true");
    node.wait_for("probe-startup", pod, READY, "true");
    assert_eq!(node.value("probe-startup", pod, RESTARTS), "0");
}

fn liveness_restarts() {
    let node = namespace("probe-liveness");
    apply(
        &node,
        "probe-liveness",
        "dies",
        // The first run loses its file; the second keeps it. `sleep` as the first process ignores SIGTERM.
        "touch /tmp/live; exec sleep 3600",
        json!({
            "livenessProbe": {
                "exec": {"command": ["cat", "/tmp/live"]}, "terminationGracePeriodSeconds": 1,
                "periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 10,
            },
        }),
        json!({"terminationGracePeriodSeconds": 3600}),
    );
    let pod = "pod/dies";
    node.wait_for("probe-liveness", pod, READY, "true");
    inside(&node, "probe-liveness", "dies", "rm /tmp/live");
    wait_for_event(
        &node,
        "probe-liveness",
        "Unhealthy",
        "Liveness probe failed: cat: can't open '/tmp/live'",
    );
    wait_for_event(
        &node,
        "probe-liveness",
        "Killing",
        "Container main failed liveness probe, will be restarted",
    );
    node.wait_for("probe-liveness", pod, RESTARTS, "1");
    node.wait_for("probe-liveness", pod, READY, "true");
    assert_eq!(
        node.value(
            "probe-liveness",
            pod,
            "{.status.containerStatuses[0].lastState.terminated.exitCode}"
        ),
        "137"
    );
    node.kubectl(&[
        "-n",
        "probe-liveness",
        "delete",
        "pod",
        "dies",
        "--grace-period=1",
    ])
    .must();
}

fn a_failed_probe_outweighs_a_clean_exit() {
    let node = namespace("probe-clean");
    apply(
        &node,
        "probe-clean",
        "polite",
        "trap 'exit 0' TERM; while true; do sleep 0.1; done",
        json!({
            "livenessProbe": {
                "tcpSocket": {"port": 9}, "periodSeconds": 2, "failureThreshold": 1, "timeoutSeconds": 10,
            },
        }),
        json!({"restartPolicy": "OnFailure", "terminationGracePeriodSeconds": 30}),
    );
    wait_for_event(
        &node,
        "probe-clean",
        "Unhealthy",
        "Liveness probe failed: dial tcp ",
    );
    node.wait_for("probe-clean", "pod/polite", RESTARTS, "1");
}

fn startup_failure_ends_a_pod_that_is_not_restarted() {
    let node = namespace("probe-never");
    apply(
        &node,
        "probe-never",
        "never",
        "exec sleep 3600",
        json!({
            "startupProbe": {
                "exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10,
            },
        }),
        json!({"restartPolicy": "Never"}),
    );
    node.wait_for("probe-never", "pod/never", "{.status.phase}", "Failed");
    wait_for_event(
        &node,
        "probe-never",
        "Killing",
        "Container main failed startup probe",
    );
    assert_eq!(node.value("probe-never", "pod/never", RESTARTS), "0");
}

fn readiness_gate() {
    let node = namespace("probe-gate");
    apply(
        &node,
        "probe-gate",
        "gated",
        "until test -e /tmp/go; do sleep 0.1; done",
        json!({}),
        json!({"readinessGates": [{"conditionType": "example.com/gate"}]}),
    );
    let pod = "pod/gated";
    let ready = |field| condition("Ready", field);
    node.wait_for(
        "probe-gate",
        pod,
        &ready("reason"),
        "ReadinessGatesNotReady",
    );
    assert_eq!(
        node.value("probe-gate", pod, &ready("message")),
        "corresponding condition of pod readiness gate \"example.com/gate\" does not exist."
    );
    assert_eq!(
        node.value("probe-gate", pod, &condition("ContainersReady", "status")),
        "True"
    );
    let set = |status: &str| {
        let patch =
            json!({"status": {"conditions": [{"type": "example.com/gate", "status": status}]}});
        node.kubectl(&[
            "-n",
            "probe-gate",
            "patch",
            pod,
            "--subresource=status",
            "-p",
            &patch.to_string(),
        ])
        .must();
    };
    set("False");
    node.wait_for(
        "probe-gate",
        pod,
        &ready("message"),
        "the status of pod readiness gate \"example.com/gate\" is not \"True\", but False",
    );
    set("True");
    node.wait_for("probe-gate", pod, &ready("status"), "True");
    node.kubectl(&["-n", "probe-gate", "get", pod, "-o", "wide"])
        .must_say("1/1");
    // A restart makes the kubelet write conditions of its own; the other's stays.
    inside(&node, "probe-gate", "gated", "touch /tmp/go");
    node.wait_for("probe-gate", pod, RESTARTS, "1");
    node.wait_for("probe-gate", pod, &ready("status"), "True");
    assert_eq!(
        node.value("probe-gate", pod, &condition("example.com/gate", "status")),
        "True"
    );
}

/// Readiness goes on, so that services leave the pod in time; liveness does not, since nothing is to be restarted.
fn a_pod_on_its_way_out_is_still_watched() {
    let node = namespace("probe-out");
    let probe = json!({
        "exec": {"command": ["cat", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10,
    });
    apply(
        &node,
        "probe-out",
        "leaving",
        "trap 'rm /tmp/up' TERM; touch /tmp/up; while true; do sleep 0.1; done",
        json!({"readinessProbe": probe, "livenessProbe": probe}),
        json!({"terminationGracePeriodSeconds": 3600}),
    );
    node.wait_for("probe-out", "pod/leaving", READY, "true");
    node.kubectl(&[
        "-n",
        "probe-out",
        "delete",
        "pod",
        "leaving",
        "--wait=false",
    ])
    .must();
    node.wait_for("probe-out", "pod/leaving", READY, "false");
    wait_for_event(
        &node,
        "probe-out",
        "Unhealthy",
        "Readiness probe failed: cat: can't open",
    );
    let events = node
        .kubectl(&["-n", "probe-out", "get", "events"])
        .must()
        .stdout;
    assert!(!events.contains("iveness probe"), "{events}");
    assert_eq!(node.value("probe-out", "pod/leaving", RESTARTS), "0");
    node.kubectl(&[
        "-n",
        "probe-out",
        "delete",
        "pod",
        "leaving",
        "--grace-period=1",
    ])
    .must();
}

/// Its startup probe holds back what comes after it, its readiness is the pod's, and its liveness restarts it alone.
fn a_sidecars_probes_count() {
    let node = namespace("probe-sidecar");
    let probe = |file: &str| {
        json!({
            "exec": {"command": ["cat", file]},
            "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10,
        })
    };
    let mut startup = probe("/shared/started");
    startup["failureThreshold"] = 600.into();
    let mounts = json!([{"name": "shared", "mountPath": "/shared"}]);
    apply(
        &node,
        "probe-sidecar",
        "pair",
        "exec sleep 3600",
        json!({}),
        json!({
            "volumes": [{"name": "shared", "emptyDir": {}}],
            "initContainers": [{
                "name": "beside", "image": IMAGE, "restartPolicy": "Always",
                "command": ["sh", "-c", "touch /shared/live; exec sleep 3600"],
                "volumeMounts": mounts, "startupProbe": startup,
                "readinessProbe": probe("/shared/ready"), "livenessProbe": probe("/shared/live"),
            }],
        }),
    );
    let pod = "pod/pair";
    let beside = |field: &str| format!("{{.status.initContainerStatuses[0].{field}}}");
    wait_for_event(
        &node,
        "probe-sidecar",
        "Unhealthy",
        "Startup probe failed: ",
    );
    assert_eq!(
        node.value("probe-sidecar", pod, &beside("started")),
        "false"
    );
    assert_eq!(node.value("probe-sidecar", pod, STARTED), "false");
    let in_sidecar = |script: &str| {
        let exec = [
            "-n",
            "probe-sidecar",
            "exec",
            "pair",
            "-c",
            "beside",
            "--",
            "sh",
            "-c",
            script,
        ];
        node.kubectl(&exec).must();
    };
    in_sidecar("touch /shared/started");
    node.wait_for("probe-sidecar", pod, STARTED, "true");
    node.kubectl(&["-n", "probe-sidecar", "get", "pod", "pair", "--no-headers"])
        .must_say("1/2");
    node.wait_for(
        "probe-sidecar",
        pod,
        &condition("ContainersReady", "message"),
        "containers with unready status: [beside]",
    );
    in_sidecar("touch /shared/ready");
    node.wait_for("probe-sidecar", pod, &condition("Ready", "status"), "True");
    in_sidecar("rm /shared/live");
    wait_for_event(
        &node,
        "probe-sidecar",
        "Killing",
        "Container beside failed liveness probe, will be restarted",
    );
    node.wait_for("probe-sidecar", pod, &beside("restartCount"), "1");
    assert_eq!(node.value("probe-sidecar", pod, RESTARTS), "0");
}

fn the_node_process_may_come_and_go() {
    let mut node = TestNode::start();
    crate::import_busybox(&node);
    // A number of its own, to be found among the host's processes.
    let mark = format!("77{}", std::process::id());
    apply(
        &node,
        "default",
        "steady",
        "touch /tmp/ready; exec sleep 3600",
        json!({
            "startupProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1, "timeoutSeconds": 10},
            "readinessProbe": {
                "exec": {"command": ["cat", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1000, "timeoutSeconds": 10,
            },
        }),
        json!({}),
    );
    apply(
        &node,
        "default",
        "hangs",
        "exec sleep 3600",
        json!({
            "readinessProbe": {"exec": {"command": ["sleep", mark]}, "periodSeconds": 3600, "timeoutSeconds": 3600},
        }),
        json!({}),
    );
    node.wait_for("default", "pod/steady", READY, "true");
    assert!(eventually(|| runs(&mark)), "the probe's command is running");
    let since = condition("Ready", "lastTransitionTime");
    let before = node.value("default", "pod/steady", &since);
    node.kill_hard();
    assert!(
        eventually(|| !runs(&mark)),
        "a probe's command goes with whoever asked for it"
    );
    // The next process must not take a pod for unready that it has not asked yet.
    node.up();
    // A moment passes before the new process serves exec.
    assert!(eventually(|| {
        let remove = ["exec", "steady", "--", "rm", "-f", "/tmp/ready"];
        node.kubectl(&remove).ok
    }));
    wait_for_event(
        &node,
        "default",
        "Unhealthy",
        "Readiness probe failed: cat: can't open '/tmp/ready'",
    );
    assert_eq!(node.value("default", "pod/steady", &since), before);
    assert_eq!(node.value("default", "pod/steady", RESTARTS), "0");
    node.reset().must();
}

/// Whether a process with `word` among its arguments runs on this host.
fn runs(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let lines = processes.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
    lines.into_iter().any(|line| {
        line.split(|b| *b == 0)
            .any(|argument| argument == word.as_bytes())
    })
}
