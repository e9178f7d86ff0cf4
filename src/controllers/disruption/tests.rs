//! Budgets and pods to statuses.
#![allow(clippy::unwrap_used)]

use super::Budgets;
use crate::controllers::action::{Action, Plan};
use crate::controllers::runner::Controller;
use crate::controllers::world::World;
use jiff::Timestamp;
use serde_json::{Value, json};

const NOW: &str = "2026-01-01T00:10:00Z";

fn budget(spec: &Value, status: &Value) -> Value {
    let mut spec = spec.clone();
    spec["selector"] = json!({"matchLabels": {"app": "x"}});
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"namespace": "a", "name": "b", "uid": "bu", "generation": 1}, "spec": spec, "status": status})
}

fn pod(name: &str, ready: bool, owner: Option<(&str, &str)>) -> Value {
    let owners: Vec<Value> = owner
        .map(|(kind, name)| json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": name, "controller": true}))
        .into_iter()
        .collect();
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "a", "name": name, "labels": {"app": "x"}, "ownerReferences": owners},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}})
}

fn set(name: &str, replicas: u8) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"namespace": "a", "name": name, "uid": name},
        "spec": {"replicas": replicas, "selector": {}, "template": {}, "serviceName": "s"}})
}

fn plan(objects: &[Value]) -> Plan {
    let key = ("a".to_owned(), "b".to_owned());
    Budgets.reconcile(&World::of(objects), &key, NOW.parse::<Timestamp>().unwrap())
}

fn status(plan: &Plan) -> Option<Value> {
    plan.actions.iter().find_map(|action| match action {
        Action::SetStatus { status, .. } => Some(status.clone()),
        _ => None,
    })
}

#[test]
fn what_each_budget_allows() {
    let owner = Some(("StatefulSet", "s"));
    // Spec, pods of the set that are ready and not, expected, desired, healthy, allowed.
    for (spec, ready, waiting, expected) in [
        (json!({"minAvailable": 2}), 3, 0, [3, 2, 3, 1]),
        (json!({"minAvailable": 2}), 1, 2, [3, 2, 1, 0]),
        (json!({"minAvailable": "50%"}), 3, 0, [5, 3, 3, 0]),
        (json!({"maxUnavailable": 1}), 5, 0, [5, 4, 5, 1]),
        (json!({"maxUnavailable": "30%"}), 5, 0, [5, 3, 5, 2]),
        (json!({"maxUnavailable": 9}), 5, 0, [5, 0, 5, 5]),
        (json!({"minAvailable": 0}), 0, 0, [0, 0, 0, 0]),
    ] {
        let mut objects = vec![budget(&spec, &json!({})), set("s", 5)];
        for index in 0..ready + waiting {
            objects.push(pod(&format!("p{index}"), index < ready, owner));
        }
        let status = status(&plan(&objects)).unwrap();
        let fields = [
            "expectedPods",
            "desiredHealthy",
            "currentHealthy",
            "disruptionsAllowed",
        ];
        assert_eq!(json!(fields.map(|f| &status[f])), json!(expected), "{spec}");
        let allows = if expected[3] > 0 { "True" } else { "False" };
        assert_eq!(status["conditions"][0]["status"], allows, "{spec}");
        objects[0] = budget(&spec, &status);
        assert_eq!(plan(&objects), Plan::default(), "{spec}");
    }
}

#[test]
fn an_owner_without_a_scale_allows_nothing() {
    let objects = [
        budget(&json!({"maxUnavailable": 1}), &json!({})),
        pod("p", true, Some(("Job", "j"))),
    ];
    let failed = status(&plan(&objects)).unwrap();
    assert_eq!(failed["conditions"][0]["reason"], "SyncFailed");
    assert_eq!(failed["disruptionsAllowed"], 0);
    // Nobody's pods count for a number, not for a share.
    for (spec, expected) in [
        (json!({"minAvailable": 1}), 2),
        (json!({"minAvailable": "50%"}), 0),
    ] {
        let objects = [
            budget(&spec, &json!({})),
            pod("p", true, None),
            pod("q", true, None),
        ];
        assert_eq!(status(&plan(&objects)).unwrap()["expectedPods"], expected);
    }
}

#[test]
fn an_evicted_pod_is_waited_for_two_minutes() {
    let was = |at: &str| json!({"disruptedPods": {"p": at, "gone": at}});
    let spec = json!({"minAvailable": 1});
    for (at, healthy, kept) in [
        ("2026-01-01T00:09:00Z", 1, true),
        ("2026-01-01T00:07:59Z", 2, false),
    ] {
        let objects = [
            budget(&spec, &was(at)),
            pod("p", true, None),
            pod("q", true, None),
        ];
        let plan = plan(&objects);
        let status = status(&plan).unwrap();
        assert_eq!(status["currentHealthy"], healthy, "{at}");
        assert_eq!(status["disruptedPods"]["p"].is_string(), kept, "{at}");
        assert!(status["disruptedPods"]["gone"].is_null());
        assert_eq!(plan.again.is_some(), kept);
    }
}
