//! Who makes room for whom.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::client::informer::Event;
use crate::scheduler::budgets::Budgets;
use crate::scheduler::cluster::Cluster;
use crate::scheduler::decide::decide as decide_pod;
use crate::scheduler::testing::*;
use crate::scheduler::volumes::Storage;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;

fn rooms(names: &[&str]) -> Vec<Node> {
    let room = json!({"status": {"allocatable": {"memory": "1000"}}});
    names.iter().map(|name| node(name, &room)).collect()
}

fn sized(name: &str, priority: i32, memory: u32, on: Option<&str>) -> Pod {
    pod(
        name,
        &json!({"metadata": {"labels": {"app": name}}, "spec": {"nodeName": on, "priority": priority, "containers": [
            {"name": "c", "resources": {"requests": {"memory": memory.to_string()}}}]}}),
    )
}

fn decided(cluster: &mut Cluster, budgets: &Budgets, asked: Pod) -> Decision {
    let tracked = track(cluster, asked);
    let mut scene = Scene {
        cluster,
        storage: &Storage::default(),
        budgets,
        nominated: &[],
        start: &mut 0,
        seed: 1,
    };
    decide_pod(&mut scene, &tracked)
}

/// `node: victims`, or the message after "preemption: ".
fn outcome(nodes: Vec<Node>, pods: Vec<Pod>, budgets: &Budgets, asked: Pod) -> String {
    let mut cluster = cluster(nodes, pods);
    let before: Vec<_> = cluster
        .nodes()
        .map(|(_, s, _)| (s.used.clone(), s.pods.len()))
        .collect();
    let decision = decided(&mut cluster, budgets, asked);
    let after: Vec<_> = cluster
        .nodes()
        .map(|(_, s, _)| (s.used.clone(), s.pods.len()))
        .collect();
    assert_eq!(before, after, "trying leaves nothing behind");
    match decision {
        Decision::Preempt { node, victims, .. } => {
            let names: Vec<&str> = victims.iter().map(|v| v.name.as_str()).collect();
            format!("{node}: {}", names.join(" "))
        }
        Decision::Unschedulable { message, .. } => {
            message.split_once("preemption: ").unwrap().1.to_owned()
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn only_lower_priority_goes_and_no_more_than_needed() {
    let asks = |priority| sized("p", priority, 500, None);
    let none = Budgets::default();
    let full = || {
        vec![
            sized("a", 1, 300, Some("n")),
            sized("b", 2, 300, Some("n")),
            sized("c", 3, 300, Some("n")),
        ]
    };
    let found = |priority| outcome(rooms(&["n"]), full(), &none, asks(priority));
    assert_eq!(found(10), "n: b a");
    assert_eq!(
        found(2),
        "0/1 nodes are available: 1 Insufficient memory.",
        "without a alone there is too little room"
    );
    assert_eq!(
        found(1),
        "0/1 nodes are available: 1 No preemption victims found for incoming pod."
    );
    let mut polite = asks(10);
    polite.spec.as_mut().unwrap().preemption_policy = Some("Never".into());
    assert_eq!(
        outcome(rooms(&["n"]), full(), &none, polite),
        "not eligible due to preemptionPolicy=Never."
    );
    let huge = sized("p", 10, 5000, None);
    assert_eq!(
        outcome(rooms(&["n"]), full(), &none, huge),
        "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    );
}

#[test]
fn the_least_important_victims_are_chosen() {
    let none = Budgets::default();
    let asks = || sized("p", 10, 600, None);
    // A lower highest victim; then a smaller sum; then the younger one.
    for (pods, want) in [
        (
            vec![sized("x", 5, 600, Some("m")), sized("y", 4, 600, Some("n"))],
            "n: y",
        ),
        (
            vec![
                sized("x", 4, 600, Some("m")),
                sized("y", 4, 450, Some("n")),
                sized("z", 4, 450, Some("n")),
            ],
            "m: x",
        ),
    ] {
        assert_eq!(outcome(rooms(&["m", "n"]), pods, &none, asks()), want);
    }
    let since = |name: &str, on: &str, started: &str| {
        let mut pod = sized(name, 4, 600, Some(on));
        pod.status = serde_json::from_value(json!({"startTime": started})).unwrap();
        pod
    };
    let pods = vec![
        since("old", "m", "2026-01-01T00:00:00Z"),
        since("young", "n", "2026-01-02T00:00:00Z"),
    ];
    assert_eq!(outcome(rooms(&["m", "n"]), pods, &none, asks()), "n: young");
}

#[test]
fn budgets_are_kept_where_they_can_be() {
    let mut budgets = Budgets::default();
    let budget = json!({"metadata": {"namespace": "n", "name": "b"}, "spec": {"selector": {"matchLabels": {"app": "x"}}},
        "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}});
    budgets.take_in(Event::Applied(serde_json::from_value(budget).unwrap()));
    let asks = || sized("p", 10, 600, None);
    let pods = vec![sized("x", 1, 600, Some("m")), sized("y", 5, 600, Some("n"))];
    assert_eq!(outcome(rooms(&["m", "n"]), pods, &budgets, asks()), "n: y");
    let only = vec![sized("x", 1, 600, Some("m"))];
    assert_eq!(outcome(rooms(&["m"]), only, &budgets, asks()), "m: x");
}

#[test]
fn who_keeps_others_away_makes_room_too() {
    let alone = both(
        &required("podAntiAffinity", &[term("p", "kubernetes.io/hostname")]),
        &json!({"spec": {"nodeName": "n", "priority": 1}}),
    );
    let asks = sized("p", 10, 1, None);
    let none = Budgets::default();
    let found = outcome(rooms(&["n"]), vec![pod("alone", &alone)], &none, asks);
    assert_eq!(found, "n: alone");
}
