//! One row per rule: a set, its pods and claims in, steps out.
#![allow(clippy::unwrap_used)]

mod claims;
mod members;
mod updates;

use super::*;
use crate::controllers::action::Action;
use crate::controllers::revisions::{self, LABEL};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde::Deserialize;
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

/// Of three pods, in order, of the second of two templates.
fn set(spec: &Value) -> Value {
    let mut set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"namespace": "a", "name": "web", "uid": "1", "generation": 1},
        "spec": {"replicas": 3, "serviceName": "svc", "selector": {"matchLabels": {"app": "web"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "template": template("i:2")},
        "status": {"replicas": 0, "currentRevision": "one", "updateRevision": "two"}});
    json_patch::merge(&mut set["spec"], spec);
    set
}

fn parallel() -> Value {
    json!({"podManagementPolicy": "Parallel"})
}

fn owner() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "1", "controller": true,
        "blockOwnerDeletion": true})
}

fn revision(name: &str, number: i64, image: &str) -> Value {
    let template = PodTemplateSpec::deserialize(template(image)).unwrap();
    json!({"apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": {"namespace": "a", "name": name, "uid": name, "labels": {"app": "web"}, "ownerReferences": [owner()]},
        "data": revisions::data(&template), "revision": number})
}

/// A pod of a template, in a state: `ready`, `waiting` (runs, but is not ready), `pending`, `failed`, `succeeded`,
/// `ending`.
fn pod(ordinal: i32, revision: &str, state: &str) -> Value {
    let name = format!("web-{ordinal}");
    let phase = match state {
        "failed" => "Failed",
        "succeeded" => "Succeeded",
        "pending" => "Pending",
        _ => "Running",
    };
    let ready = if matches!(state, "ready" | "ending") {
        "True"
    } else {
        "False"
    };
    let ending = (state == "ending").then_some("2026-01-01T00:59:59Z");
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "a", "name": name, "uid": name, "deletionTimestamp": ending,
            "labels": {"app": "web", LABEL: revision, identity::POD_NAME: name,
                identity::POD_INDEX: ordinal.to_string()},
            "ownerReferences": [owner()]},
        "spec": {"nodeName": "n1", "containers": []},
        "status": {"phase": phase, "conditions": [
            {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:10Z"}]}})
}

/// Pods of one template from ordinal 0 on.
fn pods(revision: &str, states: &[&str]) -> Vec<Value> {
    let states = (0..).zip(states);
    states.map(|(n, state)| pod(n, revision, state)).collect()
}

fn look(set: Value, others: &[Value]) -> Plan {
    let mut objects = vec![revision("one", 1, "i:1"), revision("two", 2, "i:2"), set];
    objects.extend_from_slice(others);
    let world = World::of(&objects);
    StatefulSets.reconcile(&world, &("a".into(), "web".into()), now())
}

/// What a plan does to pods and claims, in words.
fn steps(set: Value, others: &[Value]) -> Vec<String> {
    look(set, others).actions.iter().flat_map(words).collect()
}

fn words(action: &Action) -> Vec<String> {
    match action {
        Action::Report { action, done, .. } => {
            let all = std::iter::once(action.as_ref()).chain(done);
            all.flat_map(words).collect()
        }
        Action::Batch(actions) => actions.iter().flat_map(words).collect(),
        Action::Create { target, object } => {
            let revision = object["metadata"]["labels"][LABEL].as_str();
            let revision = revision.map(|r| format!(" {r}")).unwrap_or_default();
            vec![format!("create {}{revision}", target.name)]
        }
        Action::Delete { target, .. } => vec![format!("delete {}", target.name)],
        Action::Patch { target, patch, .. } => {
            let owners = patch["metadata"]["ownerReferences"].as_array();
            let kinds = owners.into_iter().flatten();
            let kinds: Vec<&str> = kinds.filter_map(|o| o["kind"].as_str()).collect();
            vec![
                format!("patch {} {}", target.name, kinds.join(" "))
                    .trim_end()
                    .to_owned(),
            ]
        }
        Action::Confirm(target) => vec![format!("confirm {}", target.name)],
        Action::SetStatus { .. } | Action::Tell { .. } => Vec::new(),
        other => vec![format!("{other:?}")],
    }
}

type Row<'a> = (&'a str, Value, Vec<Value>, &'a [&'a str]);

fn hold(rows: Vec<Row<'_>>) {
    for (rule, spec, others, expected) in rows {
        assert_eq!(steps(set(&spec), &others), expected, "{rule}");
    }
}

