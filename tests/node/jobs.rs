//! Jobs with real pods, driven by kubectl alone: what runs to its end is counted once, whatever dies meanwhile.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::{import_busybox, namespace};
use std::collections::BTreeSet;

pub const TESTS: &[(&str, fn())] = &[
    (
        "fifty_indexed_pods_each_do_their_part",
        fifty_indexed_pods_each_do_their_part,
    ),
    (
        "a_failing_job_reaches_its_limit",
        a_failing_job_reaches_its_limit,
    ),
    (
        "a_failure_policy_ends_the_job",
        a_failure_policy_ends_the_job,
    ),
    ("a_success_policy_is_enough", a_success_policy_is_enough),
    ("suspended_and_resumed", suspended_and_resumed),
    (
        "a_deadline_stops_running_pods",
        a_deadline_stops_running_pods,
    ),
    (
        "finished_jobs_go_when_told_to",
        finished_jobs_go_when_told_to,
    ),
    ("deleted_jobs_leave_nothing", deleted_jobs_leave_nothing),
    (
        "a_namespace_waits_for_no_successors",
        a_namespace_waits_for_no_successors,
    ),
    (
        "a_dying_node_loses_no_pod_and_counts_none_twice",
        a_dying_node_loses_no_pod_and_counts_none_twice,
    ),
];

/// A Job of one container; `spec` are more lines of its spec.
pub fn job(name: &str, spec: &str, script: &str) -> String {
    let script = serde_json::Value::from(script);
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n{spec}  template:\n    spec:\n      \
         restartPolicy: Never\n      terminationGracePeriodSeconds: 1\n      containers:\n      - name: main\n        \
         image: {IMAGE}\n        command: [sh, -c, {script}]\n"
    )
}

fn apply(node: &TestNode, namespace: &str, manifest: &str) {
    node.kubectl_input(&["-n", namespace, "apply", "-f", "-"], manifest)
        .must();
}

fn wait(node: &TestNode, namespace: &str, condition: &str, job: &str) {
    let condition = format!("--for=condition={condition}");
    let job = format!("job/{job}");
    let ran = node.kubectl(&["-n", namespace, "wait", &condition, &job, "--timeout=180s"]);
    let seen = node.kubectl(&["-n", namespace, "get", "job,pods", "-o", "wide"]);
    assert!(
        ran.ok,
        "{ran:?}\n{}\n{}",
        seen.stdout,
        crate::common::tail(&node.log(), 60)
    );
}

fn words(node: &TestNode, namespace: &str, object: &str, path: &str) -> Vec<String> {
    let all = node.value(namespace, object, path);
    all.split_whitespace().map(str::to_owned).collect()
}

const FINALIZERS: &str = "{.items[*].metadata.finalizers[*]}";
const PHASES: &str = "{.items[*].status.phase}";

fn fifty_indexed_pods_each_do_their_part() {
    let node = namespace("fan-out");
    let spec = "  completionMode: Indexed\n  completions: 50\n  parallelism: 25\n";
    apply(
        &node,
        "fan-out",
        &job("parts", spec, "echo $JOB_COMPLETION_INDEX of $(hostname)"),
    );
    wait(&node, "fan-out", "complete", "parts");
    let status = |path: &str| node.value("fan-out", "job/parts", path);
    assert_eq!(status("{.status.succeeded}/{.status.failed}"), "50/");
    assert_eq!(status("{.status.completedIndexes}"), "0-49");
    assert_eq!(status("{.status.uncountedTerminatedPods}"), "{}");
    let label = r"{.items[*].metadata.labels.batch\.kubernetes\.io/job-completion-index}";
    let indexes = words(&node, "fan-out", "pods", label);
    let different: BTreeSet<&String> = indexes.iter().collect();
    assert_eq!((indexes.len(), different.len()), (50, 50));
    assert_eq!(node.value("fan-out", "pods", FINALIZERS), "");
    let which = "batch.kubernetes.io/job-completion-index=17";
    node.kubectl(&["-n", "fan-out", "logs", "-l", which])
        .must_say("17 of parts-17");
    node.kubectl(&["-n", "fan-out", "describe", "job", "parts"])
        .must_say("SuccessfulCreate")
        .must_say("Completed");
}

