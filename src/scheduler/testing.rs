//! Makers of pods and nodes for tests.
#![allow(clippy::unwrap_used)]

use super::cluster::{Cluster, Tracked};
use super::snapshot::{NodeInfo, PodInfo};
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};
use std::sync::Arc;

/// A node with room for ten pods, its name as its hostname, and `change` merged in.
pub fn node(name: &str, change: &Value) -> Node {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "4", "memory": "4Gi", "pods": "10"}},
    });
    json_patch::merge(&mut node, change);
    serde_json::from_value(node).unwrap()
}

/// A node in a zone.
pub fn zoned(name: &str, zone: &str) -> Node {
    node(
        name,
        &json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}),
    )
}

/// A pod of namespace `n`, its uid as its name, with `change` merged in.
pub fn pod(name: &str, change: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name},
        "spec": {"containers": [{"name": "c"}]},
    });
    json_patch::merge(&mut pod, change);
    serde_json::from_value(pod).unwrap()
}

/// A pod with labels (`app=web`) and a node, or none.
pub fn labelled(name: &str, app: &str, on: Option<&str>) -> Pod {
    pod(
        name,
        &json!({"metadata": {"labels": {"app": app}}, "spec": {"nodeName": on}}),
    )
}

/// A spread constraint over pods of `app`.
pub fn spread(app: &str, key: &str, change: &Value) -> Value {
    let mut constraint = json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": app}}});
    json_patch::merge(&mut constraint, change);
    constraint
}

/// An affinity term about pods of `app`.
pub fn term(app: &str, key: &str) -> Value {
    json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}})
}

/// `spec.affinity` with required terms of one sort (`podAffinity`, `podAntiAffinity`).
pub fn required(sort: &str, terms: &[Value]) -> Value {
    json!({"spec": {"affinity": {sort: {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}})
}

/// The same with preferred terms.
pub fn preferred(sort: &str, weight: i32, term: &Value) -> Value {
    json!({"spec": {"affinity": {sort: {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": weight, "podAffinityTerm": term}]}}}})
}

/// Both changes in one.
pub fn both(a: &Value, b: &Value) -> Value {
    let mut merged = a.clone();
    json_patch::merge(&mut merged, b);
    merged
}

/// A cluster of these nodes, and of these pods where they say they are.
pub fn cluster(nodes: Vec<Node>, pods: Vec<Pod>) -> Cluster {
    let mut cluster = Cluster::default();
    for node in nodes {
        cluster.set_node(Arc::new(NodeInfo::read(node)));
    }
    for pod in pods {
        let tracked = track(&mut cluster, pod);
        if let Some(name) = &tracked.pod.node {
            cluster.place(&tracked, name);
        }
    }
    cluster.order();
    cluster
}

/// A pod with its counts kept.
pub fn track(cluster: &mut Cluster, pod: Pod) -> Arc<Tracked> {
    let pod = Arc::new(PodInfo::read(pod));
    let footing = cluster.counts.acquire(&pod);
    Arc::new(Tracked { pod, footing })
}
