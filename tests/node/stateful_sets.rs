//! StatefulSets with real pods and volumes, driven by kubectl alone.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::{import_busybox, namespace};
use std::time::Duration;

pub const TESTS: &[(&str, fn())] = &[
    (
        "ordered_pods_scale_and_keep_their_claims",
        ordered_pods_scale_and_keep_their_claims,
    ),
    (
        "a_partitioned_update_and_kubectl_rollout",
        a_partitioned_update_and_kubectl_rollout,
    ),
    (
        "parallel_pods_and_claims_that_go",
        parallel_pods_and_claims_that_go,
    ),
    ("data_survives_a_kill", data_survives_a_kill),
];

/// Each pod adds a line to a file of its own volume; `more` are lines of the spec.
fn store(replicas: u8, text: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: db}}\nspec: {{clusterIP: None, selector: {{app: db}}, ports: [{{port: 80}}]}}\n---\n\
         apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: db}}\nspec:\n  replicas: {replicas}\n  serviceName: db\n{more}  \
         selector: {{matchLabels: {{app: db}}}}\n  template:\n    metadata: {{labels: {{app: db}}}}\n    spec:\n      \
         terminationGracePeriodSeconds: 1\n      containers:\n      - name: main\n        image: {IMAGE}\n        \
         command: [sh, -c, 'echo {text} $(hostname) >> /data/log; exec sleep 3600']\n        \
         volumeMounts: [{{name: data, mountPath: /data}}]\n  volumeClaimTemplates:\n  - metadata: {{name: data}}\n    \
         spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 16Mi}}}}}}\n"
    )
}

fn apply(node: &TestNode, namespace: &str, manifest: &str) {
    node.kubectl_input(&["-n", namespace, "apply", "-f", "-"], manifest)
        .must();
}

fn rollout(node: &TestNode, namespace: &str, verb: &str, more: &[&str]) -> String {
    let mut line = vec!["-n", namespace, "rollout", verb, "statefulset/db"];
    line.extend(more);
    node.kubectl(&line).must().stdout
}

fn rolled_out(node: &TestNode, namespace: &str) {
    rollout(node, namespace, "status", &["--timeout=60s"]);
}

fn scale(node: &TestNode, namespace: &str, replicas: &str) {
    let to = format!("--replicas={replicas}");
    node.kubectl(&["-n", namespace, "scale", "statefulset/db", &to])
        .must();
}

fn names(node: &TestNode, namespace: &str, kind: &str) -> String {
    node.value(namespace, kind, "{.items[*].metadata.name}")
}

fn log(node: &TestNode, namespace: &str, pod: &str) -> String {
    let line = ["-n", namespace, "exec", pod, "--", "cat", "/data/log"];
    node.kubectl(&line).stdout
}

fn versions(node: &TestNode, namespace: &str) -> String {
    let path = "{range .items[*]}{.metadata.name}={.metadata.resourceVersion} {end}";
    let kinds = "statefulsets,controllerrevisions,pods,persistentvolumeclaims";
    node.value(namespace, kinds, path)
}

