//! Which nodes get a pod, and what becomes of pods that ended.

use super::*;
use crate::controllers::daemon_set::nodes::tolerations;
use crate::controllers::daemon_set::pods::FAILURES;
use k8s_openapi::api::core::v1::PodSpec;
use std::time::Duration;

#[test]
fn every_node_that_is_meant_gets_one() {
    let both = || vec![pod("n1", "two", "ready"), pod("n2", "two", "ready")];
    let and = |mut objects: Vec<Value>, more: Vec<Value>| {
        objects.extend(more);
        objects
    };
    let of = |spec: Value| json!({"template": {"spec": spec}});
    let large = json!({"metadata": {"labels": {"size": "large"}}});
    let affine = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "size", "operator": "Exists"}]}]}}}});
    let tolerant = json!({"tolerations": [{"key": "mine", "operator": "Exists"}]});
    let lost = changed(
        pod("gone", "two", "waiting"),
        &json!({"spec": {"nodeName": null, "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gone"]}]}]}}}}}),
    );
    let younger = changed(
        pod("n1", "two", "ready"),
        &json!({"metadata": {"name": "younger", "uid": "younger", "creationTimestamp": "2026-01-01T00:55:00Z"}}),
    );
    hold(vec![
        (
            "both nodes",
            json!({}),
            vec![],
            &["create n1 two", "create n2 two"],
        ),
        (
            "a node that comes",
            json!({}),
            vec![pod("n1", "two", "ready")],
            &["create n2 two"],
        ),
        ("nothing to do", json!({}), both(), &[]),
        (
            "only nodes with the label",
            of(json!({"nodeSelector": {"size": "large"}})),
            vec![node("n3", &large)],
            &["create n3 two"],
        ),
        (
            "only nodes of the affinity",
            of(affine),
            vec![node("n3", &large)],
            &["create n3 two"],
        ),
        (
            "only the node of that name",
            of(json!({"nodeName": "n2"})),
            vec![],
            &["create n2 two"],
        ),
        (
            "none where it is not tolerated",
            json!({}),
            and(both(), vec![tainted("n3", "mine", "NoSchedule")]),
            &[],
        ),
        (
            "one that is there already stays",
            json!({}),
            and(
                both(),
                vec![
                    tainted("n3", "mine", "NoSchedule"),
                    pod("n3", "two", "ready"),
                ],
            ),
            &[],
        ),
        (
            "unless it is sent away",
            json!({}),
            and(
                both(),
                vec![
                    tainted("n3", "mine", "NoExecute"),
                    pod("n3", "two", "ready"),
                ],
            ),
            &["delete n3-two"],
        ),
        (
            "one where it is tolerated",
            of(tolerant),
            vec![
                tainted("n1", "mine", "NoExecute"),
                pod("n2", "two", "ready"),
            ],
            &["create n1 two"],
        ),
        (
            "one where others are sent away",
            json!({}),
            and(
                both(),
                vec![tainted(
                    "n3",
                    "node.kubernetes.io/unschedulable",
                    "NoSchedule",
                )],
            ),
            &["create n3 two"],
        ),
        (
            "one on a node that is not ready",
            json!({}),
            and(
                both(),
                vec![tainted("n3", "node.kubernetes.io/not-ready", "NoExecute")],
            ),
            &["create n3 two"],
        ),
        (
            "no longer where the label is gone",
            of(json!({"nodeSelector": {"size": "large"}})),
            vec![pod("n1", "two", "ready")],
            &["delete n1-two"],
        ),
        (
            "one for a node that is gone",
            json!({}),
            and(both(), vec![lost]),
            &["delete gone-two"],
        ),
        (
            "one on a node that is gone is another's",
            json!({}),
            and(both(), vec![pod("gone", "two", "ready")]),
            &[],
        ),
        (
            "of two on a node the older stays",
            json!({}),
            and(both(), vec![younger]),
            &["delete younger"],
        ),
        (
            "one on its way out is waited for",
            json!({}),
            vec![pod("n1", "two", "ending"), pod("n2", "two", "ready")],
            &[],
        ),
    ]);
}

#[test]
fn a_pod_that_ended_is_replaced_a_failed_one_after_a_while() {
    let failed = |before: u32, ago: i64| {
        let failures = (before > 0).then(|| before.to_string());
        let at = now() - jiff::SignedDuration::from_secs(ago);
        changed(
            pod("n1", "two", "failed"),
            &json!({"metadata": {"annotations": {FAILURES: failures}},
                "status": {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": at}]}}),
        )
    };
    let look = |pod: Value| look(set(&json!({})), &[node("n1", &json!({})), pod]);
    // How many failed before, how long ago this one did, and how long it is left.
    for (before, ago, left) in [
        (0, 0, Some(1)),
        (0, 1, None),
        (1, 0, Some(2)),
        (3, 0, Some(8)),
        (3, 7, Some(1)),
        (3, 8, None),
        // Looked at each minute: the clock may jump.
        (10, 0, Some(60)),
        (10, 899, Some(1)),
        (10, 900, None),
        (u32::MAX, 900, None),
    ] {
        let plan = look(failed(before, ago));
        let done: Vec<_> = plan.actions.iter().flat_map(words).collect();
        let expected: &[&str] = match left {
            Some(_) => &[],
            // Its successor carries the row on, and so comes first.
            None => &["create n1 two", "delete n1-two"],
        };
        assert_eq!(done, expected, "{before} {ago}");
        assert_eq!(plan.again, left.map(Duration::from_secs), "{before} {ago}");
    }
    let carried = |pod: Value| {
        let plan = look(pod);
        let created = plan.actions.into_iter().find_map(|action| match action {
            Action::Batch(actions) => actions.into_iter().find_map(|action| match action {
                Action::Report { action, .. } => match *action {
                    Action::Create { object, .. } => Some(object),
                    _ => None,
                },
                _ => None,
            }),
            _ => None,
        });
        created.unwrap()["metadata"]["annotations"][FAILURES].clone()
    };
    assert_eq!(carried(failed(0, 5)), "1");
    assert_eq!(carried(failed(3, 50)), "4");
    let long_lived = changed(
        failed(3, 50),
        &json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}),
    );
    assert_eq!(carried(long_lived), "1");
    assert_eq!(
        steps(
            set(&json!({})),
            &[node("n1", &json!({})), pod("n1", "two", "succeeded")]
        ),
        ["delete n1-two"]
    );
}

#[test]
fn what_every_daemon_tolerates() {
    let keys = |spec: Value| -> Vec<String> {
        let spec = PodSpec::deserialize(spec).unwrap();
        let all = tolerations(&spec).into_iter();
        all.map(|t| {
            let key = t.key.unwrap();
            format!(
                "{}:{}",
                key.trim_start_matches("node.kubernetes.io/"),
                t.effect.unwrap_or_default()
            )
        })
        .collect()
    };
    let usual = [
        "not-ready:NoExecute",
        "unreachable:NoExecute",
        "disk-pressure:NoSchedule",
        "memory-pressure:NoSchedule",
        "pid-pressure:NoSchedule",
        "unschedulable:NoSchedule",
    ];
    assert_eq!(keys(json!({"containers": []})), usual);
    let own = keys(json!({"containers": [], "hostNetwork": true,
        "tolerations": [{"key": "mine", "operator": "Exists"},
            {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}]}));
    assert_eq!(own[0], "mine:");
    assert_eq!(own[1], usual[5]);
    assert_eq!(own[2..7], usual[..5]);
    assert_eq!(own[7], "network-unavailable:NoSchedule");
}
