//! Taints that follow a node's conditions, so that the scheduler leaves a node in trouble alone.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-nodes-by-condition>

use super::action::{Action, Plan, Target};
use super::runner::Controller;
use super::world::{Change, Key, World};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::json;

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
pub fn wanted(node: &Node) -> Option<Vec<Taint>> {
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

pub struct NodeTaints;

impl Controller for NodeTaints {
    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn keys(&self, _: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Node(diff) => diff.key().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _: Timestamp) -> Plan {
        let Some(node) = world.nodes.get(key) else {
            return Plan::default();
        };
        let patch = wanted(node).map(|taints| Action::Patch {
            target: Target::of::<Node>(&node.metadata),
            part: None,
            // A taint set by someone else meanwhile must not be lost.
            resource_version: node.metadata.resource_version.clone(),
            patch: json!({"spec": {"taints": taints}}),
        });
        Plan::of(patch.into_iter().collect())
    }
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
            let found = keys(super::wanted(&node(
                unschedulable,
                conditions,
                taints.clone(),
            )));
            assert_eq!(found.as_deref(), expected, "{conditions:?} {taints}");
        }
    }
}
