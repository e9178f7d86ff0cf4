//! ReplicaSet and ReplicationController: a number of like pods. One implementation for both, since they are one idea in
//! two API versions. <https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/>
//!
//! What comes in: the owner, the pods of its namespace, the time. What goes out: adoptions and releases, pods made from
//! the template, deletions of those that matter least, the status. Invariants: pods are counted by what is, never by
//! what was asked for; an owner that is being deleted makes and removes nothing. It never knows about Deployments,
//! except that sets of one owner spread over nodes together.

mod kind;
mod pods;
mod rank;
mod status;
#[cfg(test)]
mod tests;

pub use kind::{Controllers, Replicated, Sets};
pub use pods::remove;

use super::action::{Action, Plan, Target};
use super::owners;
use super::runner::Controller;
use super::world::{Change, Diff, Key, PodView, World, controller};
use jiff::Timestamp;
use std::marker::PhantomData;
use std::sync::Arc;

/// Pods made or deleted in one plan (upstream's burst); what is left comes with the next.
const BURST_MAX: usize = 500;

/// The controller of one of the two kinds.
pub struct Replicas<K>(pub PhantomData<fn() -> K>);

impl<K> Replicas<K> {
    pub fn new() -> Replicas<K> {
        Replicas(PhantomData)
    }
}

impl<K: Replicated> Controller for Replicas<K> {
    fn name(&self) -> &'static str {
        K::CONTROLLER
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Pod(diff) => of_pod::<K>(world, diff),
            other => K::changed(other).into_iter().collect(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        match K::table(world).get(key) {
            Some(object) => reconcile::<K>(world, object, now),
            None => Plan::default(),
        }
    }
}

/// The pod's owner; of a pod without one, everybody who could adopt it.
fn of_pod<K: Replicated>(world: &World, diff: &Diff<PodView>) -> Vec<Key> {
    let mut keys = diff.controllers(K::KIND);
    let Some(pod) = &diff.new else { return keys };
    if controller(&pod.metadata).is_some() {
        return keys;
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    for object in K::table(world).in_namespace(namespace) {
        let fits = owners::selector(&object.selector());
        if fits.is_some_and(|s| !s.is_empty() && s.matches(pod.labels())) {
            keys.push(super::world::key(object.metadata()));
        }
    }
    keys
}

fn reconcile<K: Replicated>(world: &World, object: &Arc<K>, now: Timestamp) -> Plan {
    let set = K::view(object);
    let spec = &set.spec;
    let Some(selector) = owners::selector(&spec.selector) else {
        return Plan::default();
    };
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let candidates = world.pods.in_namespace(namespace);
    let claim = owners::claim(
        object.as_ref(),
        &selector,
        candidates.filter(|pod| !pod.is_finished()),
    );
    if !claim.actions.is_empty() {
        // Their answers bring the next look, which then counts right.
        return Plan::of(claim.actions);
    }
    let (active, ending): (Vec<_>, Vec<_>) =
        claim.owned.into_iter().partition(|pod| pod.is_active());
    let target = Target::of::<K>(&set.metadata);
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    let is_ending = set.metadata.deletion_timestamp.is_some();
    let work = match wanted.cmp(&active.len()) {
        _ if is_ending => Work::Nothing,
        std::cmp::Ordering::Greater => Work::Make((wanted - active.len()).min(BURST_MAX)),
        std::cmp::Ordering::Less => Work::Remove((active.len() - wanted).min(BURST_MAX)),
        std::cmp::Ordering::Equal => Work::Nothing,
    };

    let mut plan = Plan::default();
    let was = set.status.clone().unwrap_or_default();
    let is = status::of(
        &set,
        &active,
        K::COUNTS_ENDING.then_some(ending.len()),
        work == Work::Nothing,
        now,
        &mut plan,
    );
    // While pods come and go, each of them brings another look; only a set that cannot go on tells how far it came.
    let is_stuck = status::failure(&was).is_some();
    if status::differ(&was, &is) && (work == Work::Nothing || is_stuck) {
        plan.actions.push(Action::SetStatus {
            target: target.clone(),
            resource_version: set.metadata.resource_version.clone(),
            status: serde_json::json!(is),
        });
    }
    let (steps, reason) = match work {
        Work::Nothing => return plan,
        Work::Make(count) => (pods::make::<K>(&set, &target, count), "FailedCreate"),
        Work::Remove(count) => {
            let related = related(world, &set.metadata, &active);
            let chosen = rank::first_to_go(active, &related, count, now);
            (pods::remove(&target, &chosen), "FailedDelete")
        }
    };
    let mut failed = Vec::new();
    if !is_stuck {
        failed.push(status::tell_failure(&target, &is, reason, now));
    }
    plan.actions.push(Action::Report {
        action: Box::new(Action::Batch(steps)),
        done: Vec::new(),
        failed,
    });
    plan
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Nothing,
    Make(usize),
    Remove(usize),
}

/// Active pods of all sets of the same owner: they are spread over nodes together.
fn related(
    world: &World,
    meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    own: &[Arc<PodView>],
) -> Vec<Arc<PodView>> {
    let Some(owner) = controller(meta) else {
        return own.to_vec();
    };
    let siblings = world.replica_sets.owned_by(&owner.uid);
    let uids = siblings.filter_map(|set| set.metadata.uid.as_deref());
    uids.flat_map(|uid| world.pods.owned_by(uid))
        .filter(|pod| pod.is_active())
        .cloned()
        .collect()
}
