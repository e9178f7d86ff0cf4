//! Health checks: each kind of probe, gating, restarts, readiness gates.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::namespace;
use crate::probe_servers::{grpc, https};
use serde_json::{Value, json};

pub const TESTS: &[(&str, fn())] = &[
    ("http_readiness_flips", http_readiness_flips),
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
    (
        "a_probe_that_hangs_leaves_nothing",
        a_probe_that_hangs_leaves_nothing,
    ),
    ("tcp_probe", tcp_probe),
    ("grpc_answers", grpc_answers),
    ("https_without_verification", https_without_verification),
    ("readiness_gate", readiness_gate),
    ("probes_that_cannot_be", probes_that_cannot_be),
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

const READY: &str = "{.status.containerStatuses[0].ready}";
const STARTED: &str = "{.status.containerStatuses[0].started}";
const RESTARTS: &str = "{.status.containerStatuses[0].restartCount}";

/// A pod of one container running `script`, changed by `container` (probes and ports) and `spec`.
fn apply(
    node: &TestNode,
    namespace: &str,
    name: &str,
    script: &str,
    container: Value,
    spec: Value,
) {
    let mut main = json!({"name": "main", "image": IMAGE, "command": ["sh", "-c", script]});
    json_patch::merge(&mut main, &container);
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [main]},
    });
    json_patch::merge(&mut pod["spec"], &spec);
    node.kubectl_input(&["-n", namespace, "apply", "-f", "-"], &pod.to_string())
        .must();
}

fn inside(node: &TestNode, namespace: &str, pod: &str, script: &str) -> String {
    let ran = node.kubectl(&["-n", namespace, "exec", pod, "--", "sh", "-c", script]);
    ran.must().stdout
}

/// Waits for an event whose message has `text`.
fn wait_for_event(node: &TestNode, namespace: &str, reason: &str, text: &str) {
    let mut last = String::new();
    let seen = eventually(|| {
        let filter = format!("reason={reason}");
        let path = "jsonpath={range .items[*]}{.message}{\"\\n\"}{end}";
        last = node
            .kubectl(&[
                "-n",
                namespace,
                "get",
                "events",
                "--field-selector",
                &filter,
                "-o",
                path,
            ])
            .stdout;
        last.contains(text)
    });
    assert!(seen, "no event {reason} with {text:?}:\n{last}");
}

fn condition(kind: &str, field: &str) -> String {
    format!("{{.status.conditions[?(@.type==\"{kind}\")].{field}}}")
}

fn http_readiness_flips() {
    let node = namespace("probe-http");
    apply(
        &node,
        "probe-http",
        "web",
        "mkdir -p /tmp/www; exec httpd -f -p 8080 -h /tmp/www",
        json!({
            "ports": [{"name": "web", "containerPort": 8080}],
            "readinessProbe": {
                "httpGet": {"port": "web", "path": "/ready"},
                "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10,
            },
        }),
        json!({}),
    );
    let pod = "pod/web";
    node.wait_for("probe-http", pod, "{.status.phase}", "Running");
    wait_for_event(
        &node,
        "probe-http",
        "Unhealthy",
        "Readiness probe failed: HTTP probe failed with statuscode: 404",
    );
    for kind in ["Ready", "ContainersReady"] {
        for (field, expected) in [
            ("status", "False"),
            ("reason", "ContainersNotReady"),
            ("message", "containers with unready status: [main]"),
        ] {
            let path = condition(kind, field);
            assert_eq!(node.value("probe-http", pod, &path), expected, "{kind}");
        }
    }
    let get = || node.kubectl(&["-n", "probe-http", "get", "pod", "web", "--no-headers"]);
    get().must_say("0/1");
    inside(&node, "probe-http", "web", "touch /tmp/www/ready");
    node.wait_for("probe-http", pod, READY, "true");
    get().must_say("1/1");
    node.wait_for("probe-http", pod, &condition("Ready", "status"), "True");
    assert_eq!(
        node.value("probe-http", pod, &condition("Ready", "reason")),
        ""
    );
    inside(&node, "probe-http", "web", "rm /tmp/www/ready");
    node.wait_for("probe-http", pod, READY, "false");
    get().must_say("0/1");
    assert_eq!(node.value("probe-http", pod, RESTARTS), "0");
}

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

fn a_probe_that_hangs_leaves_nothing() {
    let node = namespace("probe-hang");
    apply(
        &node,
        "probe-hang",
        "hangs",
        "exec sleep 3600",
        json!({
            // One try, and no other while the test looks.
            "readinessProbe": {
                "exec": {"command": ["sh", "-c", "sleep 7777; true"]}, "periodSeconds": 3600, "timeoutSeconds": 2,
            },
        }),
        json!({}),
    );
    wait_for_event(
        &node,
        "probe-hang",
        "Unhealthy",
        "Readiness probe failed: command timed out: \"sh -c sleep 7777; true\" timed out after 2s",
    );
    let mut last = String::new();
    let gone = eventually(|| {
        last = inside(&node, "probe-hang", "hangs", "ps");
        !last.contains("7777")
    });
    assert!(gone, "{last}");
    assert_eq!(node.value("probe-hang", "pod/hangs", READY), "false");
}

