//! Workloads, jobs, claims and namespaces.

use super::super::case::Case;
use super::super::cause::{Cause, whole};
use super::super::{jobs, remains, workloads};
use super::event;
use serde_json::{Value, json};

type Judge = fn(&Case) -> Vec<Cause>;

fn case(noun: &str, patch: Value) -> Case {
    let mut object = json!({"metadata": {"name": "web", "namespace": "shop", "creationTimestamp": "1970-01-01T00:00:00Z"}});
    json_patch::merge(&mut object, &patch);
    Case {
        noun: noun.to_owned(),
        object,
        now: super::NOW,
        ..Case::default()
    }
}

fn check(cases: Vec<(Judge, Case, &[&str])>) {
    for (judge, case, words) in cases {
        let causes = judge(&case);
        let text = whole(&case.headline(&causes), &causes, Vec::new());
        for word in words {
            assert!(
                text.to_lowercase().contains(&word.to_lowercase()),
                "{word:?} is not in\n{text}"
            );
        }
    }
}

fn condition(kind: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": "True", "reason": reason, "message": message})
}

#[test]
fn workloads_short_of_pods_are_explained() {
    let with_pod = |mut case: Case| {
        let cause = Cause::new("container app crashes").because("it ended with exit code 1");
        case.pod = Some(("web-1".to_owned(), vec![cause]));
        case
    };
    let mut refused = case("statefulset", json!({}));
    refused.events = vec![event("FailedCreate", "serviceaccount \"x\" not found")];
    let stuck = json!({"spec": {"replicas": 3, "progressDeadlineSeconds": 600}, "status": {"conditions": [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]}});
    let quota = json!({"status": {"conditions": [condition("ReplicaFailure", "FailedCreate", "exceeded quota: small")]}});
    let unseen = json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}});
    let nowhere = json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "fast"}}}}});
    check(vec![
        (
            workloads::deployment,
            with_pod(case("deployment", stuck)),
            &[
                "no progress for 10m",
                "pod web-1: container app crashes",
                "coracle -n shop rollout undo deployment/web",
                "why pod/web-1",
            ],
        ),
        (
            workloads::deployment,
            case("deployment", quota),
            &[
                "cannot be created",
                "exceeded quota",
                "describe resourcequota",
            ],
        ),
        (
            workloads::deployment,
            case("deployment", json!({"spec": {"paused": true}})),
            &["is paused", "rollout resume deployment/web"],
        ),
        (
            workloads::deployment,
            case("deployment", unseen),
            &["has not looked at its newest version"],
        ),
        (
            workloads::replica_set,
            with_pod(case(
                "replicaset",
                json!({"spec": {"replicas": 3}, "status": {"readyReplicas": 1}}),
            )),
            &["1 of 3 pods are ready", "exit code 1"],
        ),
        (
            workloads::stateful_set,
            with_pod(case("statefulset", json!({"spec": {"replicas": 2}}))),
            &["0 of 2 pods are ready", "OrderedReady"],
        ),
        (
            workloads::stateful_set,
            refused,
            &["cannot be created", "get serviceaccounts"],
        ),
        (
            workloads::daemon_set,
            case("daemonset", nowhere),
            &["no node is to run it", "disk=fast"],
        ),
        (
            workloads::deployment,
            case(
                "deployment",
                json!({"spec": {"replicas": 1}, "status": {"availableReplicas": 1}}),
            ),
            &["deployment/web in namespace shop: nothing is wrong."],
        ),
    ]);
}

#[test]
fn a_first_revision_is_not_told_to_go_back() {
    for (revision, back) in [("1", false), ("2", true)] {
        let patch = json!({
            "metadata": {"annotations": {"deployment.kubernetes.io/revision": revision}},
            "status": {"conditions": [{"type": "Progressing", "status": "False"}]},
        });
        let causes = workloads::deployment(&case("deployment", patch));
        let text = whole("", &causes, Vec::new());
        assert_eq!(text.contains("rollout undo"), back, "{text}");
    }
}

