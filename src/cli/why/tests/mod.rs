//! Situations and what is said of them.
#![allow(clippy::unwrap_used)]

mod cases;
mod config;
mod ends;
mod images;
mod over;
mod placement;

use super::cause::page;
use super::facts::{Facts, Kind, Lookup};
use super::gather::references;
use super::judge::why;
use serde_json::{Value, json};

const NOW: i64 = 1_000;

/// A pod on node `n` with one container `app`, changed by a merge patch.
fn pod(patch: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "creationTimestamp": "1970-01-01T00:15:00Z"},
        "spec": {"nodeName": "n", "restartPolicy": "Always", "containers": [{"name": "app", "image": "r.io/a/app:1"}]},
        "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]},
    });
    json_patch::merge(&mut pod, &patch);
    pod
}

/// `app` waits.
fn waiting(reason: &str, message: &str) -> Value {
    pod(json!({"status": {"containerStatuses": [
        {"name": "app", "restartCount": 0, "ready": false, "state": {"waiting": {"reason": reason, "message": message}}}]}}))
}

/// `app` is in CrashLoopBackOff after an end.
fn crashed(code: i64, reason: &str) -> Value {
    pod(json!({"status": {"phase": "Running", "containerStatuses": [
        {"name": "app", "restartCount": 4, "ready": false,
         "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
         "lastState": {"terminated": {"exitCode": code, "reason": reason}}}]}}))
}

/// `app` runs and is not ready; `probe` is merged into its spec.
fn unready(container: Value, started: bool) -> Value {
    let mut spec = json!({"name": "app", "image": "i"});
    json_patch::merge(&mut spec, &container);
    pod(
        json!({"spec": {"containers": [spec]}, "status": {"phase": "Running", "containerStatuses": [
        {"name": "app", "restartCount": 0, "ready": false, "started": started, "state": {"running": {"startedAt": "1970-01-01T00:16:00Z"}}}]}}),
    )
}

fn unplaced(message: &str) -> Value {
    pod(
        json!({"spec": {"nodeName": null, "nodeSelector": {"disk": "fast"}},
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}}),
    )
}

fn over(reason: &str, message: &str) -> Value {
    pod(json!({"status": {"phase": "Failed", "reason": reason, "message": message}}))
}

fn healthy() -> Value {
    pod(
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [
        {"name": "app", "restartCount": 0, "ready": true, "started": true, "state": {"running": {"startedAt": "1970-01-01T00:16:00Z"}}}]}}),
    )
}

fn event(reason: &str, message: &str) -> Value {
    json!({"reason": reason, "message": message, "lastTimestamp": "1970-01-01T00:16:30Z",
           "involvedObject": {"fieldPath": "spec.containers{app}"}})
}

fn facts(pod: Value) -> Facts {
    Facts {
        references: references(&pod),
        node: Some(Lookup::There(
            json!({"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        )),
        nodes: Some(vec![json!({
            "metadata": {"name": "n"}, "spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]},
            "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}
        })]),
        pod,
        events: Vec::new(),
        now: NOW,
    }
}

fn with_events(pod: Value, events: &[(&str, &str)]) -> Facts {
    Facts {
        events: events
            .iter()
            .map(|(reason, message)| event(reason, message))
            .collect(),
        ..facts(pod)
    }
}

fn found(pod: Value, kind: Kind, found: &Lookup) -> Facts {
    let mut facts = facts(pod);
    for reference in facts
        .references
        .iter_mut()
        .filter(|reference| reference.kind == kind)
    {
        reference.found = found.clone();
    }
    facts
}

/// Its name, the facts, and words that the answer must have.
type Situation = (&'static str, Facts, &'static [&'static str]);

fn situations() -> Vec<Situation> {
    [
        images::situations,
        ends::situations,
        config::situations,
        placement::situations,
        over::situations,
    ]
    .into_iter()
    .flat_map(|situations| situations())
    .collect()
}

#[test]
fn situations_are_explained() {
    let situations = situations();
    assert!(situations.len() >= 25);
    for (name, facts, words) in situations {
        let causes = why(&facts);
        assert!(!causes.is_empty(), "{name}: nothing found");
        let text = page(&facts, &causes);
        // A sentence begins with a capital that the cause itself has not.
        for word in words {
            assert!(
                text.to_lowercase().contains(&word.to_lowercase()),
                "{name}: {word:?} is not in\n{text}"
            );
        }
        assert!(
            causes.iter().all(|cause| !cause.mend.is_empty()),
            "{name}: no way to mend it\n{text}"
        );
        assert!(!text.contains(".."), "{name}\n{text}");
    }
}

#[test]
fn the_most_immediate_cause_is_first() {
    let mut facts = with_events(crashed(1, "Error"), &[("FailedMount", "long ago")]);
    let causes = why(&facts);
    assert_eq!(causes.len(), 1, "{causes:?}");
    facts.node = Some(Lookup::Missing);
    assert!(why(&facts)[0].what.contains("does not exist"));
}

#[test]
fn healthy_pods_have_nothing_wrong() {
    let mut restarted = healthy();
    restarted["status"]["containerStatuses"][0]["restartCount"] = json!(3);
    restarted["status"]["containerStatuses"][0]["lastState"] =
        json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    for (pod, words) in [
        (healthy(), "is Running and Ready: nothing is wrong."),
        (
            pod(json!({"status": {"phase": "Succeeded"}})),
            "has finished, as it should: nothing is wrong.",
        ),
        (
            restarted,
            "has restarted 3 times; the run before ended with exit code 1 (Error).",
        ),
    ] {
        // Old events do not make it sick.
        let facts = with_events(
            pod,
            &[
                ("Unhealthy", "Readiness probe failed"),
                ("Failed", "Failed to pull image"),
            ],
        );
        let causes = why(&facts);
        assert!(causes.is_empty(), "{causes:?}");
        let text = page(&facts, &causes);
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn nothing_breaks_it() {
    for pod in [
        json!(null),
        json!({}),
        json!({"metadata": 1, "spec": [], "status": "x"}),
        json!({"metadata": {"deletionTimestamp": "never"}, "spec": {"containers": [1, null], "volumes": {}}, "status": {"containerStatuses": [{"state": 5}], "conditions": 7}}),
        json!({"spec": {"nodeName": "n", "containers": [{"name": "a", "readinessProbe": {}}]}, "status": {"phase": "Running", "containerStatuses": [{"name": "a", "state": {"running": {}}}]}}),
    ] {
        let facts = with_events(pod, &[("Killing", ""), ("Unhealthy", "")]);
        let causes = why(&facts);
        assert!(!causes.is_empty());
        assert!(!page(&facts, &causes).is_empty());
    }
}

#[test]
fn a_pod_refers_to_each_object_once() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "imagePullSecrets": [{"name": "s"}],
        "volumes": [{"name": "a", "configMap": {"name": "m", "optional": true, "items": [{"key": "x"}]}},
                    {"name": "b", "ephemeral": {}}, {"name": "c", "secret": {"secretName": "s"}}],
        "containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]}],
    }});
    let found: Vec<(Kind, String, bool, Vec<String>)> = references(&pod)
        .into_iter()
        .map(|reference| {
            (
                reference.kind,
                reference.name,
                reference.optional,
                reference.keys,
            )
        })
        .collect();
    let text = str::to_owned;
    assert_eq!(
        found,
        [
            (Kind::PullSecret, text("s"), false, vec![]),
            (Kind::ConfigMap, text("m"), false, vec![text("k")]),
            (Kind::Claim, text("p-b"), false, vec![]),
            (Kind::Secret, text("s"), false, vec![]),
        ]
    );
}
