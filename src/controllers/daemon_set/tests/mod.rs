//! One row per rule: a set, nodes and pods in, steps out.
#![allow(clippy::unwrap_used)]

mod history;
mod places;
mod updates;

use super::*;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde::Deserialize;
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "log"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

/// Of the second of two templates.
fn set(spec: &Value) -> Value {
    let mut set = json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"namespace": "a", "name": "log", "uid": "1", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "log"}}, "template": template("i:2")}});
    json_patch::merge(&mut set["spec"], spec);
    set
}

fn owner() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "log", "uid": "1", "controller": true,
        "blockOwnerDeletion": true})
}

fn revision(hash: &str, number: i64, template: &Value) -> Value {
    let template = PodTemplateSpec::deserialize(template).unwrap();
    json!({"apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": {"namespace": "a", "name": format!("log-{hash}"), "uid": hash,
            "labels": {"app": "log", LABEL: hash}, "ownerReferences": [owner()]},
        "data": revisions::data(&template), "revision": number})
}

fn node(name: &str, more: &Value) -> Value {
    let mut node =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}});
    json_patch::merge(&mut node, more);
    node
}

fn tainted(name: &str, key: &str, effect: &str) -> Value {
    node(
        name,
        &json!({"spec": {"taints": [{"key": key, "effect": effect}]}}),
    )
}

/// A pod of a template on a node, in a state: `ready`, `waiting` (runs, but is not ready), `failed`, `succeeded`,
/// `ending`. Failed ones failed half a second ago.
fn pod(node: &str, revision: &str, state: &str) -> Value {
    let name = format!("{node}-{revision}");
    let phase = match state {
        "failed" => "Failed",
        "succeeded" => "Succeeded",
        _ => "Running",
    };
    let (ready, since) = match state {
        "ready" | "ending" => ("True", "2026-01-01T00:00:10Z"),
        "failed" => ("False", "2026-01-01T00:59:59.5Z"),
        _ => ("False", "2026-01-01T00:00:10Z"),
    };
    let ending = (state == "ending").then_some("2026-01-01T00:59:59Z");
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "a", "name": name, "uid": name, "deletionTimestamp": ending,
            "creationTimestamp": "2026-01-01T00:40:00Z", "labels": {"app": "log", LABEL: revision},
            "ownerReferences": [owner()]},
        "spec": {"nodeName": node, "containers": []},
        "status": {"phase": phase, "conditions": [
            {"type": "Ready", "status": ready, "lastTransitionTime": since}]}})
}

fn changed(mut object: Value, change: &Value) -> Value {
    json_patch::merge(&mut object, change);
    object
}

fn look(set: Value, others: &[Value]) -> Plan {
    let mut objects = vec![
        revision("one", 1, &template("i:1")),
        revision("two", 2, &set["spec"]["template"]),
        set,
    ];
    objects.extend_from_slice(others);
    let world = World::of(&objects);
    DaemonSets.reconcile(&world, &("a".into(), "log".into()), now())
}

/// What a plan does to pods, in words.
fn steps(set: Value, others: &[Value]) -> Vec<String> {
    look(set, others).actions.iter().flat_map(words).collect()
}

fn words(action: &Action) -> Vec<String> {
    match action {
        Action::Report { action, .. } => words(action),
        Action::Batch(actions) => actions.iter().flat_map(words).collect(),
        Action::Create { object, .. } => {
            let node = object.pointer("/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0");
            let revision = object["metadata"]["labels"][LABEL].as_str().unwrap();
            vec![format!(
                "create {} {revision}",
                node.unwrap().as_str().unwrap()
            )]
        }
        Action::Delete { target, .. } => vec![format!("delete {}", target.name)],
        Action::Patch { target, .. } => vec![format!("patch {}", target.name)],
        Action::Confirm(target) => vec![format!("confirm {}", target.name)],
        Action::SetStatus { .. } | Action::Tell { .. } => Vec::new(),
        other => vec![format!("{other:?}")],
    }
}

type Row<'a> = (&'a str, Value, Vec<Value>, &'a [&'a str]);

/// On two nodes without anything particular, beside what the rows bring.
fn hold(rows: Vec<Row<'_>>) {
    for (rule, spec, others, expected) in rows {
        let mut objects = vec![node("n1", &json!({})), node("n2", &json!({}))];
        objects.extend(others);
        assert_eq!(steps(set(&spec), &objects), expected, "{rule}");
    }
}

#[test]
fn a_set_that_is_deleted_does_nothing() {
    let set = changed(
        set(&json!({})),
        &json!({"metadata": {"deletionTimestamp": "2026-01-01T00:59:00Z"}}),
    );
    assert!(look(set, &[node("n1", &json!({}))]).actions.is_empty());
}

#[test]
fn pods_are_adopted_and_released() {
    let ready = || pod("n2", "two", "ready");
    let first = || pod("n1", "two", "ready");
    let alone = json!({"metadata": {"ownerReferences": null}});
    let unlike = json!({"metadata": {"labels": {"app": "x"}}});
    hold(vec![
        (
            "a stray one",
            json!({}),
            vec![changed(first(), &alone), ready()],
            &["confirm log", "patch n1-two"],
        ),
        (
            "of other labels by now",
            json!({}),
            vec![changed(first(), &unlike), ready()],
            &["patch n1-two"],
        ),
    ]);
}

#[test]
fn the_status_counts_nodes() {
    let nodes = [
        node("n1", &json!({})),
        node("n2", &json!({})),
        node("n3", &json!({})),
        tainted("n4", "mine", "NoSchedule"),
        tainted("n5", "mine", "NoSchedule"),
        pod("n1", "two", "ready"),
        pod("n2", "one", "waiting"),
        pod("n4", "one", "ready"),
    ];
    let plan = look(set(&json!({})), &nodes);
    let status = plan.actions.into_iter().find_map(|action| match action {
        Action::SetStatus { status, .. } => Some(status),
        _ => None,
    });
    let status = status.unwrap();
    for (field, expected) in [
        ("desiredNumberScheduled", 3),
        ("currentNumberScheduled", 2),
        ("numberMisscheduled", 1),
        ("numberReady", 1),
        ("numberAvailable", 1),
        ("numberUnavailable", 2),
        ("updatedNumberScheduled", 1),
        ("observedGeneration", 1),
    ] {
        assert_eq!(status[field], expected, "{field}");
    }
}