#[test]
fn jobs_and_cron_jobs_are_explained() {
    let failed = |reason: &str| {
        let patch = json!({"spec": {"backoffLimit": 2, "activeDeadlineSeconds": 9}, "status": {"failed": 3, "conditions": [condition("Failed", reason, "m")]}});
        case("job", patch)
    };
    let cron = |patch: Value| {
        let mut case = case("cronjob", json!({"spec": {"schedule": "0 * * * *"}}));
        json_patch::merge(&mut case.object, &patch);
        case
    };
    let mut busy = cron(json!({"spec": {"concurrencyPolicy": "Forbid"}}));
    busy.jobs = vec![json!({"metadata": {"name": "web-7"}})];
    let mut broken = cron(json!({}));
    broken.jobs = vec![
        json!({"metadata": {"name": "web-8"}, "status": {"conditions": [condition("Failed", "", "")]}}),
    ];
    check(vec![
        (
            jobs::job,
            failed("BackoffLimitExceeded"),
            &["3 pods failed", "backoffLimit of 2", "logs -l job-name=web"],
        ),
        (
            jobs::job,
            failed("DeadlineExceeded"),
            &["activeDeadlineSeconds of 9"],
        ),
        (
            jobs::job,
            case("job", json!({"spec": {"suspend": true}})),
            &["it is suspended", "patch job web"],
        ),
        (
            jobs::cron_job,
            cron(json!({"spec": {"suspend": true}})),
            &["it is suspended"],
        ),
        (
            jobs::cron_job,
            cron(json!({"spec": {"schedule": "often"}})),
            &["never fires"],
        ),
        (jobs::cron_job, busy, &["web-7 still runs", "why job/web-7"]),
        (jobs::cron_job, broken, &["newest job web-8 has failed"]),
        (jobs::cron_job, cron(json!({})), &["nothing is wrong"]),
    ]);
    assert!(jobs::notes(&cron(json!({})))[0].contains("has not fired yet; the next time is"));
}

#[test]
fn what_remains_is_explained() {
    let going = json!({"metadata": {"deletionTimestamp": "1970-01-01T00:10:00Z"}});
    let namespace = |left: Vec<(String, Vec<String>)>| {
        let mut case = case("namespace", going.clone());
        case.left = left;
        case
    };
    let held = vec![("pods \"a\"".to_owned(), vec!["example.com/x".to_owned()])];
    let full = (0..12)
        .map(|i| (format!("pods \"p{i}\""), Vec::new()))
        .collect();
    let claim = |patch: Value, class: Option<Value>| {
        let mut case = case("persistentvolumeclaim", patch);
        case.class = class;
        case
    };
    let fast = || json!({"spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}});
    let mut used = claim(going.clone(), None);
    used.users = vec!["p".to_owned()];
    check(vec![
        (
            remains::namespace,
            namespace(held),
            &["pods \"a\" waits for example.com/x", "patch pods/a"],
        ),
        (
            remains::namespace,
            namespace(full),
            &["12 objects in it are not gone", "and 2 more"],
        ),
        (remains::namespace, namespace(Vec::new()), &["it is empty"]),
        (
            remains::namespace,
            case("namespace", json!({})),
            &["nothing is wrong"],
        ),
        (
            remains::claim,
            claim(fast(), Some(Value::Null)),
            &["\"fast\" does not exist"],
        ),
        (
            remains::claim,
            claim(
                fast(),
                Some(json!({"volumeBindingMode": "WaitForFirstConsumer"})),
            ),
            &["waits for the first pod"],
        ),
        (
            remains::claim,
            claim(fast(), Some(json!({"provisioner": "example.com/p"}))),
            &["provisioner example.com/p"],
        ),
        (
            remains::claim,
            claim(json!({}), None),
            &["names no storage class"],
        ),
        (
            remains::claim,
            claim(json!({"spec": {"volumeName": "v"}}), None),
            &["volume \"v\" by name"],
        ),
        (
            remains::claim,
            claim(json!({"status": {"phase": "Bound"}}), None),
            &["nothing is wrong"],
        ),
        (remains::claim, used, &["pods use it: p"]),
    ]);
}
