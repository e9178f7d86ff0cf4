//! StatefulSets: pods with names, storage and an order that stay.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/>
//!
//! What comes in: a StatefulSet, its pods, claims and revisions, the time. What goes out: pods and claims, owners of
//! claims (their retention), the status, revisions. Invariants: never two pods of one ordinal, since a pod's name is
//! its ordinal's; in order, nothing is begun before all that stands before it is available; a set that is being deleted
//! makes and removes nothing. It never deletes a claim: the garbage collector does, once its owner is gone.

mod claims;
mod identity;
mod plan;
mod pods;
mod status;
#[cfg(test)]
mod tests;
mod update;

use super::action::Plan;
use super::owners;
use super::revisions;
use super::runner::Controller;
use super::world::{Change, Key, PodView, World, controller, key};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::sync::Arc;

pub struct StatefulSets;

impl Controller for StatefulSets {
    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::StatefulSet(diff) => diff.key().into_iter().collect(),
            Change::Pod(diff) => {
                let mut keys = diff.controllers("StatefulSet");
                // Whosever pod it is or was, it stands where one of the set's would.
                let named = diff.newest().and_then(|pod| set_of(world, &pod.metadata));
                keys.extend(named);
                keys
            }
            Change::Revision(diff) => {
                let mut keys = diff.controllers("StatefulSet");
                if let Some(revision) = &diff.new
                    && controller(&revision.metadata).is_none()
                {
                    keys.extend(adopters(world, &revision.metadata));
                }
                keys
            }
            Change::Claim(diff) => {
                let claim = diff.newest();
                claim.map_or_else(Vec::new, |c| users(world, &c.metadata))
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        match world.stateful_sets.get(key) {
            Some(set) => reconcile(world, set, now),
            None => Plan::default(),
        }
    }
}

/// The set that a pod of this name would be of.
fn set_of(world: &World, pod: &ObjectMeta) -> Option<Key> {
    let (namespace, name) = key(pod);
    let (set, _) = identity::split(&name)?;
    let key = (namespace, set.to_owned());
    world.stateful_sets.get(&key).map(|_| key)
}

fn adopters(world: &World, revision: &ObjectMeta) -> Vec<Key> {
    let namespace = revision.namespace.as_deref().unwrap_or_default();
    let sets = world.stateful_sets.in_namespace(namespace);
    sets.filter(|set| {
        owners::selector(&set.spec.selector)
            .is_some_and(|s| !s.is_empty() && s.matches(owners::labels(revision)))
    })
    .map(|set| key(&set.metadata))
    .collect()
}

/// Sets one of whose pods uses a claim of this name.
fn users(world: &World, claim: &ObjectMeta) -> Vec<Key> {
    let (namespace, name) = key(claim);
    let Some((front, _)) = identity::split(&name) else {
        return Vec::new();
    };
    let sets = world.stateful_sets.in_namespace(&namespace);
    sets.filter(|set| {
        let own = set.metadata.name.as_deref().unwrap_or_default();
        claims::templates(set).iter().any(|template| {
            let its = template.metadata.name.as_deref().unwrap_or_default();
            front.strip_prefix(its).and_then(|f| f.strip_prefix('-')) == Some(own)
        })
    })
    .map(|set| key(&set.metadata))
    .collect()
}

fn reconcile(world: &World, set: &Arc<StatefulSet>, now: Timestamp) -> Plan {
    let Some(selector) = owners::selector(&set.spec.selector) else {
        return Plan::default();
    };
    let name = set.metadata.name.as_deref().unwrap_or_default();
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let is_member = |pod: &Arc<PodView>| identity::ordinal(name, &pod.metadata).is_some();
    let candidates = world.pods.in_namespace(namespace);
    let members = candidates.filter(|pod| is_member(pod));
    let pods = owners::claim(set.as_ref(), &selector, members);
    let history = revisions::claim(world, set.as_ref(), &selector);
    let mut actions = pods.actions;
    actions.extend(history.actions);
    if set.metadata.deletion_timestamp.is_none() {
        actions.extend(strangers(world, &set.metadata, is_member));
    }
    if !actions.is_empty() {
        return Plan::of(actions);
    }
    plan::plan(world, set, &pods.owned, &history.owned, now)
}

/// Lets go of pods that bear another's name.
fn strangers<'a>(
    world: &'a World,
    set: &'a ObjectMeta,
    is_member: impl Fn(&Arc<PodView>) -> bool + 'a,
) -> impl Iterator<Item = super::action::Action> + 'a {
    let uid = set.uid.as_deref().unwrap_or_default();
    world
        .pods
        .owned_by(uid)
        .filter(move |pod| !is_member(pod))
        .map(move |pod| owners::release::<PodView>(&pod.metadata, uid))
}

/// Where the set's ordinals begin, and how many there are.
fn ordinals(set: &StatefulSet) -> (i32, i32) {
    let start = set.spec.ordinals.as_ref().and_then(|o| o.start);
    (start.unwrap_or(0), set.spec.replicas.unwrap_or(1).max(0))
}

fn is_in_range(set: &StatefulSet, ordinal: i32) -> bool {
    let (start, count) = ordinals(set);
    ordinal >= start && ordinal < start.saturating_add(count)
}
