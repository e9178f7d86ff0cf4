//! Pods of a node that nobody hears of are not ready: Services must not lead to them.
//!
//! A node that says itself that it is not ready still tells the truth about its pods; it is left to.

use super::{node_of, pods_of, readiness, readiness_changed};
use crate::client::recorder::Kind;
use crate::controllers::action::{Action, Plan, Target};
use crate::controllers::clock;
use crate::controllers::runner::Controller;
use crate::controllers::world::{Change, Key, PodView, World};
use jiff::Timestamp;
use serde_json::json;

pub struct PodsOfLostNodes;

impl Controller for PodsOfLostNodes {
    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Node(diff) if readiness_changed(diff) => match &diff.new {
                Some(node) if readiness(node) == "Unknown" => {
                    pods_of(world, node.metadata.name.as_deref().unwrap_or_default())
                }
                _ => Vec::new(),
            },
            // Not at every change of a pod: its kubelet may be coming back and say otherwise a moment before its node.
            Change::Heartbeat(name) => {
                let node = world.nodes.get(&(String::new(), name.clone()));
                let lost = node.is_some_and(|node| readiness(node) == "Unknown");
                if lost {
                    pods_of(world, name)
                } else {
                    Vec::new()
                }
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let (Some(pod), Some(node)) = (world.pods.get(key), node_of(world, key)) else {
            return Plan::default();
        };
        let ready = pod.condition("Ready").filter(|c| c.status == "True");
        let silence = world.heartbeats.silence(node);
        let lost = readiness(node) == "Unknown" && !silence.is_zero();
        let Some(ready) = ready.filter(|_| lost) else {
            return Plan::default();
        };
        let mut lost = ready.clone();
        "False".clone_into(&mut lost.status);
        lost.last_transition_time = Some(clock::time(now));
        let target = Target::of::<PodView>(&pod.metadata);
        let said = "Node is not ready".to_owned();
        Plan::of(vec![Action::Report {
            done: vec![Action::tell(&target, Kind::Warning, "NodeNotReady", said)],
            action: Box::new(Action::Patch {
                target,
                part: Some("status"),
                resource_version: pod.metadata.resource_version.clone(),
                patch: json!({"status": {"conditions": pod.with_condition(lost)}}),
            }),
            failed: Vec::new(),
        }])
    }
}
