//! Deployments, ReplicaSets and ReplicationControllers with real pods, driven by kubectl alone.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::namespace;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub const TESTS: &[(&str, fn())] = &[
    ("replicas_run_scale_and_go", replicas_run_scale_and_go),
    (
        "a_rolling_update_keeps_serving",
        a_rolling_update_keeps_serving,
    ),
    (
        "kubectl_rollout_goes_back_and_forth",
        kubectl_rollout_goes_back_and_forth,
    ),
    (
        "recreate_stops_before_it_starts",
        recreate_stops_before_it_starts,
    ),
    (
        "an_image_that_never_comes_exceeds_the_deadline",
        an_image_that_never_comes_exceeds_the_deadline,
    ),
    (
        "a_replication_controller_keeps_its_pods",
        a_replication_controller_keeps_its_pods,
    ),
];

/// A page served by busybox; `more` are lines of the Deployment's spec.
fn web(replicas: u8, page: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: {replicas}\n{more}  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      \
         terminationGracePeriodSeconds: 1\n      containers:\n      - name: main\n        image: {IMAGE}\n        \
         command: [sh, -c, 'mkdir -p /tmp/www; echo {page} > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www']\n        \
         readinessProbe: {{httpGet: {{port: 8080}}, periodSeconds: 1}}\n"
    )
}

fn apply(node: &TestNode, namespace: &str, manifest: &str) {
    node.kubectl_input(&["-n", namespace, "apply", "-f", "-"], manifest)
        .must();
}

fn rolled_out(node: &TestNode, namespace: &str) {
    node.kubectl(&[
        "-n",
        namespace,
        "rollout",
        "status",
        "deployment/web",
        "--timeout=60s",
    ])
    .must_say("successfully rolled out");
}

/// Addresses of pods that are ready.
fn ready(node: &TestNode, namespace: &str) -> Vec<String> {
    let path = "{range .items[?(@.status.containerStatuses[0].ready==true)]}{.status.podIP} {end}";
    let all = node.value(namespace, "pods", path);
    all.split_whitespace().map(str::to_owned).collect()
}

fn page(address: &str) -> Option<String> {
    let to = format!("{address}:8080").parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn versions(node: &TestNode, namespace: &str) -> String {
    let path = "{range .items[*]}{.metadata.name}={.metadata.resourceVersion} {end}";
    node.value(namespace, "deployments,replicasets,pods", path)
}

fn replicas_run_scale_and_go() {
    let node = namespace("replicas");
    apply(&node, "replicas", &web(3, "one", ""));
    rolled_out(&node, "replicas");
    node.wait_for(
        "replicas",
        "deployment/web",
        "{.status.availableReplicas}",
        "3",
    );
    node.kubectl(&["-n", "replicas", "describe", "deployment", "web"])
        .must_say("ScalingReplicaSet")
        .must_say("MinimumReplicasAvailable");
    node.kubectl(&["-n", "replicas", "describe", "replicaset"])
        .must_say("SuccessfulCreate");
    // A pod that is deleted comes back.
    let name = node.value("replicas", "pods", "{.items[0].metadata.name}");
    node.kubectl(&["-n", "replicas", "delete", "pod", &name])
        .must();
    assert!(eventually(|| ready(&node, "replicas").len() == 3));
    for replicas in ["5", "1"] {
        let patch = format!(r#"{{"spec":{{"replicas":{replicas}}}}}"#);
        node.kubectl(&["-n", "replicas", "patch", "deployment", "web", "-p", &patch])
            .must();
        node.wait_for("replicas", "deployment/web", "{.status.replicas}", replicas);
        node.wait_for(
            "replicas",
            "deployment/web",
            "{.status.availableReplicas}",
            replicas,
        );
    }
    assert!(eventually(|| {
        node.value("replicas", "pods", "{.items[*].metadata.name}")
            .split_whitespace()
            .count()
            == 1
    }));
    // Nothing is written when nothing happens: what was under way ends, then two looks see the same.
    assert!(eventually(|| {
        let before = versions(&node, "replicas");
        std::thread::sleep(Duration::from_secs(2));
        before == versions(&node, "replicas")
    }));
    node.kubectl(&["-n", "replicas", "delete", "deployment", "web"])
        .must();
    assert!(eventually(|| versions(&node, "replicas").is_empty()));
}

fn a_rolling_update_keeps_serving() {
    let node = namespace("rolling");
    let strategy = "  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 1}}\n";
    apply(&node, "rolling", &web(3, "one", strategy));
    rolled_out(&node, "rolling");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut fewest = usize::MAX;
            while !is_over.load(Ordering::Relaxed) {
                fewest = fewest.min(ready(&node, "rolling").len());
            }
            fewest
        });
        apply(&node, "rolling", &web(3, "two", strategy));
        rolled_out(&node, "rolling");
        is_over.store(true, Ordering::Relaxed);
        let fewest = watcher.join().expect("watcher");
        assert!(fewest >= 2, "only {fewest} were ready");
    });
    assert!(eventually(|| {
        let addresses = ready(&node, "rolling");
        addresses.len() == 3
            && addresses
                .iter()
                .all(|a| page(a).is_some_and(|text| text.contains("two")))
    }));
}