fn a_failing_job_reaches_its_limit() {
    let node = namespace("failing");
    let spec = "  completions: 3\n  parallelism: 3\n  backoffLimit: 1\n";
    let script = "test \"${HOSTNAME%%-*}\" = x || exit 3";
    apply(&node, "failing", &job("limited", spec, script));
    wait(&node, "failing", "failed", "limited");
    let reason = "{.status.conditions[?(@.type==\"Failed\")].reason}";
    assert_eq!(
        node.value("failing", "job/limited", reason),
        "BackoffLimitExceeded"
    );
    assert_eq!(
        node.value("failing", "job/limited", "{.status.failed}"),
        "3"
    );
    assert_eq!(node.value("failing", "pods", FINALIZERS), "");
    node.kubectl(&["-n", "failing", "describe", "job", "limited"])
        .must_say("Job has reached the specified backoff limit");
}

fn a_failure_policy_ends_the_job() {
    let node = namespace("failure-policy");
    let spec = "  completionMode: Indexed\n  completions: 2\n  parallelism: 2\n  backoffLimit: 6\n  podFailurePolicy:\n    rules:\n    \
                - action: FailJob\n      onExitCodes: {containerName: main, operator: In, values: [42]}\n";
    let script = "test $JOB_COMPLETION_INDEX = 0 && exec sleep 3600; exit 42";
    apply(&node, "failure-policy", &job("fatal", spec, script));
    wait(&node, "failure-policy", "failed", "fatal");
    let failed = "{.status.conditions[?(@.type==\"Failed\")].reason} {.status.conditions[?(@.type==\"Failed\")].message}";
    let said = node.value("failure-policy", "job/fatal", failed);
    assert!(
        said.starts_with("PodFailurePolicy Container main for pod failure-policy/fatal-1-"),
        "{said}"
    );
    assert!(
        said.ends_with("failed with exit code 42 matching FailJob rule at index 0"),
        "{said}"
    );
    // The other was running, and is gone or has ended.
    let phases = words(&node, "failure-policy", "pods", PHASES);
    assert!(phases.iter().all(|phase| phase == "Failed"), "{phases:?}");
}

fn a_success_policy_is_enough() {
    let node = namespace("success-policy");
    let spec = "  completionMode: Indexed\n  completions: 3\n  parallelism: 3\n  successPolicy: {rules: [{succeededIndexes: \"1\"}]}\n";
    let script = "test $JOB_COMPLETION_INDEX = 1 || exec sleep 3600";
    apply(&node, "success-policy", &job("leader", spec, script));
    wait(&node, "success-policy", "complete", "leader");
    let seen = node.value(
        "success-policy",
        "job/leader",
        "{.status.succeeded} {.status.completedIndexes} {.status.conditions[*].reason}",
    );
    assert_eq!(seen, "1 1 SuccessPolicy SuccessPolicy");
}

