//! Pods per second that the scheduler finds nodes for, without the API around it.
//!
//! Nodes in ten zones with one pod each, every application in one zone; then new pods come in batches, as a watch
//! tells of them, and each is decided about and assumed. Input and decisions are the same in every run. Reading the pod
//! objects is measured too: the scheduler does it for each.

#![allow(clippy::unwrap_used)]

use axum::body::Body;
use coracle::api::{Api, Identity, NodeDoor, User};
use coracle::client::Client;
use coracle::mesh::signing::SigningKey;
use coracle::profile::StoreProfile;
use coracle::raft::Raft;
use coracle::scheduler::bench::Bench;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use http::{Request, Response};
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

const NODES: [usize; 3] = [100, 1000, 5000];
/// The budget at 1,000 nodes, plain pods.
const BUDGET: f64 = 5000.0;
/// Pods that come at once.
const BATCH: usize = 100;
/// Pods placed per measurement; ten for each node at most, so that all fit.
const PODS: usize = 3000;
const ZONES: usize = 10;
/// Bindings under way at once: as many as the scheduler has.
const TOGETHER: usize = 32;
/// How often they are measured; the median and both ends are told.
const ROUNDS: usize = 15;

fn node(number: usize) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": format!("node-{number}"), "labels": {
            "kubernetes.io/hostname": format!("node-{number}"),
            "topology.kubernetes.io/zone": format!("zone-{}", number % ZONES)}},
        "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}},
    }))
    .unwrap()
}

/// The rules of one row of the table.
type Rules = fn(usize) -> Value;

fn plain(_: usize) -> Value {
    json!({})
}

/// Twenty applications, as pods of ReplicaSets: spread a little by default.
fn replicas(number: usize) -> Value {
    let owner = format!("set-{}", number % 20);
    json!({"metadata": {"ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true}]}})
}

fn node_affinity(number: usize) -> Value {
    let zones = [
        format!("zone-{}", number % ZONES),
        format!("zone-{}", (number + 1) % ZONES),
    ];
    json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": zones}]}]}}}}})
}

/// Near the others of its application, rather not on the same node.
fn pod_affinity(number: usize) -> Value {
    let selector = json!({"matchLabels": {"app": format!("app-{}", number % 20)}});
    json!({"spec": {"affinity": {
        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "topology.kubernetes.io/zone", "labelSelector": selector}]},
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 100, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}}]}}}})
}

fn spread(number: usize) -> Value {
    let selector = json!({"matchLabels": {"app": format!("app-{}", number % 20)}});
    json!({"spec": {"topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector},
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}]}})
}

fn pod(name: &str, number: usize, on: Option<usize>, rules: Rules) -> Pod {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name,
            "labels": {"app": format!("app-{}", number % 20)}},
        "spec": {"containers": [{"name": "main", "image": "app:1",
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}]},
    });
    if let Some(node) = on {
        pod["spec"]["nodeName"] = format!("node-{node}").into();
    }
    json_patch::merge(&mut pod, &rules(number));
    serde_json::from_value(pod).unwrap()
}

fn measure(nodes: usize, rules: Rules) -> f64 {
    let mut bench = Bench::new((0..nodes).map(node).collect());
    for number in 0..nodes {
        let name = format!("there-{number}");
        bench.add(pod(&name, number, Some(number), plain));
    }
    let count = PODS.min(nodes * 10);
    let pods: Vec<Pod> = (0..count)
        .map(|number| pod(&format!("new-{number}"), number, None, rules))
        .collect();
    let began = Instant::now();
    let mut placed = 0;
    let mut waiting = pods.into_iter().peekable();
    while waiting.peek().is_some() {
        waiting.by_ref().take(BATCH).for_each(|pod| bench.add(pod));
        placed += bench.decide_all();
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    assert_eq!(placed, count, "every pod has a place");
    rate
}

fn main() {
    println!(
        "| pods/s | {} |\n|---|---|---|---|",
        NODES.map(|n| format!("{n} nodes")).join(" | ")
    );
    let rows: [(&str, Rules); 5] = [
        ("plain", plain),
        ("of ReplicaSets", replicas),
        ("node affinity", node_affinity),
        ("pod affinity and anti-affinity", pod_affinity),
        ("spread over zones and nodes", spread),
    ];
    for (name, rules) in rows {
        let rates = NODES.map(|nodes| format!("{:.0}", measure(nodes, rules)));
        println!("| {name} | {} |", rates.join(" | "));
    }
    println!("budget, plain at 1,000 nodes: {BUDGET:.0} pods/s");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(bindings());
}

/// No node is asked anything.
struct Nobody;

impl NodeDoor for Nobody {
    fn call(&self, _: &str, _: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async { Response::new(Body::empty()) })
    }
}

/// How many log entries bindings become that are under way at once, through the API and a log on this disk.
async fn bindings() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let profile = StoreProfile {
        cache_bytes: 8 << 20,
        history_entries: 4096,
        history_bytes: 4 << 20,
        log_entries: 1000,
        flush_ms: 5000,
    };
    let raft = Raft::open(dir.path(), &profile).await.unwrap();
    let identity = Identity {
        signing_key: Arc::new(SigningKey::fleeting().unwrap()),
        root_certificate_pem: "certificate".into(),
        address: "192.0.2.1:6443".parse().unwrap(),
    };
    let api = Api::new(
        raft.store.clone(),
        raft.writer.clone(),
        Arc::new(Nobody),
        identity,
    );
    coracle::api::bootstrap::bootstrap(&api).await.unwrap();
    let client = Client::new(api.door(User {
        name: "kubernetes-admin".into(),
        groups: vec!["system:masters".into()],
        ..User::default()
    }));
    let (mut entries, mut rates) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let names: Vec<String> = (0..TOGETHER).map(|i| format!("p{round}-{i}")).collect();
        for name in &names {
            let mut pod = pod(name, 0, None, plain);
            pod.metadata.uid = None;
            client.create(Some("default"), &pod).await.unwrap();
        }
        let before = raft.last_log_index().unwrap();
        let began = Instant::now();
        let bind = |name: &String| {
            let (client, name) = (client.clone(), name.clone());
            async move { client.bind_pod("default", &name, None, "n").await }
        };
        let mut all: FuturesUnordered<_> = names.iter().map(bind).collect();
        while let Some(bound) = all.next().await {
            bound.unwrap();
        }
        rates.push((TOGETHER as f64 / began.elapsed().as_secs_f64()) as u64);
        entries.push(raft.last_log_index().unwrap() - before);
    }
    for (what, mut list) in [("log entries", entries), ("bindings/s", rates)] {
        list.sort_unstable();
        println!(
            "{TOGETHER} bindings at once, {what}: median {} ({} to {}, {ROUNDS} rounds)",
            list[ROUNDS / 2],
            list[0],
            list[ROUNDS - 1]
        );
    }
}
