//! A node that is not heard of for some time is in an unknown state.
//! <https://kubernetes.io/docs/reference/node/node-status/#heartbeats>

use super::condition;
use crate::client::recorder::Kind;
use crate::controllers::action::{Action, Plan, Target};
use crate::controllers::clock;
use crate::controllers::runner::Controller;
use crate::controllers::world::{Change, Key, World};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use serde_json::json;
use std::time::Duration;

/// For a node that has never posted a status (upstream's `--node-startup-grace-period`).
const STARTUP_GRACE: Duration = Duration::from_mins(1);

/// What only the kubelet can tell.
const TOLD: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

pub struct NodeHealth {
    /// Silence that is forgiven.
    pub grace: Duration,
}

impl Controller for NodeHealth {
    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn keys(&self, _: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Heartbeat(name) => vec![(String::new(), name.clone())],
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let Some(node) = world.nodes.get(key) else {
            return Plan::default();
        };
        let ready = condition(node, "Ready");
        let grace = if ready.is_some() {
            self.grace
        } else {
            STARTUP_GRACE.max(self.grace)
        };
        if world.heartbeats.silence(node) < grace {
            return Plan::default();
        }
        let Some(conditions) = unknown(node, now) else {
            return Plan::default();
        };
        let target = Target::of::<Node>(&node.metadata);
        let patch = Action::Patch {
            target: target.clone(),
            part: Some("status"),
            // It may have been heard of meanwhile.
            resource_version: node.metadata.resource_version.clone(),
            patch: json!({"status": {"conditions": conditions}}),
        };
        if ready.is_none_or(|ready| ready.status != "True") {
            return Plan::of(vec![patch]);
        }
        let said = format!("Node {} status is now: NodeNotReady", key.1);
        Plan::of(vec![Action::Report {
            action: Box::new(patch),
            done: vec![Action::tell(&target, Kind::Normal, "NodeNotReady", said)],
            failed: Vec::new(),
        }])
    }
}

/// The conditions of a node that nobody hears of; `None`: they are so.
fn unknown(node: &Node, now: Timestamp) -> Option<Vec<NodeCondition>> {
    let status = node.status.as_ref();
    let old = status
        .and_then(|status| status.conditions.clone())
        .unwrap_or_default();
    let mut new = old.clone();
    for kind in TOLD {
        match new.iter_mut().find(|condition| condition.type_ == kind) {
            Some(condition) if condition.status == "Unknown" => {}
            Some(condition) => {
                "Unknown".clone_into(&mut condition.status);
                condition.reason = Some("NodeStatusUnknown".to_owned());
                condition.message = Some("Kubelet stopped posting node status.".to_owned());
                condition.last_transition_time = Some(clock::time(now));
            }
            None => new.push(NodeCondition {
                type_: kind.to_owned(),
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusNeverUpdated".to_owned()),
                message: Some("Kubelet never posted node status.".to_owned()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(clock::time(now)),
            }),
        }
    }
    (new != old).then_some(new)
}