fn suspended_and_resumed() {
    let node = namespace("suspended");
    let suspend = |value: bool| {
        let patch = format!(r#"{{"spec":{{"suspend":{value}}}}}"#);
        node.kubectl(&["-n", "suspended", "patch", "job", "later", "-p", &patch])
            .must();
    };
    let script = "trap 'exit 1' TERM; test -f /tmp/go && exit 0; sleep 3600 & wait";
    apply(
        &node,
        "suspended",
        &job("later", "  suspend: true\n  backoffLimit: 0\n", script),
    );
    wait(&node, "suspended", "suspended", "later");
    assert_eq!(
        node.value("suspended", "job/later", "{.status.startTime}"),
        ""
    );
    assert_eq!(node.value("suspended", "pods", PHASES), "");
    suspend(false);
    node.wait_for("suspended", "pods", PHASES, "Running");
    node.wait_for(
        "suspended",
        "job/later",
        "{.status.active}/{.status.ready}",
        "1/1",
    );
    suspend(true);
    // Its pod goes, and is no failure, though none is allowed.
    node.wait_for("suspended", "pods", PHASES, "");
    node.wait_for(
        "suspended",
        "job/later",
        "{.status.active}/{.status.failed}/{.status.terminating}",
        "//0",
    );
    suspend(false);
    node.wait_for("suspended", "pods", PHASES, "Running");
    node.kubectl(&["-n", "suspended", "describe", "job", "later"])
        .must_say("Suspended")
        .must_say("Resumed");
}

fn a_deadline_stops_running_pods() {
    let node = namespace("deadline");
    apply(
        &node,
        "deadline",
        &job("slow", "  activeDeadlineSeconds: 2\n", "sleep 3600"),
    );
    wait(&node, "deadline", "failed", "slow");
    let reason = "{.status.conditions[?(@.type==\"Failed\")].reason}";
    assert_eq!(
        node.value("deadline", "job/slow", reason),
        "DeadlineExceeded"
    );
    assert_eq!(
        node.value(
            "deadline",
            "job/slow",
            "{.status.active}/{.status.terminating}"
        ),
        "/0"
    );
}

fn finished_jobs_go_when_told_to() {
    let node = namespace("ttl");
    apply(
        &node,
        "ttl",
        &job("brief", "  ttlSecondsAfterFinished: 1\n", "exit 0"),
    );
    node.kubectl(&[
        "-n",
        "ttl",
        "wait",
        "--for=delete",
        "job/brief",
        "--timeout=60s",
    ])
    .must();
    node.wait_for("ttl", "pods", PHASES, "");
}

/// A failed pod of an index is kept until its successor is there, which a namespace on its way out does not take.
fn a_namespace_waits_for_no_successors() {
    let node = namespace("no-successors");
    let spec = "  completionMode: Indexed\n  completions: 2\n  parallelism: 2\n  backoffLimitPerIndex: 3\n";
    let script = "test $JOB_COMPLETION_INDEX = 1 || exit 1; exec sleep 1000";
    apply(&node, "no-successors", &job("each", spec, script));
    node.wait_for("no-successors", "job/each", "{.status.active}", "1");
    node.kubectl(&["delete", "namespace", "no-successors", "--timeout=120s"])
        .must();
}

fn deleted_jobs_leave_nothing() {
    let node = namespace("deleted");
    let spec = "  completions: 2\n  parallelism: 2\n";
    for cascade in ["background", "foreground", "orphan"] {
        apply(&node, "deleted", &job(cascade, spec, "sleep 3600"));
        node.wait_for("deleted", "pods", PHASES, "Running Running");
        let how = format!("--cascade={cascade}");
        node.kubectl(&["-n", "deleted", "delete", "job", cascade, &how])
            .must();
        if cascade == "orphan" {
            // The pods stay, and nobody holds them back any more.
            node.wait_for("deleted", "pods", FINALIZERS, "");
            assert_eq!(node.value("deleted", "pods", PHASES), "Running Running");
            node.kubectl(&["-n", "deleted", "delete", "pods", "--all"])
                .must();
        }
        node.wait_for("deleted", "pods", PHASES, "");
    }
}

/// The newest revision that the store has given.
fn revision(node: &TestNode) -> String {
    let list = node
        .kubectl(&["get", "--raw", "/api/v1/nodes?limit=1"])
        .must()
        .stdout;
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    list["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn a_dying_node_loses_no_pod_and_counts_none_twice() {
    let mut node = TestNode::start();
    import_busybox(&node);
    let spec = "  completions: 16\n  parallelism: 8\n  backoffLimit: 0\n";
    apply(&node, "default", &job("many", spec, "sleep 1"));
    let indexed =
        "  completionMode: Indexed\n  completions: 8\n  parallelism: 4\n  backoffLimit: 0\n";
    apply(&node, "default", &job("parts", indexed, "sleep 1"));
    let succeeded = |node: &TestNode| -> u32 {
        let count = node.value("default", "job/many", "{.status.succeeded}");
        count.parse().unwrap_or(0)
    };
    // Once while pods are made, and again each time some more are counted.
    assert!(eventually(|| !node
        .value("default", "pods", PHASES)
        .is_empty()));
    for counted in [1, 6, 12] {
        node.kill_hard();
        node.up();
        assert!(eventually(|| succeeded(&node) >= counted), "{}", node.log());
    }
    node.kill_hard();
    node.up();
    for (name, completions) in [("many", 16), ("parts", 8)] {
        wait(&node, "default", "complete", name);
        let status = node.value(
            "default",
            &format!("job/{name}"),
            "{.status.succeeded}/{.status.failed}/{.status.active}",
        );
        assert_eq!(status, format!("{completions}//"));
        let label = format!("job-name={name}");
        let pods = node.kubectl(&[
            "get",
            "pods",
            "-l",
            &label,
            "-o",
            "jsonpath={.items[*].status.phase}",
        ]);
        assert_eq!(
            pods.stdout.split_whitespace().count(),
            completions,
            "{name}: {}",
            pods.stdout
        );
    }
    assert_eq!(node.value("default", "pods", FINALIZERS), "");
    // Events of the end are on their way still; then nothing is written any more.
    let mut last = String::new();
    let mut same = 0;
    let quiet = eventually(|| {
        let now = revision(&node);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same >= 20
    });
    assert!(quiet, "it still writes: {}", node.log());
}
