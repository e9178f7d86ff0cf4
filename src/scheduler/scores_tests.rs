//! Each score by itself.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::scheduler::testing::*;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;

type Score = fn(&Cluster, &Tracked, &[usize]) -> Option<Vec<i64>>;

fn scores(nodes: Vec<Node>, pods: Vec<Pod>, asked: Pod, score: Score) -> Option<Vec<i64>> {
    let names: Vec<String> = nodes
        .iter()
        .map(|node| node.metadata.name.clone().unwrap())
        .collect();
    let mut cluster = cluster(nodes, pods);
    let tracked = track(&mut cluster, asked);
    let numbers: Vec<usize> = names.iter().map(|n| cluster.number(n).unwrap()).collect();
    score(&cluster, &tracked, &numbers)
}

#[test]
fn soft_taints_count_against_a_node() {
    let tainted = |name: &str, taints: usize| {
        let list: Vec<_> = (0..taints)
            .map(|i| json!({"key": format!("k{i}"), "effect": "PreferNoSchedule"}))
            .collect();
        node(name, &json!({"spec": {"taints": list}}))
    };
    let nodes = || vec![tainted("a", 0), tainted("b", 1), tainted("c", 2)];
    let plain = scores(nodes(), vec![], pod("p", &json!({})), soft_taints);
    assert_eq!(plain, Some(vec![100, 50, 0]));
    let tolerant = pod(
        "p",
        &json!({"spec": {"tolerations": [{"operator": "Exists"}]}}),
    );
    assert_eq!(scores(nodes(), vec![], tolerant, soft_taints), None);
}

#[test]
fn node_wishes_add_up() {
    let wish = |weight: i32, key: &str| json!({"weight": weight, "preference": {"matchExpressions": [{"key": key, "operator": "Exists"}]}});
    let asked = json!({"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        wish(30, "x"), wish(10, "y"), {"weight": 100, "preference": {}}]}}}});
    let with = |name: &str, labels: serde_json::Value| {
        node(name, &json!({"metadata": {"labels": labels}}))
    };
    let nodes = vec![
        with("a", json!({"x": "1", "y": "1"})),
        with("b", json!({"x": "1"})),
        with("c", json!({})),
    ];
    let found = scores(nodes, vec![], pod("p", &asked), node_wishes);
    assert_eq!(found, Some(vec![100, 75, 0]));
}

#[test]
fn wishes_between_pods_count_both_ways() {
    let zones = || vec![zoned("a1", "a"), zoned("b1", "b")];
    let zone = "topology.kubernetes.io/zone";
    let there = || vec![labelled("web", "web", Some("a1"))];
    let wants = |sort| pod("p", &preferred(sort, 10, &term("web", zone)));
    let near = scores(zones(), there(), wants("podAffinity"), inter_pod);
    assert_eq!(near, Some(vec![100, 0]));
    let apart = scores(zones(), there(), wants("podAntiAffinity"), inter_pod);
    assert_eq!(apart, Some(vec![0, 100]));
    // The pod that is there has the wish, preferred or required.
    let asked = || labelled("p", "web", None);
    let on_a = json!({"spec": {"nodeName": "a1"}});
    for (change, want) in [
        (preferred("podAffinity", 5, &term("web", zone)), [100, 0]),
        (
            preferred("podAntiAffinity", 5, &term("web", zone)),
            [0, 100],
        ),
        (required("podAffinity", &[term("web", zone)]), [100, 0]),
    ] {
        let there = vec![pod("x", &both(&change, &on_a))];
        let found = scores(zones(), there, asked(), inter_pod);
        assert_eq!(found, Some(want.to_vec()), "{change}");
    }
    assert_eq!(scores(zones(), there(), asked(), inter_pod), None);
}

#[test]
fn images_that_are_there_draw_pods() {
    let with = |name: &str, bytes: i64| {
        let images = if bytes == 0 {
            json!([])
        } else {
            json!([{"names": ["app:1"], "sizeBytes": bytes}])
        };
        node(name, &json!({"status": {"images": images}}))
    };
    let asked = || {
        pod(
            "p",
            &json!({"spec": {"containers": [{"name": "c", "image": "app:1"}]}}),
        )
    };
    let found = scores(
        vec![with("a", 800 << 20), with("b", 0)],
        vec![],
        asked(),
        images,
    )
    .unwrap();
    assert!(found[0] > 30 && found[1] == 0, "{found:?}");
    let small = scores(
        vec![with("a", 1 << 20), with("b", 0)],
        vec![],
        asked(),
        images,
    );
    assert_eq!(small, Some(vec![0, 0]));
    assert_eq!(scores(vec![with("a", 0)], vec![], asked(), images), None);
}

#[test]
fn emptier_and_balanced_nodes_are_liked_better() {
    let asks = |cpu: &str, memory: &str, on: Option<&str>| {
        pod(
            "x",
            &json!({"spec": {"nodeName": on, "containers": [{"name": "c",
                "resources": {"requests": {"cpu": cpu, "memory": memory}}}]}}),
        )
    };
    let rate: Score = |cluster, tracked, numbers| {
        Some(
            numbers
                .iter()
                .map(|n| resources(tracked, cluster.node(*n).unwrap()))
                .collect(),
        )
    };
    let nodes = || vec![node("a", &json!({})), node("b", &json!({}))];
    let there = vec![asks("1", "1Gi", Some("a"))];
    let found = scores(nodes(), there, asks("1", "1Gi", None), rate).unwrap();
    assert_eq!(found, [50 + 100, 75 + 100]);
    let lopsided = vec![asks("2", "0", Some("a")), asks("1", "1Gi", Some("b"))];
    let found = scores(nodes(), lopsided, asks("0", "1Gi", None), rate).unwrap();
    assert_eq!(found, [62 + 87, 62 + 87]);
}
