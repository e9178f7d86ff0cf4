//! What users do: objects come, change and go.

use crate::client::Client;
use crate::object::access::{list, text};
use http::Method;
use serde_json::{Value, json};

pub const NAMESPACE: &str = "sim";

/// One thing a user does. Numbers choose among what there is.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Makes one of `MANIFESTS`, by number, under one of a few names.
    Create(usize, usize),
    /// Changes an object's number of pods, where it has one.
    Scale(usize, u8),
    /// Changes a template, so that pods are replaced.
    Template(usize, u8),
    /// With one of the propagation policies.
    Delete(usize, usize),
    DeletePod(usize),
    /// Takes a pod's label away, so that its owner loses it.
    Unlabel(usize),
    /// Marks a node, or frees it.
    Cordon(usize, bool),
}

/// Where an object of each kind is, and how it looks.
type Manifest = (&'static str, fn(&str) -> Value);

/// One line per kind that a controller acts on.
const MANIFESTS: &[Manifest] = &[
    ("/api/v1/namespaces/sim/configmaps", config_map),
    ("/api/v1/namespaces/sim/secrets", secret),
    ("/apis/apps/v1/namespaces/sim/deployments", deployment),
    ("/apis/apps/v1/namespaces/sim/replicasets", replica_set),
    (
        "/api/v1/namespaces/sim/replicationcontrollers",
        replication_controller,
    ),
    ("/api/v1/namespaces/sim/services", service),
    (
        "/apis/policy/v1/namespaces/sim/poddisruptionbudgets",
        budget,
    ),
    ("/apis/apps/v1/namespaces/sim/statefulsets", stateful_set),
    ("/apis/apps/v1/namespaces/sim/daemonsets", daemon_set),
];

const NAMES: &[&str] = &["a", "b"];
const POLICIES: &[&str] = &["Background", "Foreground", "Orphan"];

fn deployment(name: &str) -> Value {
    let app = format!("d-{name}");
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": app}}, "template": template(&app, "Always")}})
}

fn replica_set(name: &str) -> Value {
    let app = format!("r-{name}");
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": app}}, "template": template(&app, "Always")}})
}

fn replication_controller(name: &str) -> Value {
    let app = format!("c-{name}");
    json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name},
        "spec": {"replicas": 2, "selector": {"app": app}, "template": template(&app, "Always")}})
}

/// Of the pods of a Deployment of the same name.
fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": format!("d-{name}")}, "ports": [{"port": 80}]}})
}

fn budget(name: &str) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": format!("d-{name}")}}}})
}

/// Of two names, one is in order and its claims stay, the other parallel and its claims go.
fn stateful_set(name: &str) -> Value {
    let app = format!("s-{name}");
    let (policy, retention) = match name {
        "a" => ("OrderedReady", "Retain"),
        _ => ("Parallel", "Delete"),
    };
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
        "spec": {"replicas": 2, "serviceName": name, "podManagementPolicy": policy,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": retention, "whenScaled": retention},
            "selector": {"matchLabels": {"app": app}}, "template": template(&app, "Always"),
            "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Mi"}}}}]}})
}

/// Of two names, one surges.
fn daemon_set(name: &str) -> Value {
    let app = format!("n-{name}");
    let surge = i64::from(name != "a");
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name},
        "spec": {"updateStrategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": 1 - surge}},
            "selector": {"matchLabels": {"app": app}}, "template": template(&app, "Always")}})
}

fn config_map(_: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}})
}

/// It has an owner that never was.
fn secret(_: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "00000000-0000-4000-8000-000000000000"}]}})
}

/// A template of pods with the label `app: name`; each owner selects its own only.
pub fn template(name: &str, restart: &str) -> Value {
    json!({"metadata": {"labels": {"app": name}},
        "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": "i:1"}]}})
}

async fn send(client: &Client, method: Method, path: &str, kind: &str, body: &Value) {
    // A user may be told no: what is asked for may not exist, or may not be changed.
    drop(client.send_value(method, path, Some((kind, body))).await);
}

/// The nth of all objects that users make: (path, object).
async fn any(client: &Client, index: usize) -> Option<(String, Value)> {
    let mut all = Vec::new();
    for (path, _) in MANIFESTS {
        let Ok(answer) = client.send_value(Method::GET, path, None).await else {
            continue;
        };
        for object in list(&answer, "/items") {
            let name = text(object, "/metadata/name");
            all.push((format!("{path}/{name}"), object.clone()));
        }
    }
    (!all.is_empty()).then(|| all.swap_remove(index % all.len()))
}

async fn pod(client: &Client, index: usize) -> Option<String> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let answer = client.send_value(Method::GET, &path, None).await.ok()?;
    let pods = list(&answer, "/items");
    let pod = pods.get(index.checked_rem(pods.len())?)?;
    Some(format!("{path}/{}", text(pod, "/metadata/name")))
}

pub async fn act(client: &Client, deed: &Deed) {
    let (json, merge) = ("application/json", "application/merge-patch+json");
    match deed {
        Deed::Create(kind, name) => {
            let (path, make) = MANIFESTS[kind % MANIFESTS.len()];
            let name = NAMES[name % NAMES.len()];
            let mut object = make(name);
            object["metadata"]["name"] = name.into();
            send(client, Method::POST, path, json, &object).await;
        }
        Deed::Scale(index, replicas) => {
            if let Some((path, object)) = any(client, *index).await
                && let Some(field) = ["replicas", "parallelism"]
                    .into_iter()
                    .find(|field| object["spec"][*field].is_number())
            {
                let patch = json!({"spec": {field: replicas % 4}});
                send(client, Method::PATCH, &path, merge, &patch).await;
            }
        }
        Deed::Template(index, version) => {
            if let Some((path, object)) = any(client, *index).await
                && object["spec"]["template"].is_object()
            {
                let containers = json!([{"name": "c", "image": format!("i:{}", version % 3)}]);
                let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
                send(client, Method::PATCH, &path, merge, &patch).await;
            }
        }
        Deed::Delete(index, policy) => {
            if let Some((path, _)) = any(client, *index).await {
                let options = json!({"propagationPolicy": POLICIES[policy % POLICIES.len()]});
                send(client, Method::DELETE, &path, json, &options).await;
            }
        }
        Deed::DeletePod(index) => {
            if let Some(path) = pod(client, *index).await {
                send(client, Method::DELETE, &path, json, &json!({})).await;
            }
        }
        Deed::Unlabel(index) => {
            if let Some(path) = pod(client, *index).await {
                let patch = json!({"metadata": {"labels": {"app": null}}});
                send(client, Method::PATCH, &path, merge, &patch).await;
            }
        }
        Deed::Cordon(index, on) => {
            let nodes = super::actors::NODES;
            let path = format!("/api/v1/nodes/{}", nodes[index % nodes.len()]);
            let patch = json!({"spec": {"unschedulable": on}});
            send(client, Method::PATCH, &path, merge, &patch).await;
        }
    }
}

/// The namespace and the nodes that everything happens in.
pub async fn prepare(client: &Client) {
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    send(
        client,
        Method::POST,
        "/api/v1/namespaces",
        "application/json",
        &namespace,
    )
    .await;
    for name in super::actors::NODES {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        send(
            client,
            Method::POST,
            "/api/v1/nodes",
            "application/json",
            &node,
        )
        .await;
    }
}
