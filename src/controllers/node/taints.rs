//! Taints that follow a node's conditions, so that the scheduler leaves a node in trouble alone.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-nodes-by-condition>

use super::zones::{self, Evictions};
use super::{condition, readiness, readiness_changed};
use crate::controllers::action::{Action, Plan, Target};
use crate::controllers::clock;
use crate::controllers::runner::Controller;
use crate::controllers::world::{Change, Key, World, key};
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
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const EFFECT: &str = "NoSchedule";

/// Of the taints above, those that evict, by what the kubelet says of itself or nobody says any more.
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const EXECUTE: &str = "NoExecute";

/// Whether the taint is one of ours that evicts.
pub fn evicts(taint: &Taint) -> bool {
    taint.effect == EXECUTE && (taint.key == NOT_READY || taint.key == UNREACHABLE)
}

/// The taints the node should have; `None`: it has them. Taints of others and of other effects stay where they are.
/// `execute`: the one taint of ours that evicts.
pub fn wanted(node: &Node, execute: Option<&str>, now: Timestamp) -> Option<Vec<Taint>> {
    let spec = node.spec.clone().unwrap_or_default();
    let mut wanted: Vec<&str> = BY_CONDITION
        .iter()
        .filter(|(kind, status, _)| {
            condition(node, kind).is_some_and(|condition| condition.status == *status)
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
        .filter(|taint| !evicts(taint) || Some(taint.key.as_str()) == execute)
        .cloned()
        .collect();
    let taint = |key: &str, effect: &str| Taint {
        key: key.to_owned(),
        effect: effect.to_owned(),
        ..Taint::default()
    };
    for key in wanted {
        if !new.iter().any(|taint| is_ours(taint) && taint.key == key) {
            new.push(taint(key, EFFECT));
        }
    }
    if let Some(key) = execute
        && !new.iter().any(evicts)
    {
        new.push(taint(key, EXECUTE));
    }
    // How long a pod has tolerated a taint is counted from here; one of a clock that has been set back begins anew.
    for taint in new.iter_mut().filter(|taint| taint.effect == EXECUTE) {
        let added = taint.time_added.as_ref();
        if added.is_none_or(|added| clock::is_ahead(added.0, now)) {
            taint.time_added = Some(clock::time(now));
        }
    }
    (new != old).then_some(new)
}

/// Which of our taints is to evict the node's pods now. The error: not yet, but then.
fn execute<'a>(
    world: &World,
    node: &'a Node,
    now: Timestamp,
) -> Result<Option<&'a str>, Option<Timestamp>> {
    let key = match readiness(node) {
        "False" => NOT_READY,
        "Unknown" => UNREACHABLE,
        _ => return Ok(None),
    };
    let taints = node
        .spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten());
    let has = taints.into_iter().any(evicts);
    match zones::evictions(world, node) {
        Evictions::None => Ok(None),
        _ if has => Ok(Some(key)),
        Evictions::Held => Err(None),
        Evictions::Every(pace) => {
            let last = zones::last_eviction(world, node);
            let next = last.map(|last| clock::after(last, pace.as_secs()));
            match next.filter(|next| *next > now && !clock::is_ahead(*next, now)) {
                Some(next) => Err(Some(next)),
                None => Ok(Some(key)),
            }
        }
    }
}

pub struct NodeTaints;

impl Controller for NodeTaints {
    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            // What is done to one depends on how the others are.
            Change::Node(diff) if readiness_changed(diff) => {
                let nodes = world.nodes.iter();
                nodes.map(|node| key(&node.metadata)).collect()
            }
            Change::Node(diff) => diff.key().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let Some(node) = world.nodes.get(key) else {
            return Plan::default();
        };
        let (execute, next) = match execute(world, node, now) {
            Ok(key) => (key, None),
            Err(next) => (None, next),
        };
        let patch = wanted(node, execute, now).map(|taints| Action::Patch {
            target: Target::of::<Node>(&node.metadata),
            part: None,
            // A taint set by someone else meanwhile must not be lost.
            resource_version: node.metadata.resource_version.clone(),
            patch: json!({"spec": {"taints": taints}}),
        });
        let mut plan = Plan::of(patch.into_iter().collect());
        if let Some(next) = next {
            clock::look_at(&mut plan, next, now);
        }
        plan
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
        let evict = json!({"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute", "timeAdded": "1970-01-01T00:00:00Z"});
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
            let node = node(unschedulable, conditions, taints.clone());
            let found = keys(super::wanted(&node, None, Timestamp::UNIX_EPOCH));
            assert_eq!(found.as_deref(), expected, "{conditions:?} {taints}");
        }
    }
}
