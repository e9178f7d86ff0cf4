//! One row per rule: objects in, actions out.
#![allow(clippy::unwrap_used)]

use super::*;
use k8s_openapi::api::apps::v1::ReplicaSet;
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn set(replicas: i32, status: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"namespace": "a", "name": "web", "uid": "1", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "minReadySeconds": 10,
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}},
        "status": status})
}

fn pod(name: &str, more: &Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "a", "name": name, "uid": name, "labels": {"app": "web"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1", "controller": true}]},
        "spec": {"nodeName": "n1", "containers": []},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}]}});
    merge(&mut pod, more);
    pod
}

/// RFC 7396, as far as tests need it.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn look(objects: &[Value]) -> Plan {
    let world = World::of(objects);
    Sets::new().reconcile(&world, &("a".into(), "web".into()), now())
}

/// What a plan does, in words.
fn told(plan: &Plan) -> Vec<String> {
    plan.actions.iter().flat_map(words).collect()
}

fn words(action: &Action) -> Vec<String> {
    match action {
        Action::Report { action, .. } => words(action),
        Action::Batch(actions) => actions.iter().flat_map(words).collect(),
        Action::Create { target, .. } => vec![format!("create {}", target.kind)],
        Action::Delete { target, .. } => vec![format!("delete {}", target.name)],
        Action::Patch { target, .. } => vec![format!("patch {}", target.name)],
        Action::SetStatus { .. } => vec!["status".to_owned()],
        Action::Confirm(target) => vec![format!("confirm {}", target.name)],
        other => vec![format!("{other:?}")],
    }
}

#[test]
fn pods_are_counted_made_removed_adopted_and_released() {
    let settled = json!({"replicas": 1, "fullyLabeledReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
        "terminatingReplicas": 0, "observedGeneration": 1});
    let ended = json!({"status": {"phase": "Failed"}});
    let ending = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:59:59Z"}});
    let stray = json!({"metadata": {"ownerReferences": []}});
    let unlike = json!({"metadata": {"labels": {"app": "other"}}});
    let others = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "o", "uid": "2", "controller": true}]}});
    let rows: Vec<(&str, i32, Vec<Value>, Vec<&str>)> = vec![
        ("as wanted", 1, vec![pod("p", &json!({}))], vec![]),
        ("none yet", 2, vec![], vec!["create Pod", "create Pod"]),
        (
            "an ended pod is no replica",
            1,
            vec![pod("p", &ended)],
            vec!["create Pod"],
        ),
        (
            "nor one that is ending",
            1,
            vec![pod("p", &ending)],
            vec!["create Pod"],
        ),
        (
            "another's stays another's",
            1,
            vec![pod("p", &others)],
            vec!["create Pod"],
        ),
        (
            "a stray one is adopted first",
            1,
            vec![pod("p", &stray)],
            vec!["confirm web", "patch p"],
        ),
        (
            "an unlike one is released first",
            1,
            vec![pod("p", &unlike)],
            vec!["patch p"],
        ),
        ("too many", 0, vec![pod("p", &json!({}))], vec!["delete p"]),
    ];
    for (what, replicas, pods, expected) in rows {
        let mut objects = vec![set(replicas, settled.clone())];
        objects.extend(pods);
        assert_eq!(told(&look(&objects)), expected, "{what}");
    }
    let mut deleted = set(5, settled);
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:59:59Z".into();
    let objects = [deleted, pod("p", &json!({})), pod("q", &stray)];
    assert_eq!(told(&look(&objects)), Vec::<String>::new());
}

#[test]
fn the_status_counts_and_looks_again_when_a_ready_pod_gets_available() {
    let fresh = json!({"status": {"conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:59:57Z"}]}});
    let unlabelled = json!({"status": {"conditions": []}});
    let ending = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:59:59Z"}});
    let plan = look(&[
        set(3, json!({})),
        pod("a", &json!({})),
        pod("b", &fresh),
        pod("c", &unlabelled),
        pod("d", &ending),
    ]);
    let [Action::SetStatus { status, .. }] = plan.actions.as_slice() else {
        panic!("{plan:?}");
    };
    assert_eq!(
        *status,
        json!({"replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": 2, "availableReplicas": 1,
            "terminatingReplicas": 1, "observedGeneration": 1})
    );
    assert_eq!(plan.again, Some(std::time::Duration::from_secs(7)));
}

