//! Spreading, forbidden and wished.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::scheduler::testing::*;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

const ZONE: &str = "topology.kubernetes.io/zone";

fn asked(constraints: &[Value]) -> Pod {
    pod(
        "p",
        &json!({"metadata": {"labels": {"app": "web"}}, "spec": {"topologySpreadConstraints": constraints}}),
    )
}

/// Which nodes the pod may go to (`+`), may not (`-`), or which lack the label (`?`).
fn allowed(nodes: Vec<Node>, pods: Vec<Pod>, asked: Pod) -> String {
    let names: Vec<String> = nodes
        .iter()
        .map(|node| node.metadata.name.clone().unwrap())
        .collect();
    let mut cluster = cluster(nodes, pods);
    let tracked = track(&mut cluster, asked);
    let limits = limits(&cluster, &tracked);
    let mark = |name: &String| {
        let number = cluster.number(name).unwrap();
        let mut found = limits.iter().filter_map(|limit| limit.check(number).err());
        match found.next() {
            None => '+',
            Some(Against::SpreadLabel) => '?',
            Some(_) => '-',
        }
    };
    names.iter().map(mark).collect()
}

fn zones() -> Vec<Node> {
    vec![
        zoned("a1", "a"),
        zoned("a2", "a"),
        zoned("b1", "b"),
        node("bare", &json!({})),
    ]
}

#[test]
fn the_emptiest_domain_sets_the_limit() {
    let web = |name, on| labelled(name, "web", Some(on));
    for (pods, constraint, want) in [
        (vec![], spread("web", ZONE, &json!({})), "+++?"),
        (
            vec![web("1", "a1")],
            spread("web", ZONE, &json!({})),
            "--+?",
        ),
        (
            vec![web("1", "a1"), web("2", "b1")],
            spread("web", ZONE, &json!({})),
            "+++?",
        ),
        (
            vec![web("1", "a1")],
            spread("web", ZONE, &json!({"maxSkew": 2})),
            "+++?",
        ),
        // Of others: the pod does not count itself.
        (
            vec![labelled("1", "db", Some("a1"))],
            spread("db", ZONE, &json!({})),
            "+++?",
        ),
        // Fewer domains than wanted: the least counts as none.
        (
            vec![web("1", "a1"), web("2", "b1")],
            spread("web", ZONE, &json!({"minDomains": 3})),
            "---?",
        ),
        // Without the label no node is left out for want of it in a constraint that only wishes.
        (
            vec![web("1", "a1")],
            spread("web", ZONE, &json!({"whenUnsatisfiable": "ScheduleAnyway"})),
            "++++",
        ),
    ] {
        let found = allowed(zones(), pods, asked(std::slice::from_ref(&constraint)));
        assert_eq!(found, want, "{constraint}");
    }
}

#[test]
fn pods_that_are_ending_do_not_count() {
    let mut ending = labelled("1", "web", Some("a1"));
    ending.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let asked = asked(&[spread("web", ZONE, &json!({}))]);
    assert_eq!(allowed(zones(), vec![ending], asked), "+++?");
}

#[test]
fn policies_choose_the_nodes_that_count() {
    let there = || vec![labelled("1", "web", Some("a1"))];
    let only_a = json!({"spec": {"nodeSelector": {ZONE: "a"}}});
    let with = |constraint: &Value, change: &Value| {
        let base = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"topologySpreadConstraints": [constraint]}});
        pod("p", &both(&base, change))
    };
    // Zone b does not count for a pod that cannot go there.
    let honor = with(&spread("web", ZONE, &json!({})), &only_a);
    assert_eq!(allowed(zones(), there(), honor), "+++?");
    let ignore = spread("web", ZONE, &json!({"nodeAffinityPolicy": "Ignore"}));
    assert_eq!(allowed(zones(), there(), with(&ignore, &only_a)), "--+?");

    let mut nodes = zones();
    nodes[2] = node(
        "b1",
        &json!({"metadata": {"labels": {ZONE: "b"}}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}),
    );
    let ignore = with(&spread("web", ZONE, &json!({})), &json!({}));
    assert_eq!(allowed(nodes.clone(), there(), ignore), "--+?");
    let honor = spread("web", ZONE, &json!({"nodeTaintsPolicy": "Honor"}));
    assert_eq!(allowed(nodes, there(), with(&honor, &json!({}))), "+++?");
}

#[test]
fn nodes_without_one_of_the_keys_do_not_count() {
    let pods = vec![
        labelled("1", "web", Some("a1")),
        labelled("2", "web", Some("a2")),
    ];
    let both = [
        spread("web", ZONE, &json!({"maxSkew": 3})),
        spread("web", HOSTNAME, &json!({})),
    ];
    // The bare node has a hostname and no pods; it does not count, as it has no zone.
    let without_b = || vec![zoned("a1", "a"), zoned("a2", "a"), node("bare", &json!({}))];
    assert_eq!(allowed(without_b(), pods.clone(), asked(&both)), "++?");
    assert_eq!(allowed(without_b(), pods, asked(&both[1..])), "--+");
}

fn wished(nodes: Vec<Node>, pods: Vec<Pod>, asked: Pod) -> Option<Vec<i64>> {
    let mut cluster = cluster(nodes, pods);
    let tracked = track(&mut cluster, asked);
    let numbers: Vec<usize> = ["a1", "a2", "b1", "bare"]
        .iter()
        .filter_map(|name| cluster.number(name))
        .collect();
    scores(&cluster, &tracked, &numbers)
}

#[test]
fn emptier_domains_are_liked_better() {
    let soft = json!({"whenUnsatisfiable": "ScheduleAnyway"});
    let pods = || {
        vec![
            labelled("1", "web", Some("a1")),
            labelled("2", "web", Some("a1")),
            labelled("3", "web", Some("b1")),
        ]
    };
    assert_eq!(wished(zones(), pods(), asked(&[])), None);
    let by_zone = wished(zones(), pods(), asked(&[spread("web", ZONE, &soft)])).unwrap();
    assert!(
        by_zone[2] > by_zone[0] && by_zone[0] == by_zone[1] && by_zone[3] == 0,
        "{by_zone:?}"
    );
    let by_host = wished(zones(), pods(), asked(&[spread("web", HOSTNAME, &soft)])).unwrap();
    assert!(
        by_host[1] > by_host[2] && by_host[2] > by_host[0],
        "{by_host:?}"
    );
    let none = wished(zones(), vec![], asked(&[spread("web", ZONE, &soft)])).unwrap();
    assert_eq!(none, [100, 100, 100, 0]);
}

#[test]
fn pods_of_a_controller_are_spread_though_nothing_is_said() {
    let owned = |name: &str, on: Option<&str>| {
        pod(
            name,
            &json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "name": "w", "uid": "u", "controller": true}]}, "spec": {"nodeName": on}}),
        )
    };
    let found = wished(zones(), vec![owned("1", Some("a1"))], owned("p", None)).unwrap();
    assert!(found[2] > found[1] && found[1] > found[0], "{found:?}");
}
