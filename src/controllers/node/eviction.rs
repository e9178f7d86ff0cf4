//! Pods that do not tolerate a `NoExecute` taint of their node go, at once or after the time they tolerate it for.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions>

use super::{node_of, pods_of};
use crate::client::recorder::Kind;
use crate::controllers::action::{Action, Plan, Target};
use crate::controllers::clock;
use crate::controllers::runner::Controller;
use crate::controllers::world::{Change, Key, PodView, World};
use crate::object::taint::tolerates;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, PodCondition, Taint};
use serde_json::json;

pub struct TaintEviction;

impl Controller for TaintEviction {
    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Pod(diff) => {
                let key = diff.key().filter(|key| {
                    node_of(world, key).is_some_and(|node| executing(node).next().is_some())
                });
                key.into_iter().collect()
            }
            Change::Node(diff) => {
                let taints = |node: &Option<std::sync::Arc<Node>>| -> Vec<Taint> {
                    node.iter()
                        .flat_map(|node| executing(node))
                        .cloned()
                        .collect()
                };
                match &diff.new {
                    Some(node) if taints(&diff.old) != taints(&diff.new) => {
                        pods_of(world, node.metadata.name.as_deref().unwrap_or_default())
                    }
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let (Some(pod), Some(node)) = (world.pods.get(key), node_of(world, key)) else {
            return plan;
        };
        // What a node runs from its own files is there until the file goes.
        if pod.is_ending() || pod.is_mirror() {
            return plan;
        }
        match leave(pod, node) {
            Some(at) if at <= now => plan.actions = evict(pod, now),
            Some(at) => clock::look_at(&mut plan, at, now),
            None => {}
        }
        plan
    }
}

fn executing(node: &Node) -> impl Iterator<Item = &Taint> {
    let taints = node
        .spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten());
    taints.filter(|taint| taint.effect == "NoExecute")
}

/// When the pod must leave; `None`: it may stay.
pub fn leave(pod: &PodView, node: &Node) -> Option<Timestamp> {
    let until = |taint: &Taint| {
        let tolerations = pod.spec.tolerations.iter();
        let Some(toleration) = tolerations.into_iter().find(|t| tolerates(t, taint)) else {
            return Some(Timestamp::MIN);
        };
        let seconds = toleration.toleration_seconds?.max(0);
        // A taint that does not say since when gets the time in a moment.
        Some(clock::after(taint.time_added.as_ref()?.0, seconds))
    };
    executing(node).filter_map(until).min()
}

fn evict(pod: &PodView, now: Timestamp) -> Vec<Action> {
    let target = Target::of::<PodView>(&pod.metadata);
    let said = format!(
        "Marking for deletion Pod {}/{}",
        target.namespace, target.name
    );
    let mut actions = Vec::new();
    let condition = disruption(
        "DeletionByTaintManager",
        "Taint manager: deleting due to NoExecute taint",
        now,
    );
    if let Some(conditions) = pod.with_condition(condition) {
        actions.push(Action::Patch {
            target: target.clone(),
            part: Some("status"),
            resource_version: pod.metadata.resource_version.clone(),
            patch: json!({"status": {"conditions": conditions}}),
        });
    }
    actions.push(Action::Report {
        done: vec![Action::tell(
            &target,
            Kind::Normal,
            "TaintManagerEviction",
            said,
        )],
        action: Box::new(Action::Delete {
            target,
            resource_version: None,
            grace_period_seconds: None,
            propagation: None,
        }),
        failed: Vec::new(),
    });
    actions
}

/// Why the pod was ended by the cluster, for its owner's policies.
/// <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>
pub fn disruption(reason: &str, message: &str, now: Timestamp) -> PodCondition {
    PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(clock::time(now)),
        ..PodCondition::default()
    }
}
