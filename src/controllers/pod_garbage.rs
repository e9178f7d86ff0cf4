//! Pods that no kubelet will ever end: of a node that is gone, of one declared out of service, and never bound.
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection>

use super::action::{Action, Plan, Target};
use super::node::disruption;
use super::runner::Controller;
use super::world::{Change, Key, PodView, World, key};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, PodCondition};
use serde_json::json;
use std::time::Duration;

/// For a node that is gone to come back under its name (upstream's `quarantineTime`).
const QUARANTINE: Duration = Duration::from_secs(40);
/// Put on a node by somebody who has seen that it is off.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// Finished pods that may stay (upstream's `--terminated-pod-gc-threshold`).
const FINISHED_MAX: usize = 12_500;
/// Finished pods are counted that often at most (upstream's `gcCheckPeriod`).
const PERIOD: Duration = Duration::from_secs(20);
/// Deletions of one sweep; the next one sees the rest.
const SWEEP_MAX: usize = 500;

pub struct LostPods;

impl Controller for LostPods {
    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        let of_node = |name: &str| {
            let bound =
                move |pod: &&std::sync::Arc<PodView>| pod.spec.node_name.as_deref() == Some(name);
            world
                .pods
                .iter()
                .filter(bound)
                .map(|pod| key(&pod.metadata))
                .collect()
        };
        match change {
            Change::Pod(diff) => {
                let ending = diff.new.as_ref().filter(|pod| pod.is_ending());
                ending.map(|pod| key(&pod.metadata)).into_iter().collect()
            }
            Change::Heartbeat(name) if world.heartbeats.missing(name) >= QUARANTINE => {
                of_node(name)
            }
            Change::Node(diff) => match &diff.new {
                Some(node) if is_out_of_service(node) => {
                    of_node(node.metadata.name.as_deref().unwrap_or_default())
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let Some(pod) = world.pods.get(key) else {
            return Plan::default();
        };
        let Some(name) = pod
            .spec
            .node_name
            .as_deref()
            .filter(|name| !name.is_empty())
        else {
            let actions = if pod.is_ending() {
                end(pod, None)
            } else {
                Vec::new()
            };
            return Plan::of(actions);
        };
        match world.nodes.get(&(String::new(), name.to_owned())) {
            Some(node) if pod.is_ending() && is_out_of_service(node) => Plan::of(end(pod, None)),
            None if world.heartbeats.missing(name) >= QUARANTINE => {
                let why = disruption("DeletionByPodGC", "PodGC: node no longer exists", now);
                let mut actions = end(pod, Some(why));
                if !actions.is_empty() {
                    actions.insert(0, Action::ConfirmGone(Target::named::<Node>("", name)));
                }
                Plan::of(actions)
            }
            _ => Plan::default(),
        }
    }
}

/// It is declared so, and does not itself say otherwise.
fn is_out_of_service(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    let ready = conditions
        .into_iter()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    !ready && taints.into_iter().any(|taint| taint.key == OUT_OF_SERVICE)
}

/// The pod has failed, and goes without anybody's confirmation. Nothing: that is done, and others' finalizers hold it.
fn end(pod: &PodView, why: Option<PodCondition>) -> Vec<Action> {
    let target = Target::of::<PodView>(&pod.metadata);
    let mut actions = Vec::new();
    if !pod.is_finished() {
        let mut status = json!({"phase": "Failed"});
        if let Some(conditions) = why.and_then(|why| pod.with_condition(why)) {
            status["conditions"] = json!(conditions);
        }
        actions.push(Action::Patch {
            target: target.clone(),
            part: Some("status"),
            resource_version: pod.metadata.resource_version.clone(),
            patch: json!({"status": status}),
        });
    }
    if !pod.is_ending() || pod.metadata.deletion_grace_period_seconds != Some(0) {
        actions.push(at_once(target));
    }
    actions
}

fn at_once(target: Target) -> Action {
    Action::Delete {
        target,
        resource_version: None,
        grace_period_seconds: Some(0),
        propagation: None,
    }
}

/// Too many finished pods: the oldest go, evicted ones before others.
pub struct FinishedPods;

impl Controller for FinishedPods {
    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn keys(&self, _: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Pod(diff) if diff.new.as_ref().is_some_and(|pod| pod.is_finished()) => {
                vec![Key::default()]
            }
            _ => Vec::new(),
        }
    }

    fn gathers(&self, _: &Change) -> Duration {
        PERIOD
    }

    fn reconcile(&self, world: &World, _: &Key, _: Timestamp) -> Plan {
        let victims = surplus(world, FINISHED_MAX);
        let mut plan = Plan::default();
        if victims.len() > SWEEP_MAX {
            plan.again_in(PERIOD);
        }
        let delete = |pod: &&PodView| at_once(Target::of::<PodView>(&pod.metadata));
        let actions: Vec<Action> = victims.iter().take(SWEEP_MAX).map(delete).collect();
        if !actions.is_empty() {
            plan.actions.push(Action::Batch(actions));
        }
        plan
    }
}

fn surplus(world: &World, max: usize) -> Vec<&PodView> {
    let finished = world.pods.iter().map(AsRef::as_ref);
    let mut finished: Vec<&PodView> = finished
        .filter(|pod: &&PodView| pod.is_finished())
        .collect();
    let count = finished.len().saturating_sub(max);
    if count == 0 {
        return Vec::new();
    }
    finished.sort_by_key(|pod| {
        let evicted = pod.status.reason.as_deref() == Some("Evicted");
        (
            !evicted,
            pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
            key(&pod.metadata),
        )
    });
    finished.truncate(count);
    // A finalizer may hold some of them: they count, but are not asked again.
    finished
        .retain(|pod| !pod.is_ending() || pod.metadata.deletion_grace_period_seconds != Some(0));
    finished
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::controllers::world::News;
    use crate::controllers::world::heartbeats::Round;
    use serde_json::Value;

    fn pod(name: &str, more: &Value) -> Value {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a", "name": name, "uid": name}});
        json_patch::merge(&mut pod, more);
        pod
    }

    fn steps(plan: &Plan) -> Vec<String> {
        let step = |action: &Action| match action {
            Action::ConfirmGone(target) => format!("no {}", target.name),
            Action::Patch { patch, .. } => {
                patch["status"]["phase"].as_str().unwrap().to_owned()
                    + patch["status"]["conditions"][0]["reason"]
                        .as_str()
                        .unwrap_or_default()
            }
            Action::Delete {
                grace_period_seconds: Some(0),
                ..
            } => "delete".to_owned(),
            Action::Batch(all) => format!("{} at once", all.len()),
            other => panic!("{other:?}"),
        };
        plan.actions.iter().map(step).collect()
    }

    #[test]
    fn pods_without_a_kubelet_go() {
        let ending =
            json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30});
        let over =
            json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0});
        let down = json!({"taints": [{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]});
        let mut world = World::of(&[
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}),
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "down"}, "spec": down}),
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "up"}, "spec": down,
                "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
            pod("bound", &json!({"spec": {"nodeName": "n"}})),
            pod(
                "bound-ending",
                &json!({"metadata": ending, "spec": {"nodeName": "n"}}),
            ),
            pod("waiting", &json!({})),
            pod("waiting-ending", &json!({"metadata": ending})),
            pod(
                "held",
                &json!({"metadata": over, "status": {"phase": "Failed"}}),
            ),
            pod("orphan", &json!({"spec": {"nodeName": "lost"}})),
            pod(
                "orphan-done",
                &json!({"spec": {"nodeName": "lost"}, "status": {"phase": "Succeeded"}}),
            ),
            pod("off", &json!({"spec": {"nodeName": "down"}})),
            pod(
                "off-ending",
                &json!({"metadata": ending, "spec": {"nodeName": "down"}}),
            ),
            pod(
                "up-ending",
                &json!({"metadata": ending, "spec": {"nodeName": "up"}}),
            ),
        ]);
        let of = |world: &World, name: &str| {
            steps(&LostPods.reconcile(world, &("a".into(), name.into()), Timestamp::UNIX_EPOCH))
        };
        let nothing: &[&str] = &[];
        for (name, expected) in [
            ("bound", nothing),
            ("bound-ending", nothing),
            ("waiting", nothing),
            ("waiting-ending", &["Failed", "delete"]),
            ("held", nothing),
            ("orphan", nothing),
            ("off", nothing),
            ("off-ending", &["Failed", "delete"]),
            ("up-ending", nothing),
        ] {
            assert_eq!(of(&world, name), expected, "{name}");
        }
        for _ in 0..5 {
            world.take_in(News::Heartbeats(Round {
                elapsed: Duration::from_secs(10),
                ..Round::default()
            }));
        }
        assert_eq!(
            of(&world, "orphan"),
            ["no lost", "FailedDeletionByPodGC", "delete"]
        );
        assert_eq!(of(&world, "orphan-done"), ["no lost", "delete"]);
    }

    #[test]
    fn the_oldest_finished_pods_go_evicted_ones_first() {
        let done = |name: &str, day: u8, status: Value| {
            pod(
                name,
                &json!({"metadata": {"creationTimestamp": format!("2026-01-0{day}T00:00:00Z")}, "status": status}),
            )
        };
        let world = World::of(&[
            done("old", 1, json!({"phase": "Succeeded"})),
            done("new", 3, json!({"phase": "Failed"})),
            done(
                "evicted",
                4,
                json!({"phase": "Failed", "reason": "Evicted"}),
            ),
            done("runs", 1, json!({"phase": "Running"})),
        ]);
        let names = |max| {
            surplus(&world, max)
                .iter()
                .map(|p| p.metadata.name.clone().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(3), Vec::<String>::new());
        assert_eq!(names(1), ["evicted", "old"]);
        assert_eq!(
            steps(&FinishedPods.reconcile(&world, &Key::default(), Timestamp::UNIX_EPOCH)),
            Vec::<String>::new()
        );
    }
}
