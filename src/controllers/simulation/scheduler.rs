//! Who places pods and makes their volumes, as far as the API sees them.

use super::actors::{NODES, is_bound, items, path, pods};
use crate::client::Client;
use crate::object::access::{list, present, text};
use crate::object::storage::{
    BIND_COMPLETED, LOCAL_PATH_CLASS, LOCAL_PATH_PROVISIONER, PROVISIONED_BY, SELECTED_NODE,
    STORAGE_PROVISIONER,
};
use http::Method;
use serde_json::{Value, json};

/// Where a pod of a DaemonSet belongs.
const OWN_NODE: &str = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";
/// Where a volume is.
const VOLUME_NODE: &str =
    "/spec/nodeAffinity/required/nodeSelectorTerms/0/matchExpressions/0/values/0";

/// One of the pods without a node gets one.
pub async fn schedule(client: &Client, index: usize) {
    let waiting = |pod: &Value| !is_bound(pod) && !present(pod, "/metadata/deletionTimestamp");
    let waiting: Vec<Value> = pods(client).await.into_iter().filter(waiting).collect();
    if !waiting.is_empty() {
        place(client, &waiting[index % waiting.len()], index).await;
    }
}

/// What the pod's claims say about its node.
enum Choice {
    Any,
    Only(String),
    /// A claim that has no volume yet, for which a node is to be chosen.
    Choose(String),
    /// It can be nowhere yet.
    Wait,
}

/// One step towards a node for the pod. False: there is none.
pub async fn place(client: &Client, pod: &Value, index: usize) -> bool {
    if present(pod, "/metadata/deletionTimestamp") || !list(pod, "/spec/schedulingGates").is_empty()
    {
        return false;
    }
    let own = text(pod, OWN_NODE);
    let node = if own.is_empty() {
        NODES[index % NODES.len()]
    } else {
        own
    };
    match choice(client, pod).await {
        Choice::Wait => false,
        Choice::Any => bind(client, pod, node).await,
        Choice::Only(node) => bind(client, pod, &node).await,
        Choice::Choose(claim) => {
            let patch = json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
            let content = Some(("application/merge-patch+json", &patch));
            let chosen = client.send_value(Method::PATCH, &claim, content).await;
            chosen.is_ok()
        }
    }
}

async fn choice(client: &Client, pod: &Value) -> Choice {
    let namespace = text(pod, "/metadata/namespace");
    let mut choice = Choice::Any;
    for volume in list(pod, "/spec/volumes") {
        let named = text(volume, "/persistentVolumeClaim/claimName");
        let name = match present(volume, "/ephemeral") {
            true => format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name")),
            false if named.is_empty() => continue,
            false => named.to_owned(),
        };
        let path = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}");
        let Ok(claim) = client.send_value(Method::GET, &path, None).await else {
            return Choice::Wait;
        };
        if present(&claim, "/metadata/deletionTimestamp") {
            return Choice::Wait;
        }
        let annotations = &claim["metadata"]["annotations"];
        if annotations[BIND_COMPLETED].is_string() {
            let volume = text(&claim, "/spec/volumeName");
            let path = format!("/api/v1/persistentvolumes/{volume}");
            let Ok(volume) = client.send_value(Method::GET, &path, None).await else {
                return Choice::Wait;
            };
            let node = text(&volume, VOLUME_NODE);
            if !node.is_empty() {
                choice = Choice::Only(node.to_owned());
            }
        } else if text(&claim, "/spec/storageClassName") == LOCAL_PATH_CLASS
            && !annotations[SELECTED_NODE].is_string()
        {
            return Choice::Choose(path);
        } else {
            return Choice::Wait;
        }
    }
    choice
}

async fn bind(client: &Client, pod: &Value, node: &str) -> bool {
    let nodes = items(client, "/api/v1/nodes").await;
    if !nodes.iter().any(|n| text(n, "/metadata/name") == node) {
        return false;
    }
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": text(pod, "/metadata/name")},
        "target": {"kind": "Node", "name": node}});
    let path = format!("{}/binding", path(pod));
    let content = Some(("application/json", &binding));
    let bound = client.send_value(Method::POST, &path, content).await;
    bound.is_ok()
}

/// Volumes are made for claims whose node is chosen, and go when they are released.
pub async fn provision(client: &Client) -> bool {
    let mut moved = false;
    for claim in items(client, "/api/v1/persistentvolumeclaims").await {
        let annotations = &claim["metadata"]["annotations"];
        let wanted = annotations[STORAGE_PROVISIONER] == LOCAL_PATH_PROVISIONER
            && annotations[SELECTED_NODE].is_string()
            && text(&claim, "/spec/volumeName").is_empty()
            && !present(&claim, "/metadata/deletionTimestamp");
        if wanted {
            let volume = volume(&claim);
            let content = Some(("application/json", &volume));
            let made = client
                .send_value(Method::POST, "/api/v1/persistentvolumes", content)
                .await;
            moved |= made.is_ok();
        }
    }
    for volume in items(client, "/api/v1/persistentvolumes").await {
        let ours = volume["metadata"]["annotations"][PROVISIONED_BY] == LOCAL_PATH_PROVISIONER;
        if ours
            && text(&volume, "/status/phase") == "Released"
            && text(&volume, "/spec/persistentVolumeReclaimPolicy") == "Delete"
            && !present(&volume, "/metadata/deletionTimestamp")
        {
            let path = format!(
                "/api/v1/persistentvolumes/{}",
                text(&volume, "/metadata/name")
            );
            let options = json!({"preconditions": {"uid": text(&volume, "/metadata/uid")}});
            let content = Some(("application/json", &options));
            moved |= client
                .send_value(Method::DELETE, &path, content)
                .await
                .is_ok();
        }
    }
    moved
}

fn volume(claim: &Value) -> Value {
    let meta = &claim["metadata"];
    let node = &meta["annotations"][SELECTED_NODE];
    json!({"apiVersion": "v1", "kind": "PersistentVolume",
    "metadata": {"name": format!("pvc-{}", text(claim, "/metadata/uid")),
        "annotations": {PROVISIONED_BY: LOCAL_PATH_PROVISIONER}},
    "spec": {
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "accessModes": claim["spec"]["accessModes"], "storageClassName": claim["spec"]["storageClassName"],
        "persistentVolumeReclaimPolicy": "Delete", "volumeMode": "Filesystem", "hostPath": {"path": "/tmp/x"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}},
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": meta["namespace"],
            "name": meta["name"], "uid": meta["uid"]},
    }})
}
