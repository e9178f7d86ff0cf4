//! DaemonSets: a pod on every node that is meant.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/>
//!
//! What comes in: a DaemonSet, the nodes, its pods and revisions, the time. What goes out: pods bound to their nodes by
//! affinity, deletions, the status, revisions. Invariants: on a node there is one pod, or during an update with surge
//! an old and a new one; a pod that failed is replaced after a back-off that its successor carries on. It never places a
//! pod itself: the scheduler does.

mod manage;
mod nodes;
mod pods;
mod rolling;
mod status;
#[cfg(test)]
mod tests;

use super::action::{Action, Plan, Target};
use super::owners;
use super::revisions::{self, LABEL, Newest};
use super::runner::Controller;
use super::world::{Change, Key, World, controller, key};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use std::sync::Arc;

pub struct DaemonSets;

impl Controller for DaemonSets {
    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::DaemonSet(diff) => diff.key().into_iter().collect(),
            Change::Pod(diff) => {
                let mut keys = diff.controllers("DaemonSet");
                if let Some(pod) = &diff.new
                    && controller(&pod.metadata).is_none()
                {
                    keys.extend(adopters(world, &pod.metadata));
                }
                keys
            }
            Change::Revision(diff) => {
                let mut keys = diff.controllers("DaemonSet");
                if let Some(revision) = &diff.new
                    && controller(&revision.metadata).is_none()
                {
                    keys.extend(adopters(world, &revision.metadata));
                }
                keys
            }
            Change::Node(diff) => {
                if let (Some(old), Some(new)) = (&diff.old, &diff.new)
                    && is_alike(old, new)
                {
                    return Vec::new();
                }
                world
                    .daemon_sets
                    .iter()
                    .map(|set| key(&set.metadata))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        match world.daemon_sets.get(key) {
            Some(set) => reconcile(world, set, now),
            None => Plan::default(),
        }
    }
}

/// The same to every DaemonSet: heartbeats change nothing.
fn is_alike(old: &Node, new: &Node) -> bool {
    let taints = |node: &Node| node.spec.as_ref().and_then(|s| s.taints.clone());
    owners::labels(&old.metadata) == owners::labels(&new.metadata) && taints(old) == taints(new)
}

fn adopters(world: &World, object: &ObjectMeta) -> Vec<Key> {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let sets = world.daemon_sets.in_namespace(namespace);
    sets.filter(|set| {
        owners::selector(&set.spec.selector)
            .is_some_and(|s| !s.is_empty() && s.matches(owners::labels(object)))
    })
    .map(|set| key(&set.metadata))
    .collect()
}

fn reconcile(world: &World, set: &Arc<DaemonSet>, now: Timestamp) -> Plan {
    let Some(selector) = owners::selector(&set.spec.selector) else {
        return Plan::default();
    };
    let owned = owners::claim_pods(world, set.as_ref(), &selector);
    let history = revisions::claim(world, set.as_ref(), &selector);
    let mut actions = owned.actions;
    actions.extend(history.actions);
    if !actions.is_empty() {
        return Plan::of(actions);
    }
    if set.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    let target = Target::of::<DaemonSet>(&set.metadata);
    let old = set.status.clone().unwrap_or_default();
    let newest = revisions::newest::<DaemonSet>(
        world,
        &set.metadata,
        &set.spec.template,
        old.collision_count,
        &history.owned,
        LABEL,
    );
    let newest = match newest {
        Newest::Is(revision) => revision,
        Newest::Wait => return Plan::default(),
        Newest::Do(action) => return Plan::of(vec![action]),
        Newest::Collides(count) => {
            return Plan::of(vec![Action::Patch {
                target,
                part: Some("status"),
                resource_version: None,
                patch: json!({"status": {"collisionCount": count}}),
            }]);
        }
    };
    let hash = owners::labels(&newest.metadata).get(LABEL);
    let hash = hash.map(String::as_str).unwrap_or_default();
    let places = nodes::places(world, set, &owned.owned);
    let mut plan = Plan::default();
    let is = status::of(set, &places, hash, now, &mut plan);
    if status::differ(&old, &is) {
        plan.actions.push(Action::SetStatus {
            target,
            resource_version: set.metadata.resource_version.clone(),
            status: json!(is),
        });
    }
    let work = manage::manage(set, &places, hash, now, &mut plan);
    let work = if work.is_empty() && rolling::is_rolling(set) {
        rolling::update(set, &places, hash, now)
    } else {
        work
    };
    plan.actions.extend(work.actions(set, hash));
    plan.actions
        .extend(forget(set, &places, &history.owned, &newest));
    plan
}

/// Deletes revisions that no pod is of.
fn forget(
    set: &DaemonSet,
    places: &nodes::Places,
    history: &[Arc<ControllerRevision>],
    newest: &Arc<ControllerRevision>,
) -> Vec<Action> {
    let is_live = |revision: &ControllerRevision| {
        let hash = owners::labels(&revision.metadata).get(LABEL);
        hash.is_some_and(|hash| {
            places
                .pods()
                .any(|pod| pod.labels().get(LABEL) == Some(hash))
        })
    };
    let is_old = |r: &&Arc<ControllerRevision>| !Arc::ptr_eq(r, newest);
    let old: Vec<_> = history.iter().filter(is_old).collect();
    revisions::superfluous(&old, set.spec.revision_history_limit, is_live)
}
