//! DaemonSets with real pods, driven by kubectl alone.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::namespace;
use std::time::Duration;

pub const TESTS: &[(&str, fn())] = &[
    (
        "a_pod_on_every_node_that_is_meant",
        a_pod_on_every_node_that_is_meant,
    ),
    (
        "daemons_roll_and_kubectl_rollout",
        daemons_roll_and_kubectl_rollout,
    ),
    ("a_daemon_that_surges", a_daemon_that_surges),
    ("a_failed_daemon_is_replaced", a_failed_daemon_is_replaced),
];

/// `more` are lines of the spec.
fn agent(text: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: agent}}\nspec:\n{more}  \
         selector: {{matchLabels: {{app: agent}}}}\n  template:\n    metadata: {{labels: {{app: agent}}}}\n    spec:\n      \
         terminationGracePeriodSeconds: 1\n      containers:\n      - name: main\n        image: {IMAGE}\n        \
         command: [sh, -c, 'echo {text}; exec sleep 3600']\n"
    )
}

fn apply(node: &TestNode, namespace: &str, manifest: &str) {
    node.kubectl_input(&["-n", namespace, "apply", "-f", "-"], manifest)
        .must();
}

fn rollout(node: &TestNode, namespace: &str, verb: &str, more: &[&str]) -> String {
    let mut line = vec!["-n", namespace, "rollout", verb, "daemonset/agent"];
    line.extend(more);
    node.kubectl(&line).must().stdout
}

fn rolled_out(node: &TestNode, namespace: &str) {
    rollout(node, namespace, "status", &["--timeout=60s"]);
}

/// What the pods that are not ending say.
fn texts(node: &TestNode, namespace: &str) -> String {
    let path = "{range .items[*]}{.spec.containers[0].command[2]} {end}";
    let all = node.value(namespace, "pods", path);
    let words = all.split("echo ").skip(1);
    let texts = words.filter_map(|w| w.split(';').next());
    texts.collect::<Vec<_>>().join(" ")
}

fn versions(node: &TestNode, namespace: &str) -> String {
    let path = "{range .items[*]}{.metadata.name}={.metadata.resourceVersion} {end}";
    node.value(namespace, "daemonsets,controllerrevisions,pods", path)
}

fn a_pod_on_every_node_that_is_meant() {
    let space = "ds-nodes";
    let node = namespace(space);
    // A node that is only an object, and says that nobody may come.
    let fake = "apiVersion: v1\nkind: Node\nmetadata: {name: ds-fake}\n\
        spec: {taints: [{key: kept, value: free, effect: NoSchedule}]}\n";
    node.kubectl_input(&["apply", "-f", "-"], fake).must();
    apply(&node, space, &agent("one", ""));
    rolled_out(&node, space);
    let pod = |path: &str| node.value(space, "pods", &format!("{{.items[*]{path}}}"));
    let real = node.value(
        "",
        "nodes",
        "{.items[0].metadata.name} {.items[1].metadata.name}",
    );
    let real = real.replace("ds-fake", "");
    assert_eq!(pod(".spec.nodeName"), real.trim());
    let pin = ".spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]\
        .matchFields[0].values[0]";
    assert_eq!(pod(pin), real.trim());
    assert!(pod(".spec.tolerations[*].key").contains("node.kubernetes.io/unschedulable"));
    for (path, expected) in [
        ("{.status.desiredNumberScheduled}", "1"),
        ("{.status.currentNumberScheduled}", "1"),
        ("{.status.numberAvailable}", "1"),
        ("{.status.numberMisscheduled}", "0"),
    ] {
        node.wait_for(space, "daemonset/agent", path, expected);
    }
    // A node that is freed gets its pod; one that leaves takes it along.
    node.kubectl(&["taint", "node", "ds-fake", "kept-"]).must();
    node.wait_for(
        space,
        "daemonset/agent",
        "{.status.desiredNumberScheduled}",
        "2",
    );
    assert!(eventually(|| pod(".metadata.name")
        .split_whitespace()
        .count()
        == 2));
    node.kubectl(&["delete", "node", "ds-fake"]).must();
    node.wait_for(
        space,
        "daemonset/agent",
        "{.status.desiredNumberScheduled}",
        "1",
    );
    // A selector that no node has.
    let nowhere = r#"{"spec":{"template":{"spec":{"nodeSelector":{"no":"where"}}}}}"#;
    node.kubectl(&["-n", space, "patch", "daemonset", "agent", "-p", nowhere])
        .must();
    node.wait_for(
        space,
        "daemonset/agent",
        "{.status.desiredNumberScheduled}",
        "0",
    );
    assert!(eventually(|| !pod(".spec.nodeName").contains(real.trim())));
    node.kubectl(&["-n", space, "describe", "daemonset", "agent"])
        .must_say("SuccessfulCreate")
        .must_say("SuccessfulDelete");
}

