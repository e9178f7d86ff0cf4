//! Jobs: pods that run to their end, as many and as often as asked for, each counted once.
//!
//! What comes in: Jobs, and their pods. What goes out: pods made and deleted, the Job's status, the finalizer of pods
//! that have been counted. Invariants: the status is written before the pods it rests on are let go; what upstream
//! keeps in memory (back-off) is read from the pods. It never knows when a pod runs or where.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/>

#[cfg(test)]
mod counting_tests;
mod failure_policy;
mod indexes;
mod moves;
mod orphans;
mod pods;
#[cfg(test)]
mod policy_tests;
mod spec;
mod status;
mod success_policy;
mod template;
#[cfg(test)]
mod tests;
mod verdict;
mod view;

pub use orphans::OrphanedPods;
pub use spec::end;

use super::action::{Action, ERROR, Plan, Target};
use super::clock;
use super::owners::{self, Claim};
use super::runner::Controller;
use super::world::{Change, Key, PodView, World, controller, key};
use crate::client::recorder::Kind;
use jiff::Timestamp;
use k8s_openapi::Resource;
use k8s_openapi::api::batch::v1::Job;
use serde_json::json;
use spec::Spec;
use std::time::Duration;
use view::View;

/// News of running pods is gathered this long (upstream's `SyncJobBatchPeriod`): fifty pods that get ready one after
/// the other are a few writes of the status, not fifty.
const GATHER: Duration = Duration::from_secs(1);

pub struct Jobs;

/// This controller looks after it.
fn is_ours(job: &Job) -> bool {
    !spec::is_managed_elsewhere(job)
}

impl Controller for Jobs {
    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Job(diff) => diff.key().into_iter().collect(),
            Change::Pod(diff) => {
                let mut keys = diff.controllers(Job::KIND);
                if let Some(pod) = diff.new.as_ref()
                    && controller(&pod.metadata).is_none()
                {
                    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
                    let all = world.jobs.in_namespace(namespace);
                    keys.extend(
                        all.filter(|job| selects(job, pod))
                            .map(|j| key(&j.metadata)),
                    );
                }
                keys
            }
            _ => Vec::new(),
        }
    }

    fn gathers(&self, change: &Change) -> Duration {
        match change {
            Change::Pod(diff) => match (&diff.old, &diff.new) {
                // Made or let go by ourselves: the next step is due.
                (None, _) => Duration::ZERO,
                (Some(old), Some(new)) if pods::is_tracked(old) != pods::is_tracked(new) => {
                    Duration::ZERO
                }
                _ => GATHER,
            },
            _ => Duration::ZERO,
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let Some(job) = world.jobs.get(key) else {
            return Plan::default();
        };
        if !is_ours(job) || end(job).is_some() {
            return Plan::default();
        }
        let spec = Spec::of(job);
        let selector = spec.fields.selector.as_ref().and_then(owners::selector);
        let Some(selector) = selector else {
            return Plan::default();
        };
        let mut claim = owners::claim_pods(world, job.as_ref(), &selector);
        for action in &mut claim.actions {
            track(world, job, action);
        }
        decide(job, claim, is_leaving(world, key), now)
    }
}

fn selects(job: &Job, pod: &PodView) -> bool {
    let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let selector = selector.and_then(owners::selector);
    selector.is_some_and(|s| !s.is_empty() && s.matches(pod.labels()))
}

/// The Job's namespace is on its way out.
fn is_leaving(world: &World, (namespace, _): &Key) -> bool {
    let found = world.namespaces.get(&(String::new(), namespace.clone()));
    found.is_some_and(|namespace| super::namespace::is_terminating(namespace))
}

fn decide(job: &Job, claim: Claim<PodView>, is_leaving: bool, now: Timestamp) -> Plan {
    let mut plan = Plan::of(claim.actions);
    let mut view = View::of(Spec::of(job), &claim.owned, now);
    let is_ending = is_leaving || view.spec.is_ending();
    if is_ending {
        // Their successors will never come; held, they would hold whoever waits for their end.
        view.held.clear();
    }
    let mut over = verdict::verdict(&view);
    let mut moves = moves::Moves::default();
    if over.is_some() {
        // They are counted before they are let go: the finalizer stays.
        moves.delete.clone_from(&view.active);
    } else if !is_ending {
        moves = moves::moves(&view);
    }
    let keeps_finalizer = over.is_some();
    if over.is_none() {
        over = verdict::completion(&view, !moves.is_empty());
    }
    let next = status::next(&view, over.as_ref());
    if let Some(at) = view.deadline().filter(|_| over.is_none()) {
        clock::look_at(&mut plan, at, now);
    }
    if let Some(at) = moves.again {
        clock::look_at(&mut plan, at, now);
    }
    let actions = &mut plan.actions;
    write(job, &next, actions);
    batch(next.free.iter().map(|pod| orphans::let_go(pod)), actions);
    delete(job, &moves.delete, keeps_finalizer, actions);
    let created = moves.create.iter();
    batch(
        created.map(|pod| template::create(&view.spec, pod)),
        actions,
    );
    plan
}

