//! How probes ask: each kind, what it tells of a failure, and those that cannot be.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::namespace;
use crate::probe_servers::{grpc, https};
use serde_json::{Value, json};

pub const TESTS: &[(&str, fn())] = &[
    ("http_readiness_flips", http_readiness_flips),
    (
        "a_probe_that_hangs_leaves_nothing",
        a_probe_that_hangs_leaves_nothing,
    ),
    ("tcp_probe", tcp_probe),
    ("grpc_answers", grpc_answers),
    ("https_without_verification", https_without_verification),
    ("probes_that_cannot_be", probes_that_cannot_be),
];

pub const READY: &str = "{.status.containerStatuses[0].ready}";
pub const RESTARTS: &str = "{.status.containerStatuses[0].restartCount}";

/// A pod of one container running `script`, changed by `container` (probes and ports) and `spec`.
pub fn apply(
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

pub fn inside(node: &TestNode, namespace: &str, pod: &str, script: &str) -> String {
    let ran = node.kubectl(&["-n", namespace, "exec", pod, "--", "sh", "-c", script]);
    ran.must().stdout
}

/// Waits for an event whose message has `text`.
pub fn wait_for_event(node: &TestNode, namespace: &str, reason: &str, text: &str) {
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

pub fn condition(kind: &str, field: &str) -> String {
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
    let path = format!("/api/v1/nodes/{}/proxy/metrics/probes", node.name);
    let page = node.kubectl(&["get", "--raw", &path]).must().stdout;
    let of = "container=\"main\",namespace=\"probe-http\",pod=\"web\"";
    for result in ["successful", "failed"] {
        let line = page.lines().find(|line| {
            line.starts_with(&format!("prober_probe_total{{{of},pod_uid="))
                && line.contains(&format!("probe_type=\"Readiness\",result=\"{result}\"}} "))
        });
        let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        assert!(count.is_some_and(|count| count > 0), "{result}: {page}");
    }
    let took = format!("prober_probe_duration_seconds_count{{{of},probe_type=\"Readiness\"}} ");
    assert!(page.contains(&took), "{page}");
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