fn tcp_probe() {
    let node = namespace("probe-tcp");
    apply(
        &node,
        "probe-tcp",
        "listens",
        "until test -e /tmp/go; do sleep 0.1; done; exec httpd -f -p 8080",
        json!({
            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "timeoutSeconds": 10},
        }),
        json!({}),
    );
    let address = || node.value("probe-tcp", "pod/listens", "{.status.podIP}");
    wait_for_event(
        &node,
        "probe-tcp",
        "Unhealthy",
        ":8080: connect: connection refused",
    );
    wait_for_event(
        &node,
        "probe-tcp",
        "Unhealthy",
        &format!("Readiness probe failed: dial tcp {}:8080", address()),
    );
    inside(&node, "probe-tcp", "listens", "touch /tmp/go");
    node.wait_for("probe-tcp", "pod/listens", READY, "true");
}

/// In the host's network a pod's address is the node's, where the test's own server listens.
fn grpc_answers() {
    let node = namespace("probe-grpc");
    let server = grpc::start();
    apply(
        &node,
        "probe-grpc",
        "health",
        "exec sleep 3600",
        json!({
            "readinessProbe": {
                "grpc": {"port": server.port, "service": "db"},
                "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10,
            },
        }),
        json!({"hostNetwork": true}),
    );
    node.wait_for("probe-grpc", "pod/health", READY, "true");
    for (answer, told) in [
        (
            grpc::Answer::Status(2),
            "service unhealthy (responded with \"NOT_SERVING\")",
        ),
        (
            grpc::Answer::Status(0),
            "service unhealthy (responded with \"UNKNOWN\")",
        ),
        (
            grpc::Answer::Code(5, "unknown service"),
            "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service",
        ),
        (
            grpc::Answer::Code(12, "no such method"),
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): no such method",
        ),
    ] {
        server.say(answer);
        wait_for_event(
            &node,
            "probe-grpc",
            "Unhealthy",
            &format!("Readiness probe failed: {told}"),
        );
        node.wait_for("probe-grpc", "pod/health", READY, "false");
    }
    server.say(grpc::Answer::Status(1));
    node.wait_for("probe-grpc", "pod/health", READY, "true");
    assert_eq!(server.asked_for(), "db");
}

fn https_without_verification() {
    let node = namespace("probe-https");
    let port = https::start();
    apply(
        &node,
        "probe-https",
        "secure",
        "exec sleep 3600",
        json!({
            "readinessProbe": {
                "httpGet": {
                    "host": "127.0.0.1", "port": port, "scheme": "HTTPS", "path": "/healthz?deep=1",
                    "httpHeaders": [{"name": "X-Who", "value": "probe"}],
                },
                "periodSeconds": 1, "timeoutSeconds": 10,
            },
        }),
        json!({}),
    );
    node.wait_for("probe-https", "pod/secure", READY, "true");
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

fn probes_that_cannot_be() {
    let node = namespace("probe-bad");
    for (probes, said) in [
        (
            json!({"livenessProbe": {}}),
            "livenessProbe: Required value: must specify a handler type",
        ),
        (
            json!({"livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}}),
            "livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            json!({"readinessProbe": {"httpGet": {"port": 70000}}}),
            "readinessProbe.httpGet.port: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
    ] {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"},
            "spec": {"containers": [{"name": "main", "image": IMAGE}]},
        });
        json_patch::merge(&mut pod["spec"]["containers"][0], &probes);
        node.kubectl_input(&["-n", "probe-bad", "apply", "-f", "-"], &pod.to_string())
            .must_fail_with(said);
    }
    // A port that no container has: told, and neither a success nor a failure.
    apply(
        &node,
        "probe-bad",
        "lost",
        "exec sleep 3600",
        json!({"readinessProbe": {"httpGet": {"port": "nowhere"}, "periodSeconds": 1}}),
        json!({}),
    );
    wait_for_event(
        &node,
        "probe-bad",
        "Unhealthy",
        "Readiness probe errored and resulted in unknown state: strconv.Atoi: parsing \"nowhere\": invalid syntax",
    );
    assert_eq!(
        node.value(
            "probe-bad",
            "pod/lost",
            "{.spec.containers[0].readinessProbe}"
        ),
        "{\"failureThreshold\":3,\"httpGet\":{\"path\":\"/\",\"port\":\"nowhere\",\"scheme\":\"HTTP\"},\"periodSeconds\":1,\"successThreshold\":1,\"timeoutSeconds\":1}"
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