fn ordered_pods_scale_and_keep_their_claims() {
    let space = "sts-ordered";
    let node = namespace(space);
    apply(&node, space, &store(3, "one", ""));
    rolled_out(&node, space);
    node.wait_for(space, "statefulset/db", "{.status.availableReplicas}", "3");
    // One after the other: none was made before its predecessor was ready.
    let times = |path: &str| {
        let all = node.value(space, "pods", path);
        let times = all.split_whitespace().map(str::to_owned);
        times.collect::<Vec<String>>()
    };
    let made = times("{.items[*].metadata.creationTimestamp}");
    let ready = times(r#"{.items[*].status.conditions[?(@.type=="Ready")].lastTransitionTime}"#);
    assert_eq!((made.len(), ready.len()), (3, 3));
    for next in 1..3 {
        assert!(made[next] >= ready[next - 1], "{made:?} {ready:?}");
    }
    let pod = "pod/db-1";
    for (path, expected) in [
        (
            r"{.metadata.labels.statefulset\.kubernetes\.io/pod-name}",
            "db-1",
        ),
        (r"{.metadata.labels.apps\.kubernetes\.io/pod-index}", "1"),
        ("{.spec.hostname}.{.spec.subdomain}", "db-1.db"),
        (
            r#"{.spec.volumes[?(@.name=="data")].persistentVolumeClaim.claimName}"#,
            "data-db-1",
        ),
    ] {
        node.wait_for(space, pod, path, expected);
    }
    // A pod that is deleted comes back under its name, to its data.
    node.kubectl(&["-n", space, "delete", "pod", "db-1"]).must();
    assert!(eventually(
        || log(&node, space, "db-1") == "one db-1\none db-1\n"
    ));
    scale(&node, space, "1");
    assert!(eventually(|| names(&node, space, "pods") == "db-0"));
    assert_eq!(names(&node, space, "pvc"), "data-db-0 data-db-1 data-db-2");
    scale(&node, space, "3");
    rolled_out(&node, space);
    assert!(eventually(
        || log(&node, space, "db-2") == "one db-2\none db-2\n"
    ));
    node.kubectl(&["-n", space, "describe", "statefulset", "db"])
        .must_say("create Claim data-db-0 Pod db-0 in StatefulSet db success")
        .must_say("delete Pod db-2 in StatefulSet db successful");
    // Nothing is written when nothing happens.
    assert!(eventually(|| {
        let before = versions(&node, space);
        std::thread::sleep(Duration::from_secs(2));
        before == versions(&node, space)
    }));
    node.kubectl(&["-n", space, "delete", "statefulset", "db"])
        .must();
    assert!(eventually(|| {
        names(&node, space, "pods,controllerrevisions").is_empty()
    }));
    assert_eq!(names(&node, space, "pvc"), "data-db-0 data-db-1 data-db-2");
}

fn a_partitioned_update_and_kubectl_rollout() {
    let space = "sts-rollout";
    let node = namespace(space);
    let text = |pod: &str| {
        let path = "{.spec.containers[0].command[2]}";
        let line = node.value(space, &format!("pod/{pod}"), path);
        line.split_whitespace().nth(1).map(str::to_owned)
    };
    let of = |first: &str, second: &str| {
        eventually(|| {
            text("db-0").as_deref() == Some(first) && text("db-1").as_deref() == Some(second)
        })
    };
    apply(&node, space, &store(2, "one", ""));
    rolled_out(&node, space);
    let partition = "  updateStrategy: {rollingUpdate: {partition: 1}}\n";
    apply(&node, space, &store(2, "two", partition));
    rolled_out(&node, space);
    assert!(of("one", "two"));
    node.wait_for(space, "statefulset/db", "{.status.updatedReplicas}", "1");
    node.wait_for(space, "statefulset/db", "{.status.currentReplicas}", "1");
    // Below the partition a pod comes back as it was.
    node.kubectl(&["-n", space, "delete", "pod", "db-0"]).must();
    rolled_out(&node, space);
    assert!(of("one", "two"));
    apply(&node, space, &store(2, "two", ""));
    let whole = r#"{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}"#;
    node.kubectl(&["-n", space, "patch", "statefulset", "db", "-p", whole])
        .must();
    rolled_out(&node, space);
    assert!(of("two", "two"));
    let history = rollout(&node, space, "history", &[]);
    assert!(
        history.contains("\n1 ") && history.contains("\n2 "),
        "{history}"
    );
    let detail = rollout(&node, space, "history", &["--revision=1"]);
    assert!(detail.contains("echo one"), "{detail}");
    rollout(&node, space, "undo", &[]);
    rolled_out(&node, space);
    assert!(of("one", "one"));
    let history = rollout(&node, space, "history", &[]);
    assert!(
        !history.contains("\n1 ") && history.contains("\n3 "),
        "{history}"
    );
    rollout(&node, space, "restart", &[]);
    rolled_out(&node, space);
    assert!(of("one", "one"));
    let count = names(&node, space, "controllerrevisions");
    assert_eq!(count.split_whitespace().count(), 3, "{count}");
}

fn parallel_pods_and_claims_that_go() {
    let space = "sts-parallel";
    let node = namespace(space);
    let more = "  podManagementPolicy: Parallel\n  \
        persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Delete}\n  ordinals: {start: 5}\n";
    apply(&node, space, &store(3, "one", more));
    rolled_out(&node, space);
    assert_eq!(names(&node, space, "pods"), "db-5 db-6 db-7");
    scale(&node, space, "1");
    assert!(eventually(|| names(&node, space, "pods") == "db-5"));
    assert!(eventually(|| names(&node, space, "pvc") == "data-db-5"));
    scale(&node, space, "2");
    rolled_out(&node, space);
    assert!(eventually(|| log(&node, space, "db-6") == "one db-6\n"));
    node.kubectl(&["-n", space, "delete", "statefulset", "db"])
        .must();
    assert!(eventually(|| names(&node, space, "pods,pvc").is_empty()));
}

fn data_survives_a_kill() {
    let mut node = TestNode::start();
    import_busybox(&node);
    let space = "default";
    apply(&node, space, &store(2, "one", ""));
    rolled_out(&node, space);
    node.kill_hard();
    node.up();
    node.kubectl(&["delete", "pod", "db-0"]).must();
    rolled_out(&node, space);
    assert!(eventually(
        || log(&node, space, "db-0") == "one db-0\none db-0\n"
    ));
    assert!(eventually(|| log(&node, space, "db-1") == "one db-1\n"));
}