/// Adopted pods are tracked from then on, those that are released are not.
fn track(world: &World, job: &Job, action: &mut Action) {
    let Action::Patch { target, patch, .. } = action else {
        return;
    };
    let Some(pod) = world.pods.get(&target.key()) else {
        return;
    };
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    let owners = patch["metadata"]["ownerReferences"].as_array();
    let is_adopted = owners.is_some_and(|all| all.iter().any(|o| o["uid"] == uid));
    let mut finalizers = pod.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != pods::FINALIZER);
    if is_adopted {
        finalizers.push(pods::FINALIZER.to_owned());
    }
    patch["metadata"]["finalizers"] = json!(finalizers);
}

fn write(job: &Job, next: &status::Next<'_>, actions: &mut Vec<Action>) {
    if job.status.as_ref() == Some(&next.status) {
        return;
    }
    let target = Target::of::<Job>(&job.metadata);
    actions.push(Action::SetStatus {
        target: target.clone(),
        resource_version: job.metadata.resource_version.clone(),
        status: json!(next.status),
    });
    if let Some(reason) = next.turned {
        let message = format!("Job {}", reason.to_lowercase());
        actions.push(Action::tell(&target, Kind::Normal, reason, message));
    }
    let Some(ended) = &next.ended else {
        return;
    };
    let wanted = job.spec.as_ref().and_then(|spec| spec.completions);
    if ended.type_ == "Complete" {
        if wanted.is_some_and(|wanted| next.status.succeeded > Some(wanted)) {
            let message = "Too many succeeded pods running after completion count reached";
            let reason = "TooManySucceededPods";
            actions.push(Action::tell(
                &target,
                Kind::Warning,
                reason,
                message.to_owned(),
            ));
        }
        let message = "Job completed".to_owned();
        actions.push(Action::tell(&target, Kind::Normal, "Completed", message));
    } else {
        let message = ended.message.clone().unwrap_or_default();
        let reason = reason(ended.reason.as_deref().unwrap_or_default());
        actions.push(Action::tell(&target, Kind::Warning, reason, message));
    }
}

/// A failure's reason; those of later versions are told by the condition.
fn reason(text: &str) -> &'static str {
    const ALL: [&str; 5] = [
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "PodFailurePolicy",
        "FailedIndexes",
        "MaxFailedIndexesExceeded",
    ];
    ALL.into_iter().find(|r| *r == text).unwrap_or("Failed")
}

fn delete(job: &Job, pods: &[&PodView], keeps_finalizer: bool, actions: &mut Vec<Action>) {
    let about = Target::of::<Job>(&job.metadata);
    let deletions = pods.iter().map(|pod| {
        let name = pods::name(pod);
        let (done, failed) = (
            format!("Deleted pod: {name}"),
            format!("Error deleting: {ERROR}"),
        );
        let delete = Action::Report {
            action: Box::new(Action::Delete {
                target: Target::of::<PodView>(&pod.metadata),
                resource_version: None,
                grace_period_seconds: None,
                propagation: None,
            }),
            done: vec![Action::tell(&about, Kind::Normal, "SuccessfulDelete", done)],
            failed: vec![Action::tell(&about, Kind::Warning, "FailedDelete", failed)],
        };
        if keeps_finalizer || !pods::is_tracked(pod) {
            return delete;
        }
        // It does not count: let go first, so that a crash in between leaves nothing to count.
        Action::Report {
            action: Box::new(orphans::let_go(pod)),
            done: vec![delete],
            failed: Vec::new(),
        }
    });
    batch(deletions, actions);
}

fn batch(all: impl IntoIterator<Item = Action>, actions: &mut Vec<Action>) {
    let all: Vec<Action> = all.into_iter().collect();
    if !all.is_empty() {
        actions.push(Action::Batch(all));
    }
}