fn daemons_roll_and_kubectl_rollout() {
    let space = "ds-rollout";
    let node = namespace(space);
    apply(&node, space, &agent("one", ""));
    rolled_out(&node, space);
    apply(&node, space, &agent("two", ""));
    rolled_out(&node, space);
    assert!(eventually(|| texts(&node, space) == "two"));
    let history = rollout(&node, space, "history", &[]);
    assert!(
        history.contains("\n1 ") && history.contains("\n2 "),
        "{history}"
    );
    assert!(rollout(&node, space, "history", &["--revision=1"]).contains("echo one"));
    rollout(&node, space, "undo", &[]);
    rolled_out(&node, space);
    assert!(eventually(|| texts(&node, space) == "one"));
    let history = rollout(&node, space, "history", &[]);
    assert!(
        !history.contains("\n1 ") && history.contains("\n3 "),
        "{history}"
    );
    let before = node.value(space, "pods", "{.items[*].metadata.name}");
    rollout(&node, space, "restart", &[]);
    rolled_out(&node, space);
    assert!(eventually(|| {
        let now = node.value(space, "pods", "{.items[*].metadata.name}");
        now != before && now.split_whitespace().count() == 1
    }));
    // On demand only.
    apply(
        &node,
        space,
        &agent(
            "three",
            "  updateStrategy: {type: OnDelete, rollingUpdate: null}\n",
        ),
    );
    node.wait_for(
        space,
        "daemonset/agent",
        "{.status.updatedNumberScheduled}",
        "",
    );
    assert_eq!(texts(&node, space), "one");
    node.kubectl(&["-n", space, "delete", "pods", "--all"])
        .must();
    assert!(eventually(|| texts(&node, space) == "three"));
    assert!(eventually(|| {
        let before = versions(&node, space);
        std::thread::sleep(Duration::from_secs(2));
        before == versions(&node, space)
    }));
    node.kubectl(&["-n", space, "delete", "daemonset", "agent"])
        .must();
    assert!(eventually(|| versions(&node, space).is_empty()));
}

fn a_daemon_that_surges() {
    let space = "ds-surge";
    let node = namespace(space);
    let surge = "  updateStrategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}\n  minReadySeconds: 1\n";
    apply(&node, space, &agent("one", surge));
    rolled_out(&node, space);
    apply(&node, space, &agent("two", surge));
    // The old one is there until the new one is available.
    assert!(eventually(|| texts(&node, space).split(' ').count() == 2));
    rolled_out(&node, space);
    assert!(eventually(|| texts(&node, space) == "two"));
}

fn a_failed_daemon_is_replaced() {
    let space = "ds-failed";
    let node = namespace(space);
    apply(&node, space, &agent("one", ""));
    rolled_out(&node, space);
    let name = node.value(space, "pods", "{.items[0].metadata.name}");
    // As if it had been evicted.
    let failed = r#"{"status":{"phase":"Failed","reason":"Evicted"}}"#;
    let line = [
        "-n",
        space,
        "patch",
        "pod",
        &name,
        "--subresource=status",
        "-p",
        failed,
    ];
    node.kubectl(&line).must();
    assert!(eventually(|| {
        let all = node.value(space, "pods", "{.items[*].metadata.name}");
        all != name && all.split_whitespace().count() == 1
    }));
    node.wait_for(
        space,
        "pods",
        r"{.items[0].metadata.annotations.coracle\.dev/failed-before}",
        "1",
    );
    node.kubectl(&["-n", space, "describe", "daemonset", "agent"])
        .must_say("FailedDaemonPod");
}
