//! The nodes and their kubelets, as far as the API sees them.

use super::manifests::STUCK;
use super::scheduler;
use crate::client::Client;
use crate::object::access::{integer, list, present, text};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub const NODES: &[&str] = &["n1", "n2", "n3"];

/// Nodes that nobody hears of.
pub type Silent = BTreeSet<&'static str>;

/// What becomes of a pod that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Well,
    /// It ends badly: its containers if they may end, the whole pod (evicted) otherwise.
    Badly,
}

pub async fn pods(client: &Client) -> Vec<Value> {
    items(client, "/api/v1/pods").await
}

pub async fn items(client: &Client, path: &str) -> Vec<Value> {
    let answer = client.send_value(Method::GET, path, None).await.unwrap();
    list(&answer, "/items").to_vec()
}

pub fn path(pod: &Value) -> String {
    format!(
        "/api/v1/namespaces/{}/pods/{}",
        text(pod, "/metadata/namespace"),
        text(pod, "/metadata/name")
    )
}

pub fn is_bound(pod: &Value) -> bool {
    !text(pod, "/spec/nodeName").is_empty()
}

/// One of the pods whose node speaks goes one step on.
pub async fn kubelet(client: &Client, silent: &Silent, index: usize, fate: Fate, clock: Timestamp) {
    let nodes: Vec<Value> = items(client, "/api/v1/nodes").await;
    let speaks = |pod: &Value| {
        let name = text(pod, "/spec/nodeName");
        let is_there = nodes.iter().any(|n| text(n, "/metadata/name") == name);
        is_there && !silent.contains(name)
    };
    let near: Vec<Value> = pods(client).await.into_iter().filter(speaks).collect();
    if !near.is_empty() {
        advance(client, &near[index % near.len()], fate, clock).await;
    }
}

/// Everybody does what there is to do. False: nothing was.
pub async fn work(client: &Client, clock: Timestamp) -> bool {
    let mut moved = speak(client, clock).await;
    moved |= scheduler::provision(client).await;
    for (index, pod) in pods(client).await.iter().enumerate() {
        moved |= if is_bound(pod) {
            advance(client, pod, Fate::Well, clock).await
        } else {
            scheduler::place(client, pod, index).await
        };
    }
    moved
}

/// Nodes that are not there come, and those that were thought lost say that they are not.
async fn speak(client: &Client, clock: Timestamp) -> bool {
    let mut moved = false;
    let at = clock.to_string();
    for name in NODES {
        let path = format!("/api/v1/nodes/{name}");
        let Ok(node) = client.send_value(Method::GET, &path, None).await else {
            register(client, name, &at).await;
            moved = true;
            continue;
        };
        let mut conditions = list(&node, "/status/conditions").to_vec();
        let lost = |condition: &&mut Value| text(condition, "/status") == "Unknown";
        for condition in conditions.iter_mut().filter(lost) {
            let word = if text(condition, "/type") == "Ready" {
                "True"
            } else {
                "False"
            };
            condition["status"] = word.into();
            condition["lastHeartbeatTime"] = at.clone().into();
            moved = true;
        }
        if conditions != list(&node, "/status/conditions") {
            let patch = json!({"status": {"conditions": conditions}});
            let content = Some(("application/merge-patch+json", &patch));
            let path = format!("{path}/status");
            client
                .send_value(Method::PATCH, &path, content)
                .await
                .unwrap();
        }
    }
    moved
}

async fn register(client: &Client, name: &str, at: &str) {
    let node = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": at}]}});
    let content = Some(("application/json", &node));
    client
        .send_value(Method::POST, "/api/v1/nodes", content)
        .await
        .unwrap();
}

fn is_ready(pod: &Value) -> bool {
    let ready = |c: &Value| text(c, "/type") == "Ready" && text(c, "/status") == "True";
    list(pod, "/status/conditions").iter().any(ready)
}

/// What the pod's kubelet does next, if anything.
async fn advance(client: &Client, pod: &Value, fate: Fate, clock: Timestamp) -> bool {
    let phase = text(pod, "/status/phase");
    let over = matches!(phase, "Succeeded" | "Failed");
    let is_stuck = list(pod, "/spec/containers")
        .iter()
        .any(|container| text(container, "/image") == STUCK);
    let may_end = text(pod, "/spec/restartPolicy") != "Always";
    let next = if present(pod, "/metadata/deletionTimestamp") {
        if over || phase == "Pending" {
            let options = json!({"gracePeriodSeconds": 0,
                "preconditions": {"uid": text(pod, "/metadata/uid")}});
            let deleted = client
                .send_value(
                    Method::DELETE,
                    &path(pod),
                    Some(("application/json", &options)),
                )
                .await;
            // A finalizer may still hold it, once its end is written.
            return deleted.is_ok() && list(pod, "/metadata/finalizers").is_empty();
        }
        "Failed"
    } else {
        match phase {
            "Running" if fate == Fate::Badly => "Failed",
            "Running" if may_end => "Succeeded",
            // Its node was thought lost.
            "Running" if !is_ready(pod) => "Running",
            "Pending" | "" if !is_stuck => "Running",
            _ => return false,
        }
    };
    let status = status(pod, next, clock);
    let content = Some(("application/merge-patch+json", &status));
    let path = format!("{}/status", path(pod));
    client
        .send_value(Method::PATCH, &path, content)
        .await
        .is_ok()
}

fn status(pod: &Value, phase: &str, clock: Timestamp) -> Value {
    let at = clock.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let ready = phase == "Running";
    let word = if ready { "True" } else { "False" };
    let code = i64::from(phase == "Failed");
    let containers: Vec<Value> = list(pod, "/spec/containers")
        .iter()
        .map(|container| {
            let state = if ready {
                json!({"running": {"startedAt": at}})
            } else {
                json!({"terminated": {"exitCode": code, "startedAt": at, "finishedAt": at}})
            };
            json!({"name": text(container, "/name"), "image": text(container, "/image"), "imageID": "", "ready": ready,
                "restartCount": 0, "state": state})
        })
        .collect();
    let condition = |kind: &str| json!({"type": kind, "status": word, "lastTransitionTime": at});
    let revision = integer(pod, "/metadata/generation");
    json!({
        "metadata": {"uid": text(pod, "/metadata/uid")},
        "status": {
            "phase": phase, "observedGeneration": revision, "startTime": at, "containerStatuses": containers,
            "podIP": "10.42.0.9", "podIPs": [{"ip": "10.42.0.9"}],
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": at},
                condition("Initialized"), condition("ContainersReady"), condition("Ready"),
            ],
        },
    })
}
