//! Each filter, and its words.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::scheduler::testing::*;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

/// Why each of the nodes cannot take the pod; empty: it can.
fn against(nodes: Vec<Node>, pods: Vec<Pod>, asked: Pod) -> Vec<String> {
    let names: Vec<String> = nodes
        .iter()
        .map(|node| node.metadata.name.clone().unwrap())
        .collect();
    let mut cluster = cluster(nodes, pods);
    let tracked = track(&mut cluster, asked);
    cluster.order();
    let storage = Storage::default();
    let ask = Ask::new(&cluster, &tracked, &storage, &[]);
    let mut words = Vec::new();
    for name in names {
        let number = cluster.number(&name).unwrap();
        words.push(match ask.check(number) {
            Ok(()) => String::new(),
            Err(why) => why
                .words(&tracked.pod, cluster.node(number).unwrap())
                .join("; "),
        });
    }
    words
}

fn one(node_change: &Value, pod_change: &Value) -> String {
    against(vec![node("n1", node_change)], vec![], pod("p", pod_change)).remove(0)
}

const SELECTOR: &str = "node(s) didn't match Pod's node affinity/selector";
const NEAR: &str = "node(s) didn't match pod affinity rules";
const APART: &str = "node(s) didn't match pod anti-affinity rules";
const OTHERS: &str = "node(s) didn't satisfy existing pods anti-affinity rules";
const PORTS: &str = "node(s) didn't have free ports for the requested pod ports";

#[test]
fn nodes_by_themselves() {
    let needs = |key: &str, operator: &str, values: &[&str]| {
        json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]}}}}})
    };
    let labelled = json!({"metadata": {"labels": {"disk": "ssd", "cores": "8"}}});
    let tainted =
        json!({"spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}});
    let soft = json!({"spec": {"taints": [{"key": "gpu", "effect": "PreferNoSchedule"}]}});
    let asks = |cpu: &str, memory: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]}});
    let fields = json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}]}}}}});
    for (node, pod, want) in [
        (json!({}), json!({}), ""),
        (
            json!({"spec": {"unschedulable": true}}),
            json!({}),
            "node(s) were unschedulable",
        ),
        (
            json!({"spec": {"unschedulable": true}}),
            json!({"spec": {"tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]}}),
            "",
        ),
        (
            tainted.clone(),
            json!({}),
            "node(s) had untolerated taint {gpu: yes}",
        ),
        (
            tainted,
            json!({"spec": {"tolerations": [{"key": "gpu", "value": "yes"}]}}),
            "",
        ),
        (soft, json!({}), ""),
        (
            labelled.clone(),
            json!({"spec": {"nodeSelector": {"disk": "ssd"}}}),
            "",
        ),
        (
            json!({}),
            json!({"spec": {"nodeSelector": {"disk": "ssd"}}}),
            SELECTOR,
        ),
        (labelled.clone(), needs("cores", "Gt", &["4"]), ""),
        (labelled, needs("cores", "Lt", &["8"]), SELECTOR),
        (json!({}), fields, SELECTOR),
        (
            json!({}),
            asks("5", "5Gi"),
            "Insufficient cpu; Insufficient memory",
        ),
        (
            json!({"status": {"allocatable": {"pods": "0"}}}),
            json!({}),
            "Too many pods",
        ),
    ] {
        assert_eq!(one(&node, &pod), want, "{node} {pod}");
    }
}

#[test]
fn host_ports_are_taken_once() {
    let port = |name: &str, address: &str, on: Option<&str>| {
        pod(
            name,
            &json!({"spec": {"nodeName": on, "containers": [{"name": "c", "ports": [
                {"containerPort": 80, "hostPort": 80, "hostIP": address, "protocol": "TCP"}]}]}}),
        )
    };
    let found = |address| {
        let nodes = vec![node("n1", &json!({})), node("n2", &json!({}))];
        let there = vec![port("a", "10.0.0.1", Some("n1"))];
        against(nodes, there, port("b", address, None))
    };
    assert_eq!(found("10.0.0.1"), [PORTS, ""]);
    assert_eq!(found("0.0.0.0"), [PORTS, ""]);
    assert_eq!(found("10.0.0.2"), ["", ""]);
}

fn zones() -> Vec<Node> {
    vec![
        zoned("a1", "a"),
        zoned("a2", "a"),
        zoned("b1", "b"),
        node("bare", &json!({})),
    ]
}

const ZONE: &str = "topology.kubernetes.io/zone";

#[test]
fn affinity_and_anti_affinity() {
    let web = || vec![labelled("web", "web", Some("a1"))];
    let asks = |sort: &str, app: &str| pod("p", &required(sort, &[term(app, ZONE)]));
    assert_eq!(
        against(zones(), web(), asks("podAffinity", "web")),
        ["", "", NEAR, NEAR]
    );
    assert_eq!(
        against(zones(), web(), asks("podAntiAffinity", "web")),
        [APART, APART, "", ""]
    );
    // Nobody of the kind is there: only one of the kind itself may come first, and only where the label is.
    let own = both(
        &required("podAffinity", &[term("db", ZONE)]),
        &json!({"metadata": {"labels": {"app": "db"}}}),
    );
    assert_eq!(against(zones(), web(), pod("p", &own)), ["", "", "", NEAR]);
    assert_eq!(
        against(zones(), web(), asks("podAffinity", "db")),
        [NEAR; 4]
    );
    // Two terms count pods that both mean.
    let two = required("podAffinity", &[term("web", ZONE), term("db", ZONE)]);
    assert_eq!(against(zones(), web(), pod("p", &two)), [NEAR; 4]);
    // Pods of other namespaces are not meant.
    let mut foreign = labelled("web", "web", Some("a1"));
    foreign.metadata.namespace = Some("m".into());
    assert_eq!(
        against(zones(), vec![foreign], asks("podAntiAffinity", "web")),
        [""; 4]
    );
}

#[test]
fn pods_that_are_there_keep_others_away() {
    let alone = both(
        &required("podAntiAffinity", &[term("web", ZONE)]),
        &json!({"spec": {"nodeName": "b1"}}),
    );
    let found = |app| {
        against(
            zones(),
            vec![pod("alone", &alone)],
            labelled("p", app, None),
        )
    };
    assert_eq!(found("web"), ["", "", OTHERS, ""]);
    assert_eq!(found("db"), [""; 4]);
}

#[test]
fn who_can_yield() {
    let node = NodeInfo::read(node("n", &json!({})));
    let small = PodInfo::read(pod("p", &json!({})));
    let large =
        json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "5"}}}]}});
    let large = PodInfo::read(pod("p", &large));
    assert!(Against::Room.may_yield(&small, &node));
    assert!(!Against::Room.may_yield(&large, &node));
    for (against, want) in [
        (Against::Ports, true),
        (Against::Spread, true),
        (Against::OthersAntiAffinity, true),
        (Against::Affinity, false),
        (Against::SpreadLabel, false),
        (Against::Cordoned, false),
        (Against::NodeAffinity, false),
    ] {
        assert_eq!(against.may_yield(&small, &node), want, "{against:?}");
    }
}
