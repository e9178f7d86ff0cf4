//! Pods that no Job will count any more are let go: their Job is gone or has ended, or they belong to nobody.

use super::pods;
use super::{is_ours, spec};
use crate::controllers::action::{Action, Plan, Target};
use crate::controllers::owners;
use crate::controllers::runner::Controller;
use crate::controllers::world::{Change, Key, PodView, World, controller, key};
use jiff::Timestamp;
use k8s_openapi::Resource;
use k8s_openapi::api::batch::v1::Job;

pub struct OrphanedPods;

impl Controller for OrphanedPods {
    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Pod(diff) => {
                let tracked = diff.new.iter().filter(|pod| pods::is_tracked(pod));
                tracked.map(|pod| key(&pod.metadata)).collect()
            }
            Change::Job(diff) => {
                let ended = diff.new.as_ref().is_none_or(|job| spec::end(job).is_some());
                let uid = diff.newest().and_then(|job| job.metadata.uid.as_deref());
                let pods = world.pods.owned_by(uid.unwrap_or_default());
                let tracked = pods.filter(|pod| ended && pods::is_tracked(pod));
                tracked.map(|pod| key(&pod.metadata)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _: Timestamp) -> Plan {
        let Some(pod) = world.pods.get(key).filter(|pod| pods::is_tracked(pod)) else {
            return Plan::default();
        };
        let mut actions = Vec::new();
        match controller(&pod.metadata) {
            Some(owner) if owner.kind != Job::KIND || owner.api_version != Job::API_VERSION => {
                return Plan::default();
            }
            Some(owner) => {
                let name = (key.0.clone(), owner.name.clone());
                let job = world.jobs.get(&name);
                match job.filter(|job| job.metadata.uid.as_ref() == Some(&owner.uid)) {
                    // Its Job counts it.
                    Some(job) if !is_ours(job) || spec::end(job).is_none() => {
                        return Plan::default();
                    }
                    Some(_) => {}
                    None => {
                        let target = Target {
                            uid: owner.uid.clone(),
                            ..Target::named::<Job>(&key.0, &owner.name)
                        };
                        actions.push(Action::ConfirmGone(target));
                    }
                }
            }
            // A Job that selects it will adopt it.
            None if world.jobs.in_namespace(&key.0).any(|job| adopts(job, pod)) => {
                return Plan::default();
            }
            None => {}
        }
        actions.push(let_go(pod));
        Plan::of(actions)
    }
}

fn adopts(job: &Job, pod: &PodView) -> bool {
    let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let selector = selector.and_then(owners::selector);
    is_ours(job)
        && spec::end(job).is_none()
        && job.metadata.deletion_timestamp.is_none()
        && !pod.is_ending()
        && selector.is_some_and(|s| !s.is_empty() && s.matches(pod.labels()))
}

/// Takes the Job's finalizer from the pod, and nobody else's.
pub fn let_go(pod: &PodView) -> Action {
    let mut finalizers = pod.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != pods::FINALIZER);
    Action::Patch {
        target: Target::of::<PodView>(&pod.metadata),
        part: None,
        resource_version: pod.metadata.resource_version.clone(),
        patch: serde_json::json!({"metadata": {"finalizers": finalizers}}),
    }
}