#[test]
fn pods_come_in_order_and_each_waits_for_those_before() {
    let two = |states: &[&str]| pods("two", states);
    let gap = vec![pod(0, "two", "ready"), pod(2, "two", "ready")];
    hold(vec![
        ("the first", json!({}), vec![], &["create web-0 two"]),
        (
            "the next",
            json!({}),
            two(&["ready"]),
            &["create web-1 two"],
        ),
        (
            "the last",
            json!({}),
            two(&["ready", "ready"]),
            &["create web-2 two"],
        ),
        (
            "all are there",
            json!({}),
            two(&["ready", "ready", "ready"]),
            &[],
        ),
        (
            "one that is not ready holds the others up",
            json!({}),
            two(&["waiting"]),
            &[],
        ),
        (
            "so does one that does not run yet",
            json!({}),
            two(&["ready", "pending"]),
            &[],
        ),
        (
            "and one on its way out",
            json!({}),
            two(&["ready", "ending"]),
            &[],
        ),
        ("a gap is filled", json!({}), gap, &["create web-1 two"]),
        (
            "a failed one is made anew",
            json!({}),
            two(&["ready", "failed", "ready"]),
            &["delete web-1"],
        ),
        (
            "so is one that has ended well",
            json!({}),
            two(&["succeeded"]),
            &["delete web-0"],
        ),
        ("none are wanted", json!({"replicas": 0}), vec![], &[]),
        (
            "ordinals begin elsewhere",
            json!({"ordinals": {"start": 5}}),
            vec![],
            &["create web-5 two"],
        ),
        (
            "those before the start are too many",
            json!({"replicas": 1, "ordinals": {"start": 5}}),
            vec![pod(0, "two", "ready"), pod(5, "two", "ready")],
            &["delete web-0"],
        ),
    ]);
    // Ready for 3590 seconds.
    let spec = json!({"minReadySeconds": 3600});
    let plan = look(set(&spec), &two(&["ready"]));
    assert!(
        plan.actions
            .iter()
            .all(|a| matches!(a, Action::SetStatus { .. }))
    );
    assert_eq!(plan.again, Some(std::time::Duration::from_secs(10)));
    let spec = json!({"minReadySeconds": 3590});
    assert_eq!(steps(set(&spec), &two(&["ready"])), ["create web-1 two"]);
}

#[test]
fn in_parallel_nobody_waits() {
    let two = |states: &[&str]| pods("two", states);
    let mut fewer = parallel();
    fewer["replicas"] = 1.into();
    hold(vec![
        (
            "all at once",
            parallel(),
            vec![],
            &["create web-0 two", "create web-1 two", "create web-2 two"],
        ),
        (
            "those that are missing",
            parallel(),
            two(&["waiting"]),
            &["create web-1 two", "create web-2 two"],
        ),
        (
            "a failed one and a missing one",
            parallel(),
            two(&["failed", "ready"]),
            &["delete web-0", "create web-2 two"],
        ),
        (
            "down at once",
            fewer.clone(),
            two(&["ready", "ready", "waiting"]),
            &["delete web-2", "delete web-1"],
        ),
        (
            "each once",
            fewer,
            two(&["waiting", "ending", "ready"]),
            &["delete web-2"],
        ),
    ]);
}

#[test]
fn pods_go_in_reverse_order() {
    let two = |states: &[&str]| pods("two", states);
    let one = json!({"replicas": 1});
    hold(vec![
        (
            "the highest",
            one.clone(),
            two(&["ready", "ready", "ready"]),
            &["delete web-2"],
        ),
        (
            "one at a time",
            one.clone(),
            two(&["ready", "ready", "ending"]),
            &[],
        ),
        (
            "then the next",
            one.clone(),
            two(&["ready", "ready"]),
            &["delete web-1"],
        ),
        (
            "one that is ill may go",
            one.clone(),
            two(&["ready", "ready", "waiting"]),
            &["delete web-2"],
        ),
        (
            "of several the lowest first",
            one.clone(),
            two(&["ready", "waiting", "waiting"]),
            &[],
        ),
        (
            "not before those that stay are ready",
            one,
            two(&["waiting", "ready"]),
            &[],
        ),
        (
            "to none",
            json!({"replicas": 0}),
            two(&["ready"]),
            &["delete web-0"],
        ),
    ]);
}

#[test]
fn a_set_that_is_deleted_does_nothing_to_its_pods() {
    let mut set = set(&json!({}));
    set["metadata"]["deletionTimestamp"] = "2026-01-01T00:59:00Z".into();
    assert!(steps(set, &pods("two", &["ready", "failed"])).is_empty());
}

#[test]
fn the_status_counts_and_ends_an_update() {
    let status = |objects: &[Value]| {
        let plan = look(set(&json!({})), objects);
        let status = plan.actions.into_iter().find_map(|action| match action {
            Action::SetStatus { status, .. } => Some(status),
            _ => None,
        });
        status.unwrap()
    };
    let half = status(&[pod(0, "one", "ready"), pod(1, "two", "waiting")]);
    for (field, expected) in [
        ("replicas", json!(2)),
        ("readyReplicas", json!(1)),
        ("availableReplicas", json!(1)),
        ("currentReplicas", json!(1)),
        ("updatedReplicas", json!(1)),
        ("currentRevision", json!("one")),
        ("updateRevision", json!("two")),
        ("observedGeneration", json!(1)),
    ] {
        assert_eq!(half[field], expected, "{field}");
    }
    let whole = status(&pods("two", &["ready", "ready", "ready"]));
    assert_eq!(whole["currentRevision"], "two");
    assert_eq!(whole["currentReplicas"], 3);
}
