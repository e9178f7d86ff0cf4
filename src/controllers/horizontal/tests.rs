//! Autoscalers, pods and what they use, to replicas.
#![allow(clippy::unwrap_used)]

use super::Autoscalers;
use crate::controllers::action::{Action, Plan};
use crate::controllers::runner::Controller;
use crate::controllers::world::World;
use crate::controllers::world::usage::{Memo, Note, PodUsage};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const NOW: &str = "2026-01-01T01:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn autoscaler(change: &Value) -> Value {
    let mut object = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"namespace": "a", "name": "h", "uid": "h", "generation": 1},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "minReplicas": 1, "maxReplicas": 10, "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 50}}}]},
        "status": {"desiredReplicas": 0}});
    json_patch::merge(&mut object, change);
    object
}

/// Of each pod: thousandths of a processor used (of 100 requested); `None`: not measured.
fn world(change: &Value, replicas: usize, used: &[Option<i128>]) -> World {
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "a", "name": "d"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "d"}}, "template": {}}});
    let mut objects = vec![autoscaler(change), deployment];
    for index in 0..used.len() {
        objects.push(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "a", "name": format!("p{index}"), "labels": {"app": "d"}},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]},
            "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z"}]}}));
    }
    let mut world = World::of(&objects);
    for (index, used) in used.iter().enumerate() {
        let Some(milli) = used else { continue };
        let resources = [("cpu".to_owned(), milli * 1_000_000)].into();
        let usage = PodUsage {
            at: now(),
            window: SignedDuration::from_secs(15),
            containers: [("c".to_owned(), resources)].into(),
        };
        world
            .usage
            .measured
            .insert(("a".into(), format!("p{index}")), usage);
    }
    world
}

fn plan(world: &World) -> Plan {
    Autoscalers.reconcile(world, &("a".to_owned(), "h".to_owned()), now())
}

/// The number the target is set to, and the status that is written.
fn outcome(plan: &Plan) -> (Option<i64>, Value) {
    let (mut replicas, mut written) = (None, Value::Null);
    for action in &plan.actions {
        match action {
            Action::Report { action, done, .. } => {
                if let Action::Patch { patch, .. } = action.as_ref() {
                    replicas = patch["spec"]["replicas"].as_i64();
                }
                for action in done {
                    if let Action::SetStatus { status, .. } = action {
                        written = status.clone();
                    }
                }
            }
            Action::SetStatus { status, .. } => written = status.clone(),
            _ => {}
        }
    }
    (replicas, written)
}

fn reason(status: &Value, kind: &str) -> String {
    let conditions = status["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|c| c["type"] == kind).unwrap();
    format!(
        "{} {}",
        found["status"].as_str().unwrap(),
        found["reason"].as_str().unwrap()
    )
}

#[test]
fn replicas_follow_what_pods_use() {
    let quick = json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}});
    for (replicas, used, expected, limited) in [
        (1, vec![Some(100)], Some(2), "False DesiredWithinRange"),
        // The tolerance.
        (
            2,
            vec![Some(54), Some(54)],
            None,
            "False DesiredWithinRange",
        ),
        // Upward no faster than four pods, or twice.
        (1, vec![Some(900)], Some(5), "True ScaleUpLimit"),
        (8, vec![Some(100); 8], Some(10), "True TooManyReplicas"),
        (4, vec![Some(10); 4], Some(1), "False DesiredWithinRange"),
        (4, vec![Some(0); 4], Some(1), "True TooFewReplicas"),
        // What is not measured holds back either way.
        (2, vec![Some(100), None], None, "False DesiredWithinRange"),
        (
            4,
            vec![Some(10), Some(10), Some(10), None],
            Some(3),
            "False DesiredWithinRange",
        ),
    ] {
        let plan = plan(&world(&quick, replicas, &used));
        let (scaled, status) = outcome(&plan);
        assert_eq!(scaled, expected, "{replicas} {used:?}");
        assert_eq!(
            reason(&status, "ScalingLimited"),
            limited,
            "{replicas} {used:?}"
        );
        assert_eq!(reason(&status, "ScalingActive"), "True ValidMetricFound");
    }
}

#[test]
fn a_recent_need_keeps_them() {
    let mut world = world(&json!({}), 4, &[Some(10), Some(10), Some(10), Some(10)]);
    for (seconds, replicas) in [(400, 9), (200, 3)] {
        let at = now()
            .checked_sub(SignedDuration::from_secs(seconds))
            .unwrap();
        world.remember(&Note {
            autoscaler: ("a".into(), "h".into()),
            is_scaled: false,
            memo: Memo { at, replicas },
        });
    }
    let (scaled, status) = outcome(&plan(&world));
    assert_eq!(scaled, Some(3));
    assert_eq!(
        reason(&status, "ScalingLimited"),
        "False DesiredWithinRange"
    );
}

#[test]
fn policies_count_what_was_done_before() {
    let slow = json!({"spec": {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}]}}}});
    let mut world = world(&slow, 3, &[Some(200), Some(200), Some(200)]);
    let at = now().checked_sub(SignedDuration::from_secs(30)).unwrap();
    world.remember(&Note {
        autoscaler: ("a".into(), "h".into()),
        is_scaled: true,
        memo: Memo { at, replicas: 2 },
    });
    assert_eq!(outcome(&plan(&world)).0, Some(4));
    let off = json!({"spec": {"behavior": {"scaleUp": {"selectPolicy": "Disabled"}}}});
    let still = super::tests::world(&off, 1, &[Some(200)]);
    assert_eq!(outcome(&plan(&still)).0, None);
}

#[test]
fn what_cannot_be_scaled_says_so() {
    let gone = json!({"spec": {"scaleTargetRef": {"name": "other"}}});
    let custom = json!({"spec": {"metrics": [{"type": "Pods", "pods": {"metric": {"name": "m"},
        "target": {"type": "AverageValue", "averageValue": "1"}}}]}});
    let none = json!({});
    for (change, replicas, used, kind, expected) in [
        (&gone, 1, vec![], "AbleToScale", "False FailedGetScale"),
        (
            &custom,
            1,
            vec![Some(10)],
            "ScalingActive",
            "False FailedGetPodsMetric",
        ),
        (
            &none,
            1,
            vec![None],
            "ScalingActive",
            "False FailedGetResourceMetric",
        ),
        (&none, 0, vec![], "ScalingActive", "False ScalingDisabled"),
    ] {
        let (scaled, status) = outcome(&plan(&world(change, replicas, &used)));
        assert_eq!(scaled, None);
        assert_eq!(reason(&status, kind), expected);
        // Said once.
        let mut with = change.clone();
        with["status"] = status;
        let again = plan(&world(&with, replicas, &used));
        assert!(again.actions.is_empty(), "{again:?}");
    }
    for (replicas, expected) in [(12, 10), (1, 2)] {
        let least = json!({"spec": {"minReplicas": 2}});
        assert_eq!(
            outcome(&plan(&world(&least, replicas, &[]))).0,
            Some(expected)
        );
    }
}

#[test]
fn figures_that_flicker_are_not_written() {
    let (_, status) = outcome(&plan(&world(&json!({}), 1, &[Some(50)])));
    assert_eq!(
        status["currentMetrics"][0]["resource"]["current"]["averageUtilization"],
        50
    );
    for (used, written) in [(52, false), (46, false), (44, true)] {
        let plan = plan(&world(&json!({"status": status}), 1, &[Some(used)]));
        let writes = |a: &Action| matches!(a, Action::SetStatus { .. });
        assert_eq!(plan.actions.iter().any(writes), written, "{used}");
    }
}