fn kubectl_rollout_goes_back_and_forth() {
    let node = namespace("rollout");
    let rollout = |verb: &str, more: &[&str]| {
        let mut line = vec!["-n", "rollout", "rollout", verb, "deployment/web"];
        line.extend(more);
        node.kubectl(&line).must()
    };
    apply(&node, "rollout", &web(2, "one", ""));
    rolled_out(&node, "rollout");
    apply(&node, "rollout", &web(2, "two", ""));
    rolled_out(&node, "rollout");
    rollout("undo", &[]);
    rolled_out(&node, "rollout");
    let history = rollout("history", &[]).stdout;
    assert!(
        history.contains("\n2 ") && history.contains("\n3 "),
        "{history}"
    );
    assert!(!history.contains("\n1 "), "{history}");
    rollout("history", &["--revision=3"]).must_say("echo one");
    rollout("undo", &["--to-revision=2"]);
    rolled_out(&node, "rollout");
    assert!(eventually(|| {
        ready(&node, "rollout")
            .iter()
            .all(|a| page(a).is_some_and(|t| t.contains("two")))
    }));
    let revision = r"{.metadata.annotations.deployment\.kubernetes\.io/revision}";
    node.wait_for("rollout", "deployment/web", revision, "4");
    rollout("pause", &[]);
    let reason = r#"{.status.conditions[?(@.type=="Progressing")].reason}"#;
    node.wait_for("rollout", "deployment/web", reason, "DeploymentPaused");
    apply(&node, "rollout", &web(2, "three", "  paused: true\n"));
    node.wait_for("rollout", "deployment/web", "{.status.updatedReplicas}", "");
    rollout("resume", &[]);
    rolled_out(&node, "rollout");
    node.wait_for("rollout", "deployment/web", revision, "5");
    rollout("restart", &[]);
    rolled_out(&node, "rollout");
    node.wait_for("rollout", "deployment/web", revision, "6");
    node.wait_for(
        "rollout",
        "deployment/web",
        reason,
        "NewReplicaSetAvailable",
    );
}

fn recreate_stops_before_it_starts() {
    let node = namespace("recreate");
    let strategy = "  strategy: {type: Recreate}\n";
    apply(&node, "recreate", &web(2, "one", strategy));
    rolled_out(&node, "recreate");
    let old = node.value("recreate", "replicasets", "{.items[0].metadata.name}");
    apply(&node, "recreate", &web(2, "two", strategy));
    // While any old pod has not ended, there is no other.
    let path = "{range .items[*]}{.metadata.name}/{.status.phase} {end}";
    assert!(eventually(|| {
        let names = node.value("recreate", "pods", path);
        let (before, after): (Vec<_>, Vec<_>) = names
            .split_whitespace()
            .filter(|n| !n.ends_with("/Succeeded") && !n.ends_with("/Failed"))
            .partition(|n| n.starts_with(&old));
        assert!(before.is_empty() || after.is_empty(), "{names}");
        after.len() == 2
    }));
    rolled_out(&node, "recreate");
}

fn an_image_that_never_comes_exceeds_the_deadline() {
    let node = namespace("deadline");
    apply(
        &node,
        "deadline",
        &web(1, "one", "  progressDeadlineSeconds: 5\n"),
    );
    rolled_out(&node, "deadline");
    let image = r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"test.local/none:1","imagePullPolicy":"Never"}]}}}}"#;
    node.kubectl(&["-n", "deadline", "patch", "deployment", "web", "-p", image])
        .must();
    node.kubectl(&[
        "-n",
        "deadline",
        "rollout",
        "status",
        "deployment/web",
        "--timeout=60s",
    ])
    .must_fail_with("exceeded its progress deadline");
    let reason = r#"{.status.conditions[?(@.type=="Progressing")].reason}"#;
    node.wait_for(
        "deadline",
        "deployment/web",
        reason,
        "ProgressDeadlineExceeded",
    );
    assert_eq!(ready(&node, "deadline").len(), 1);
}

fn a_replication_controller_keeps_its_pods() {
    let node = namespace("controller");
    let manifest = format!(
        "apiVersion: v1\nkind: ReplicationController\nmetadata: {{name: rc}}\nspec:\n  replicas: 2\n  selector: {{app: rc}}\n  \
         template:\n    metadata: {{labels: {{app: rc}}}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      \
         containers: [{{name: main, image: {IMAGE}, command: [sleep, '3600']}}]\n"
    );
    apply(&node, "controller", &manifest);
    node.wait_for("controller", "rc/rc", "{.status.readyReplicas}", "2");
    // A pod that loses its label is let go and replaced.
    let name = node.value("controller", "pods", "{.items[0].metadata.name}");
    node.kubectl(&["-n", "controller", "label", "pod", &name, "app-"])
        .must();
    assert!(eventually(|| {
        node.value("controller", "pods", "{.items[*].metadata.name}")
            .split_whitespace()
            .count()
            == 3
    }));
    node.wait_for(
        "controller",
        &format!("pod/{name}"),
        "{.metadata.ownerReferences[*].uid}",
        "",
    );
    // And taken back: then one is too many.
    node.kubectl(&["-n", "controller", "label", "pod", &name, "app=rc"])
        .must();
    assert!(eventually(|| {
        node.value("controller", "pods", "{.items[*].metadata.name}")
            .split_whitespace()
            .count()
            == 2
    }));
}
