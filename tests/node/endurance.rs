//! Many pods: in a row, and at once. What they leave behind is counted.

use crate::busybox::IMAGE;
use crate::common::leaks::{Traces, assert_none};
use crate::common::{TestNode, eventually};
use crate::import_busybox;
use serde_json::{Value, json};

pub const TESTS: &[(&str, fn())] = &[
    (
        "five_hundred_in_a_row_leave_nothing",
        five_hundred_in_a_row_leave_nothing,
    ),
    ("a_hundred_at_once", a_hundred_at_once),
];

const IN_A_ROW: usize = 500;
/// Pods of one round; the rounds follow each other.
const ROUND: usize = 20;

/// A pod with something of everything that could be left behind.
fn pod(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("many-{number}"), "labels": {"app": "many"}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "volumes": [
                {"name": "disk", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}},
                {"name": "words", "configMap": {"name": "words"}},
            ],
            "initContainers": [{"name": "first", "image": IMAGE, "command": ["sh", "-c", "echo > /disk/f"],
                "volumeMounts": [{"name": "disk", "mountPath": "/disk"}]}],
            "containers": [{"name": "main", "image": IMAGE, "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait"],
                "volumeMounts": [{"name": "disk", "mountPath": "/disk"}, {"name": "memory", "mountPath": "/memory"},
                                 {"name": "words", "mountPath": "/words"}]}],
        },
    })
}

fn create(node: &TestNode, numbers: impl Iterator<Item = usize>) {
    let items: Vec<Value> = numbers.map(pod).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    node.kubectl_input(&["create", "-f", "-"], &list.to_string())
        .must();
}

fn await_running(node: &TestNode, wanted: usize) {
    let arguments = [
        "get",
        "pods",
        "-l",
        "app=many",
        "--field-selector=status.phase=Running",
        "-o",
        "name",
    ];
    let mut running = 0;
    let reached = eventually(|| {
        running = node.kubectl(&arguments).stdout.lines().count();
        running == wanted
    });
    let all = node.kubectl(&["get", "pods", "-o", "wide"]).stdout;
    assert!(
        reached,
        "{running} of {wanted} pods run:\n{all}\n{}",
        crate::common::tail(&node.log(), 40)
    );
}

fn node_with_words() -> TestNode {
    let node = TestNode::start();
    import_busybox(&node);
    node.kubectl(&["create", "configmap", "words", "--from-literal=a=b"])
        .must();
    // What the first pod makes for good (cgroups of classes, directories) is no leak.
    create(&node, 0..1);
    await_running(&node, 1);
    node.kubectl(&["delete", "pods", "--all"]).must();
    node
}

fn five_hundred_in_a_row_leave_nothing() {
    let node = node_with_words();
    let before = Traces::of(&node);
    for round in 0..IN_A_ROW / ROUND {
        create(&node, round * ROUND..(round + 1) * ROUND);
        await_running(&node, ROUND);
        node.kubectl(&["delete", "pods", "-l", "app=many"]).must();
    }
    assert_none(&node, &before);
    println!("{IN_A_ROW} pods in a row: 0 leaks");
}

fn a_hundred_at_once() {
    let node = node_with_words();
    let before = Traces::of(&node);
    create(&node, 0..100);
    // While they start, the node answers: a list, a log, a command in a container that runs.
    let some = || {
        node.kubectl(&[
            "get",
            "pods",
            "--field-selector=status.phase=Running",
            "-o",
            "name",
        ])
        .must()
        .stdout
    };
    let mut first = String::new();
    assert!(eventually(|| {
        let running = some();
        first = running
            .lines()
            .next()
            .map(str::to_owned)
            .unwrap_or_default();
        !first.is_empty()
    }));
    node.kubectl(&["exec", &first, "-c", "main", "--", "cat", "/words/a"])
        .must_say("b");
    await_running(&node, 100);
    node.kubectl(&["exec", "many-99", "-c", "main", "--", "cat", "/words/a"])
        .must_say("b");
    node.kubectl(&["logs", "many-99", "-c", "main"]).must();
    node.kubectl(&["delete", "pods", "-l", "app=many"]).must();
    assert_none(&node, &before);
}