#[test]
fn those_that_matter_least_go_first() {
    let ready_at = |at: &str| json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at}]}});
    let restarted = json!({"status": {"containerStatuses": [
        {"name": "c", "restartCount": 3, "ready": true, "image": "i", "imageID": "i"}]}});
    let rows: Vec<(&str, Value, Value)> = vec![
        (
            "unassigned",
            json!({"spec": {"nodeName": null}, "status": {"phase": "Pending"}}),
            json!({"status": {"phase": "Pending"}}),
        ),
        (
            "pending",
            json!({"status": {"phase": "Pending"}}),
            json!({"status": {"phase": "Unknown"}}),
        ),
        (
            "unknown",
            json!({"status": {"phase": "Unknown"}}),
            json!({}),
        ),
        (
            "not ready",
            json!({"status": {"conditions": []}}),
            json!({}),
        ),
        (
            "cheap",
            json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}}}),
            json!({}),
        ),
        (
            "ready for less time",
            ready_at("2026-01-01T00:59:00Z"),
            json!({}),
        ),
        ("restarted", restarted, json!({})),
        (
            "younger",
            json!({"metadata": {"creationTimestamp": "2026-01-01T00:50:00Z"}}),
            json!({}),
        ),
        (
            "of one age, by uid",
            json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:30Z"}}),
            json!({}),
        ),
    ];
    for (what, first, second) in rows {
        for names in [["a", "z"], ["z", "a"]] {
            // The uid decides last.
            let (mut first, mut second) = (pod(names[0], &first), pod(names[1], &second));
            first["metadata"]["uid"] = "1".into();
            second["metadata"]["uid"] = "2".into();
            let plan = look(&[set(1, json!({})), first, second]);
            assert_eq!(told(&plan), [format!("delete {}", names[0])], "{what}");
        }
    }
    let crowded = |name: &str, node: &str| pod(name, &json!({"spec": {"nodeName": node}}));
    let plan = look(&[
        set(2, json!({})),
        crowded("a", "n1"),
        crowded("b", "n2"),
        crowded("c", "n2"),
    ]);
    assert_eq!(told(&plan), ["delete b"]);
}

#[test]
fn a_refusal_is_told_once_and_taken_back_when_all_is_well() {
    let plan = look(&[set(1, json!({}))]);
    let [Action::Report { failed, .. }] = plan.actions.as_slice() else {
        panic!("{plan:?}");
    };
    let [Action::Patch { patch, .. }] = failed.as_slice() else {
        panic!("{failed:?}");
    };
    let condition = &patch["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["reason"]),
        (&json!("ReplicaFailure"), &json!("FailedCreate"))
    );
    let status = json!({"observedGeneration": 1, "replicas": 0, "terminatingReplicas": 0, "conditions": [condition]});
    let plan = look(&[set(1, status.clone())]);
    let [Action::Report { failed, .. }] = plan.actions.as_slice() else {
        panic!("{plan:?}");
    };
    assert!(failed.is_empty());
    let plan = look(&[set(1, status), pod("p", &json!({}))]);
    let [Action::SetStatus { status, .. }] = plan.actions.as_slice() else {
        panic!("{plan:?}");
    };
    assert!(status["conditions"].is_null(), "{status}");
}

#[test]
fn a_pod_has_the_templates_labels_and_its_owner() {
    let plan = look(&[set(1, json!({}))]);
    let [Action::Report { action, .. }] = plan.actions.as_slice() else {
        panic!("{plan:?}");
    };
    let Action::Batch(steps) = action.as_ref() else {
        panic!("{action:?}");
    };
    let [Action::Report { action, .. }] = steps.as_slice() else {
        panic!("{steps:?}");
    };
    let Action::Create { object, .. } = action.as_ref() else {
        panic!("{action:?}");
    };
    assert_eq!(object["metadata"]["generateName"], "web-");
    assert_eq!(object["metadata"]["labels"], json!({"app": "web"}));
    assert_eq!(
        object["metadata"]["ownerReferences"][0]["kind"],
        "ReplicaSet"
    );
}

#[test]
fn a_replication_controller_is_a_replica_set_of_another_name() {
    let mut object = set(1, json!({"replicas": 0}));
    object["apiVersion"] = "v1".into();
    object["kind"] = "ReplicationController".into();
    object["spec"]["selector"] = json!({"app": "web"});
    let world = World::of(&[object]);
    let plan = Controllers::new().reconcile(&world, &("a".into(), "web".into()), now());
    assert_eq!(told(&plan), ["create Pod"]);
    let of = |set: &ReplicaSet| set.metadata.name.clone();
    let view = world.replication_controllers.iter().next().unwrap().view();
    assert_eq!(of(&view).as_deref(), Some("web"));
}

#[test]
fn a_replication_controller_has_no_count_of_pods_on_their_way_out() {
    let mut object = set(0, json!({"replicas": 0, "observedGeneration": 1}));
    object["apiVersion"] = "v1".into();
    object["kind"] = "ReplicationController".into();
    object["spec"]["selector"] = json!({"app": "web"});
    let mut ending = pod(
        "a",
        &json!({"metadata": {"deletionTimestamp": "2026-01-01T00:59:59Z"}}),
    );
    ending["metadata"]["ownerReferences"][0]["apiVersion"] = "v1".into();
    ending["metadata"]["ownerReferences"][0]["kind"] = "ReplicationController".into();
    let world = World::of(&[object, ending]);
    let plan = Controllers::new().reconcile(&world, &("a".into(), "web".into()), now());
    assert_eq!(told(&plan), Vec::<String>::new());
}
