//! Taints that follow a node's conditions, so that the scheduler leaves a node in trouble alone.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-nodes-by-condition>

use super::queue::WorkQueue;
use crate::client::informer::{Event, Scope, informer};
use crate::client::{Client, ClientError, PatchType};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::json;
use std::collections::BTreeMap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Condition, the status of it that taints, and the taint.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    (
        "MemoryPressure",
        "True",
        "node.kubernetes.io/memory-pressure",
    ),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    (
        "NetworkUnavailable",
        "True",
        "node.kubernetes.io/network-unavailable",
    ),
    ("Ready", "False", "node.kubernetes.io/not-ready"),
    ("Ready", "Unknown", "node.kubernetes.io/unreachable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const EFFECT: &str = "NoSchedule";

/// The taints the node should have; `None`: it has them. Taints of others and of other effects stay where they are.
pub fn reconcile(node: &Node) -> Option<Vec<Taint>> {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let spec = node.spec.clone().unwrap_or_default();
    let mut wanted: Vec<&str> = BY_CONDITION
        .iter()
        .filter(|(kind, status, _)| {
            conditions
                .iter()
                .any(|condition| condition.type_ == *kind && condition.status == *status)
        })
        .map(|(_, _, key)| *key)
        .collect();
    if spec.unschedulable == Some(true) {
        wanted.push(UNSCHEDULABLE);
    }
    let is_ours = |taint: &Taint| {
        let known = BY_CONDITION.iter().any(|(_, _, key)| *key == taint.key);
        taint.effect == EFFECT && (known || taint.key == UNSCHEDULABLE)
    };
    let old = spec.taints.unwrap_or_default();
    let mut new: Vec<Taint> = old
        .iter()
        .filter(|taint| !is_ours(taint) || wanted.contains(&taint.key.as_str()))
        .cloned()
        .collect();
    for key in wanted {
        if !new.iter().any(|taint| is_ours(taint) && taint.key == key) {
            new.push(Taint {
                key: key.to_owned(),
                effect: EFFECT.to_owned(),
                ..Taint::default()
            });
        }
    }
    (new != old).then_some(new)
}

/// Keeps every node's taints true until `stop`.
pub async fn run(client: Client, stop: CancellationToken) {
    let mut events = informer::<Node>(&client, Scope::default());
    // As many as there are nodes.
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    let mut queue: WorkQueue<String> = WorkQueue::default();
    loop {
        let wake = queue.wake();
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => event,
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => None,
        };
        if let Some(event) = event {
            for name in take_in(&mut nodes, event) {
                queue.add(name, Instant::now());
            }
        }
        while let Some(name) = queue.take(Instant::now()) {
            let Some(taints) = nodes.get(&name).and_then(reconcile) else {
                queue.done(&name, Instant::now());
                continue;
            };
            let version = nodes
                .get(&name)
                .and_then(|node| node.metadata.resource_version.clone());
            match write(&client, &name, version, &taints).await {
                Ok(node) => {
                    nodes.insert(name.clone(), node);
                    queue.done(&name, Instant::now());
                }
                // A newer node is on its way here, or none at all.
                Err(error) if error.is_conflict() || error.is_not_found() => {
                    queue.done(&name, Instant::now());
                }
                Err(error) => {
                    tracing::warn!(node = name, %error, "taints not written; trying again");
                    queue.later(&name, Instant::now());
                }
            }
        }
    }
}

/// Names of the nodes to look at.
fn take_in(nodes: &mut BTreeMap<String, Node>, event: Event<Node>) -> Vec<String> {
    let name = |node: &Node| node.metadata.name.clone().unwrap_or_default();
    match event {
        Event::Restarted(all) => {
            *nodes = all.into_iter().map(|node| (name(&node), node)).collect();
            nodes.keys().cloned().collect()
        }
        Event::Applied(node) => {
            let key = name(&node);
            nodes.insert(key.clone(), node);
            vec![key]
        }
        Event::Deleted(node) => {
            nodes.remove(&name(&node));
            Vec::new()
        }
    }
}

/// Only on the node that was looked at: a taint set by someone else meanwhile must not be lost.
async fn write(
    client: &Client,
    name: &str,
    version: Option<String>,
    taints: &[Taint],
) -> Result<Node, ClientError> {
    let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": taints}});
    client
        .patch(None, name, None, PatchType::Merge, &patch)
        .await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn taints_follow_conditions_and_others_stay() {
        let node = |unschedulable: bool,
                    conditions: &[(&str, &str)],
                    taints: serde_json::Value|
         -> Node {
            let conditions: Vec<_> = conditions
                .iter()
                .map(|(kind, status)| json!({"type": kind, "status": status}))
                .collect();
            serde_json::from_value(json!({
                "spec": {"unschedulable": unschedulable, "taints": taints}, "status": {"conditions": conditions},
            }))
            .unwrap()
        };
        let other = json!({"key": "mine", "effect": "NoSchedule"});
        let evict = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"});
        let memory = json!({"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"});
        let calm = [("MemoryPressure", "False"), ("Ready", "True")];
        let pressed = [("MemoryPressure", "True"), ("Ready", "True")];
        let lost = [("Ready", "Unknown")];
        let keys = |taints: Option<Vec<Taint>>| {
            taints.map(|all| {
                all.iter()
                    .map(|t| t.key.clone())
                    .collect::<Vec<_>>()
                    .join(" ")
            })
        };
        for (unschedulable, conditions, taints, expected) in [
            (false, &calm[..], json!([]), None),
            (false, &calm, json!([other, evict]), None),
            (false, &calm, json!([memory, other]), Some("mine")),
            (false, &pressed, json!([memory]), None),
            (
                false,
                &pressed,
                json!([other]),
                Some("mine node.kubernetes.io/memory-pressure"),
            ),
            (
                true,
                &calm,
                json!([]),
                Some("node.kubernetes.io/unschedulable"),
            ),
            (
                false,
                &lost,
                json!([]),
                Some("node.kubernetes.io/unreachable"),
            ),
        ] {
            let found = keys(reconcile(&node(unschedulable, conditions, taints.clone())));
            assert_eq!(found.as_deref(), expected, "{conditions:?} {taints}");
        }
    }

    #[tokio::test]
    async fn a_cordoned_node_is_tainted() {
        let nodes = json!({"items": [{"metadata": {"name": "n", "resourceVersion": "7"}, "spec": {"unschedulable": true}}]});
        let (client, mut told) = crate::controllers::fake_door::client(&[("/api/v1/nodes", nodes)]);
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(client, stop.clone()));
        let (what, body) = told.recv().await.unwrap();
        assert_eq!(what, "PATCH /api/v1/nodes/n");
        assert_eq!(body["metadata"]["resourceVersion"], "7");
        assert_eq!(body["spec"]["taints"][0]["key"], UNSCHEDULABLE);
        stop.cancel();
        running.await.unwrap();
    }
}
