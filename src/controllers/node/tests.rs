//! From silence to eviction: what each step decides.
#![allow(clippy::unwrap_used)]

use super::zones::{Evictions, evictions};
use super::*;
use crate::controllers::action::{Action, Plan};
use crate::controllers::runner::Controller;
use crate::controllers::world::heartbeats::Round;
use crate::controllers::world::{Change, News};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

const NOW: &str = "2026-01-01T00:10:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn node(name: &str, ready: &str, zone: &str, taints: Value) -> Value {
    let conditions = if ready.is_empty() {
        json!([])
    } else {
        json!([{"type": "Ready", "status": ready, "reason": "KubeletReady"}])
    };
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "uid": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "spec": {"taints": taints}, "status": {"conditions": conditions}})
}

fn pod(name: &str, tolerations: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a", "name": name, "uid": name},
        "spec": {"nodeName": "n", "tolerations": tolerations},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn key_of(name: &str) -> Key {
    (String::new(), name.to_owned())
}

/// Nothing heard of any node for so long, after a first look.
fn silent(world: &mut World, seconds: u64) -> Vec<Change> {
    let mut changes = Vec::new();
    for elapsed in std::iter::once(0).chain(std::iter::repeat_n(
        5,
        usize::try_from(seconds / 5).unwrap(),
    )) {
        let leases = [("n".to_owned(), "t".to_owned())].into();
        let round = Round {
            elapsed: Duration::from_secs(elapsed),
            leases,
        };
        changes = world.take_in(News::Heartbeats(round));
    }
    changes
}

fn patch(plan: &Plan) -> Option<Value> {
    match plan.actions.first()? {
        Action::Patch { patch, .. } => Some(patch.clone()),
        Action::Report { action, .. } => match action.as_ref() {
            Action::Patch { patch, .. } => Some(patch.clone()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_silent_node_is_unknown_after_its_grace() {
    let health = NodeHealth {
        grace: Duration::from_secs(40),
    };
    for (ready, seconds, expected) in [
        ("True", 35, None),
        ("True", 40, Some("NodeStatusUnknown")),
        ("False", 40, Some("NodeStatusUnknown")),
        ("", 55, None),
        ("", 60, Some("NodeStatusNeverUpdated")),
    ] {
        let mut world = World::of(&[node("n", ready, "", json!([]))]);
        let changes = silent(&mut world, seconds);
        assert_eq!(health.keys(&world, &changes[0]), [key_of("n")]);
        let plan = health.reconcile(&world, &key_of("n"), now());
        let patch = patch(&plan);
        let conditions = patch
            .as_ref()
            .map(|patch| patch["status"]["conditions"].as_array().unwrap());
        assert_eq!(
            conditions.map(|all| all[0]["reason"].as_str().unwrap()),
            expected,
            "{ready} {seconds}"
        );
        if let Some(conditions) = conditions {
            assert_eq!(conditions.len(), 4);
            assert!(conditions.iter().all(|c| c["status"] == "Unknown"));
            let mut after = node("n", "", "", json!([]));
            after["status"]["conditions"] = json!(conditions);
            let mut world = World::of(&[after]);
            silent(&mut world, 120);
            assert_eq!(
                health.reconcile(&world, &key_of("n"), now()),
                Plan::default(),
                "said once"
            );
        }
    }
}

#[test]
fn taints_that_evict_follow_readiness_at_a_pace() {
    let taint = |key: &str, at: &str| json!({"key": format!("node.kubernetes.io/{key}"), "effect": "NoExecute", "timeAdded": at});
    let none = json!([]);
    let long_ago = "2026-01-01T00:00:00Z";
    let just_now = "2026-01-01T00:09:58Z";
    // The node, its taint, another node's readiness and taint: the taint that follows.
    for (ready, own, other, others, expected) in [
        ("True", none.clone(), "True", none.clone(), ""),
        (
            "False",
            none.clone(),
            "True",
            none.clone(),
            "not-ready@2026-01-01T00:10:00Z",
        ),
        (
            "Unknown",
            none.clone(),
            "True",
            none.clone(),
            "unreachable@2026-01-01T00:10:00Z",
        ),
        (
            "Unknown",
            json!([taint("not-ready", long_ago)]),
            "True",
            none.clone(),
            "unreachable@2026-01-01T00:10:00Z",
        ),
        (
            "Unknown",
            json!([taint("unreachable", long_ago)]),
            "True",
            none.clone(),
            "unreachable@2026-01-01T00:00:00Z",
        ),
        (
            "Unknown",
            json!([taint("unreachable", "2027-01-01T00:00:00Z")]),
            "True",
            none.clone(),
            "unreachable@2026-01-01T00:10:00Z",
        ),
        (
            "True",
            json!([taint("unreachable", long_ago)]),
            "True",
            none.clone(),
            "",
        ),
        ("Unknown", none.clone(), "Unknown", none.clone(), ""),
        (
            "Unknown",
            json!([taint("unreachable", long_ago)]),
            "Unknown",
            none.clone(),
            "",
        ),
        (
            "Unknown",
            none.clone(),
            "True",
            json!([taint("unreachable", just_now)]),
            "",
        ),
        (
            "Unknown",
            none.clone(),
            "True",
            json!([taint("unreachable", long_ago)]),
            "unreachable@2026-01-01T00:10:00Z",
        ),
    ] {
        let world = World::of(&[
            node("n", ready, "", own.clone()),
            node("other", other, "", others.clone()),
        ]);
        let plan = NodeTaints.reconcile(&world, &key_of("n"), now());
        let after = patch(&plan).map_or(own.clone(), |patch| patch["spec"]["taints"].clone());
        let executing: Vec<String> = after
            .as_array()
            .unwrap()
            .iter()
            .filter(|t| t["effect"] == "NoExecute")
            .map(|t| {
                format!(
                    "{}@{}",
                    t["key"].as_str().unwrap().rsplit('/').next().unwrap(),
                    t["timeAdded"].as_str().unwrap()
                )
            })
            .collect();
        assert_eq!(
            executing.join(" "),
            expected,
            "{ready} {own} {other} {others}"
        );
        assert_eq!(
            plan.again,
            others
                .to_string()
                .contains(just_now)
                .then_some(Duration::from_secs(8))
        );
    }
}

#[test]
fn a_zone_in_trouble_is_left_alone() {
    let every = |seconds| Evictions::Every(SignedDuration::from_secs(seconds));
    for (ready, lost, elsewhere, expected) in [
        (1, 1, 0, every(10)),
        (0, 1, 0, Evictions::None),
        (0, 3, 1, every(10)),
        (2, 2, 0, every(10)),
        (2, 3, 0, Evictions::Held),
        (3, 3, 0, every(10)),
        (20, 31, 0, every(100)),
    ] {
        let nodes = |count: usize, ready: &str, zone: &str| -> Vec<Value> {
            (0..count)
                .map(|index| {
                    node(
                        &format!("{ready}{zone}{index}").to_lowercase(),
                        ready,
                        zone,
                        json!([]),
                    )
                })
                .collect()
        };
        let all = [
            nodes(ready, "True", "a"),
            nodes(lost, "Unknown", "a"),
            nodes(elsewhere, "True", "b"),
        ]
        .concat();
        let world = World::of(&all);
        let one = world.nodes.get(&key_of("unknowna0")).unwrap();
        assert_eq!(
            evictions(&world, one),
            expected,
            "{ready} {lost} {elsewhere}"
        );
    }
}

#[test]
fn pods_leave_when_they_no_longer_tolerate() {
    let lost = json!([{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-01-01T00:09:50Z"}]);
    let tolerates = |seconds: Value| json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]);
    let mut mirror = pod("p", json!([]));
    mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "x".into();
    let mut ending = pod("p", json!([]));
    ending["metadata"]["deletionTimestamp"] = NOW.into();
    for (taints, pod, evicts, again) in [
        (lost.clone(), pod("p", json!([])), true, None),
        (lost.clone(), pod("p", tolerates(json!(5))), true, None),
        (lost.clone(), pod("p", tolerates(json!(15))), false, Some(5)),
        (
            lost.clone(),
            pod("p", tolerates(json!(300))),
            false,
            Some(60),
        ),
        (lost.clone(), pod("p", tolerates(Value::Null)), false, None),
        (lost.clone(), pod("p", tolerates(json!(-1))), true, None),
        (json!([]), pod("p", tolerates(json!(5))), false, None),
        (
            json!([{"key": "x", "effect": "NoSchedule"}]),
            pod("p", json!([])),
            false,
            None,
        ),
        (lost.clone(), mirror, false, None),
        (lost, ending, false, None),
    ] {
        let world = World::of(&[node("n", "Unknown", "", taints.clone()), pod.clone()]);
        let plan = TaintEviction.reconcile(&world, &("a".into(), "p".into()), now());
        assert_eq!(!plan.actions.is_empty(), evicts, "{taints} {pod}");
        assert_eq!(plan.again, again.map(Duration::from_secs), "{taints} {pod}");
        if evicts {
            let conditions = patch(&plan).unwrap()["status"]["conditions"].clone();
            assert_eq!(conditions[1]["reason"], "DeletionByTaintManager");
            assert_eq!(conditions[0]["type"], "Ready");
        }
    }
}

#[test]
fn pods_of_lost_nodes_are_not_ready() {
    for (ready, expected) in [("True", None), ("False", None), ("Unknown", Some("False"))] {
        let mut world = World::of(&[node("n", ready, "", json!([])), pod("p", json!([]))]);
        let changes = silent(&mut world, 5);
        let keys = PodsOfLostNodes.keys(&world, &changes[0]);
        assert_eq!(keys.is_empty(), expected.is_none());
        let plan = PodsOfLostNodes.reconcile(&world, &("a".into(), "p".into()), now());
        let status = patch(&plan).map(|patch| patch["status"]["conditions"][0]["status"].clone());
        assert_eq!(status, expected.map(Value::from), "{ready}");
    }
}
