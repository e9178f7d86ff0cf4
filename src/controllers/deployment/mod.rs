//! Deployments: versions of a pod template, each a ReplicaSet, and the way from one to the next.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/>
//!
//! What comes in: the Deployment, its ReplicaSets, their pods (only whether any is left), the time. What goes out: a
//! new ReplicaSet, sizes and annotations of all of them, the oldest's deletion, the status. Invariants: a plan writes
//! each set once at most; a template that was there before is found again by equality, whatever its hash. It never
//! makes or deletes pods.

mod conditions;
mod create;
mod plan;
mod revisions;
mod rolling;
mod scaling;
mod sets;
mod status;
mod template;
#[cfg(test)]
mod tests;

pub use conditions::seconds;
pub use sets::share;
pub use template::hash;

use super::action::{Action, Plan, Target};
use super::owners;
use super::runner::Controller;
use super::world::{Change, Key, World, controller, key};
use crate::client::recorder::Kind;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;

pub struct Deployments;

impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Deployment(diff) => diff.key().into_iter().collect(),
            Change::ReplicaSet(diff) => {
                let mut keys = diff.controllers("Deployment");
                if let Some(set) = &diff.new
                    && controller(&set.metadata).is_none()
                {
                    keys.extend(adopters(world, set));
                }
                // Another's set may stand where a new one's name is wanted.
                keys
            }
            // Recreate waits for the last pod to be gone.
            Change::Pod(diff) => {
                let left = diff.new.as_ref().is_some_and(|pod| !pod.is_finished());
                if left {
                    return Vec::new();
                }
                let sets = diff.controllers("ReplicaSet");
                let sets = sets.iter().filter_map(|key| world.replica_sets.get(key));
                sets.filter_map(|set| {
                    let owner = controller(&set.metadata).filter(|o| o.kind == "Deployment")?;
                    Some((key(&set.metadata).0, owner.name.clone()))
                })
                .collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        match world.deployments.get(key) {
            Some(deployment) => reconcile(world, &deployment.whole(), now),
            None => Plan::default(),
        }
    }
}

/// Deployments that could adopt the set.
fn adopters(world: &World, set: &ReplicaSet) -> Vec<Key> {
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let all = world.deployments.in_namespace(namespace);
    all.filter(|deployment| {
        owners::selector(&deployment.spec.selector)
            .is_some_and(|s| !s.is_empty() && s.matches(owners::labels(&set.metadata)))
    })
    .map(|deployment| key(&deployment.metadata))
    .collect()
}

fn reconcile(world: &World, deployment: &Deployment, now: Timestamp) -> Plan {
    let spec = &deployment.spec;
    let Some(selector) = owners::selector(&spec.selector) else {
        return Plan::default();
    };
    if spec.selector == LabelSelector::default() || selector.is_empty() {
        return selects_all(deployment);
    }
    let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
    let claim = owners::claim(
        deployment,
        &selector,
        world.replica_sets.in_namespace(namespace),
    );
    if !claim.actions.is_empty() {
        return Plan::of(claim.actions);
    }
    plan::plan(world, deployment, spec, claim.owned, now)
}

/// It would take every set there is: it is told so, once per generation.
fn selects_all(deployment: &Deployment) -> Plan {
    let status = deployment.status.clone().unwrap_or_default();
    let generation = deployment.metadata.generation;
    if status.observed_generation >= generation {
        return Plan::default();
    }
    let target = Target::of::<Deployment>(&deployment.metadata);
    Plan::of(vec![
        Action::tell(
            &target,
            Kind::Warning,
            "SelectingAll",
            "This deployment is selecting all pods. A non-empty selector is required.".to_owned(),
        ),
        Action::Patch {
            target,
            part: Some("status"),
            resource_version: None,
            patch: json!({"status": {"observedGeneration": generation}}),
        },
    ])
}
