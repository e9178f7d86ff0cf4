//! What users do: objects come, change and go.

use super::manifests::{self, MADE, MANIFESTS, NAMES, NAMESPACES};
use crate::client::Client;
use crate::object::access::{list, text};
use http::Method;
use serde_json::{Value, json};

/// One thing a user does. Numbers choose among what there is.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Makes one of `MANIFESTS`, by number, under one of a few names, in one of the namespaces.
    Create(usize, usize, usize),
    /// Changes an object's number of pods, where it has one.
    Scale(usize, u8),
    /// Changes a template, so that pods are replaced.
    Template(usize, u8),
    /// Suspends or pauses what can be, or goes on with it.
    Hold(usize, bool),
    /// With one of the propagation policies.
    Delete(usize, usize),
    DeletePod(usize),
    Evict(usize),
    /// Takes a pod's label away, so that its owner loses it.
    Unlabel(usize),
    /// Marks a node, or frees it.
    Cordon(usize, bool),
    /// Takes a node out of the cluster.
    DropNode(usize),
    /// Deletes the second namespace with all that is in it, or makes it.
    Namespace(bool),
}

const POLICIES: [&str; 3] = ["Background", "Foreground", "Orphan"];
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

async fn send(client: &Client, method: Method, path: &str, kind: &str, body: &Value) {
    // A user may be told no: what is asked for may not exist, or may not be changed.
    drop(client.send_value(method, path, Some((kind, body))).await);
}

async fn patch(client: &Client, path: &str, patch: &Value) {
    send(client, Method::PATCH, path, MERGE, patch).await;
}

async fn items(client: &Client, path: &str) -> Vec<Value> {
    let answer = client.send_value(Method::GET, path, None).await;
    answer.map_or_else(|_| Vec::new(), |answer| list(&answer, "/items").to_vec())
}

/// All objects of the kinds that users make, and of some that controllers make: (path, object).
async fn all(client: &Client) -> Vec<(String, Value)> {
    let made = MADE.iter().copied();
    let own = MANIFESTS.iter().map(|m| (m.group, m.plural));
    let kinds: Vec<_> = own.chain(made).collect();
    let mut paths = Vec::new();
    for namespace in NAMESPACES {
        for (group, plural) in &kinds {
            let path = manifests::collection(group, plural, namespace);
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    let mut all = Vec::new();
    for path in paths {
        for object in items(client, &path).await {
            let name = text(&object, "/metadata/name");
            // The cluster's own roles are what controllers may do.
            if !path.ends_with("/clusterroles") || name.starts_with("sim-") {
                all.push((format!("{path}/{name}"), object));
            }
        }
    }
    all
}

/// The nth of them.
async fn any(client: &Client, index: usize) -> Option<(String, Value)> {
    let mut all = all(client).await;
    (!all.is_empty()).then(|| all.swap_remove(index % all.len()))
}

async fn pod(client: &Client, index: usize) -> Option<(String, String)> {
    let mut pods = Vec::new();
    for namespace in NAMESPACES {
        let path = manifests::collection("/api/v1", "pods", namespace);
        for pod in items(client, &path).await {
            let name = text(&pod, "/metadata/name").to_owned();
            pods.push((format!("{path}/{name}"), name));
        }
    }
    (!pods.is_empty()).then(|| pods.swap_remove(index % pods.len()))
}

/// What makes the object at `path` stand still, or go on.
fn hold(path: &str, on: bool) -> Option<Value> {
    let (collection, _) = path.rsplit_once('/')?;
    let field = match collection.rsplit_once('/')?.1 {
        "jobs" | "cronjobs" => "suspend",
        "deployments" => "paused",
        _ => return None,
    };
    Some(json!({"spec": {field: on}}))
}

pub async fn act(client: &Client, deed: &Deed) {
    match deed {
        Deed::Create(kind, name, place) => {
            let manifest = &MANIFESTS[kind % MANIFESTS.len()];
            let object = manifest.object(NAMES[name % NAMES.len()]);
            let path = manifest.path(NAMESPACES[place % NAMESPACES.len()]);
            send(client, Method::POST, &path, JSON, &object).await;
        }
        Deed::Scale(index, replicas) => {
            if let Some((path, object)) = any(client, *index).await
                && let Some(field) = ["replicas", "parallelism"]
                    .into_iter()
                    .find(|field| object["spec"][*field].is_number())
            {
                let change = json!({"spec": {field: replicas % 4}});
                patch(client, &path, &change).await;
            }
        }
        Deed::Template(index, version) => {
            if let Some((path, object)) = any(client, *index).await
                && object["spec"]["template"].is_object()
            {
                let containers = json!([manifests::container(version % 3)]);
                let change = json!({"spec": {"template": {"spec": {"containers": containers}}}});
                patch(client, &path, &change).await;
            }
        }
        Deed::Hold(index, on) => {
            if let Some((path, _)) = any(client, *index).await
                && let Some(change) = hold(&path, *on)
            {
                patch(client, &path, &change).await;
            }
        }
        Deed::Delete(index, policy) => {
            if let Some((path, _)) = any(client, *index).await {
                let options = json!({"propagationPolicy": POLICIES[policy % POLICIES.len()]});
                send(client, Method::DELETE, &path, JSON, &options).await;
            }
        }
        Deed::DeletePod(index) => {
            if let Some((path, _)) = pod(client, *index).await {
                send(client, Method::DELETE, &path, JSON, &json!({})).await;
            }
        }
        Deed::Evict(index) => {
            if let Some((path, name)) = pod(client, *index).await {
                let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
                let path = format!("{path}/eviction");
                send(client, Method::POST, &path, JSON, &eviction).await;
            }
        }
        Deed::Unlabel(index) => {
            if let Some((path, _)) = pod(client, *index).await {
                patch(
                    client,
                    &path,
                    &json!({"metadata": {"labels": {"app": null}}}),
                )
                .await;
            }
        }
        Deed::Cordon(index, on) => {
            let change = json!({"spec": {"unschedulable": on}});
            patch(client, &node(*index), &change).await;
        }
        Deed::DropNode(index) => {
            send(client, Method::DELETE, &node(*index), JSON, &json!({})).await;
        }
        Deed::Namespace(true) => make(client, NAMESPACES[1]).await,
        Deed::Namespace(false) => {
            let path = format!("/api/v1/namespaces/{}", NAMESPACES[1]);
            send(client, Method::DELETE, &path, JSON, &json!({})).await;
        }
    }
}

fn node(index: usize) -> String {
    let nodes = super::actors::NODES;
    format!("/api/v1/nodes/{}", nodes[index % nodes.len()])
}

async fn make(client: &Client, namespace: &str) {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    send(client, Method::POST, "/api/v1/namespaces", JSON, &object).await;
}

/// The namespaces that everything happens in.
pub async fn prepare(client: &Client) {
    for namespace in NAMESPACES {
        make(client, namespace).await;
    }
}

/// Nothing is begun any more because of the time: what runs each minute would never be done.
pub async fn calm(client: &Client) {
    for namespace in NAMESPACES {
        let path = manifests::collection("/apis/batch/v1", "cronjobs", namespace);
        for object in items(client, &path).await {
            let path = format!("{path}/{}", text(&object, "/metadata/name"));
            patch(client, &path, &json!({"spec": {"suspend": true}})).await;
        }
    }
}
