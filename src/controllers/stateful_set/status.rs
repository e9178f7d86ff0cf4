//! What a StatefulSet tells of its pods.

use super::{ordinals, pods};
use crate::controllers::action::Plan;
use crate::controllers::revisions;
use crate::controllers::world::PodView;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus};
use std::sync::Arc;

/// How many of the pods are so.
fn count(pods: &[Arc<PodView>], is_so: impl Fn(&PodView) -> bool) -> i32 {
    let those = pods.iter().filter(|pod| is_so(pod)).count();
    i32::try_from(those).unwrap_or(i32::MAX)
}

/// The status as it should be. Pods that become available later have `plan` look again.
pub fn of(
    set: &StatefulSet,
    all: &[Arc<PodView>],
    current: &ControllerRevision,
    update: &ControllerRevision,
    now: Timestamp,
    plan: &mut Plan,
) -> StatefulSetStatus {
    let old = set.status.clone().unwrap_or_default();
    let wait = set.spec.min_ready_seconds.unwrap_or(0);
    let is_available = |pod: &PodView| pods::is_ready(pod) && pod.available(wait, now).is_ok();
    for pod in all.iter().filter(|pod| pods::is_ready(pod)) {
        if let Err(Some(at)) = pod.available(wait, now) {
            crate::controllers::clock::look_at(plan, at, now);
        }
    }
    let of = |revision: &ControllerRevision| {
        let name = revisions::name(revision);
        count(all, |p| !p.is_ending() && pods::revision(p) == name)
    };
    let mut status = StatefulSetStatus {
        available_replicas: Some(count(all, is_available)),
        collision_count: Some(old.collision_count.unwrap_or(0)),
        conditions: old.conditions,
        current_replicas: Some(of(current)),
        current_revision: Some(revisions::name(current).to_owned()),
        observed_generation: set.metadata.generation,
        ready_replicas: Some(count(all, pods::is_ready)),
        replicas: count(all, |_| true),
        update_revision: Some(revisions::name(update).to_owned()),
        updated_replicas: Some(of(update)),
    };
    if is_complete(set, &status) {
        status.current_replicas = status.updated_replicas;
        status.current_revision = status.update_revision.clone();
    }
    status
}

/// Every pod is of the newest template and ready: what comes next starts from there.
fn is_complete(set: &StatefulSet, status: &StatefulSetStatus) -> bool {
    let (_, wanted) = ordinals(set);
    super::update::is_rolling(set)
        && status.replicas == wanted
        && status.updated_replicas == Some(wanted)
        && status.ready_replicas == Some(wanted)
}

/// Whether they say different things: zero and absent are the same.
pub fn differ(a: &StatefulSetStatus, b: &StatefulSetStatus) -> bool {
    let plain = |status: &StatefulSetStatus| {
        let some = |n: Option<i32>| n.filter(|n| *n != 0);
        StatefulSetStatus {
            available_replicas: some(status.available_replicas),
            collision_count: some(status.collision_count),
            conditions: status.conditions.clone().filter(|c| !c.is_empty()),
            current_replicas: some(status.current_replicas),
            current_revision: status.current_revision.clone(),
            observed_generation: status.observed_generation,
            ready_replicas: some(status.ready_replicas),
            replicas: status.replicas,
            update_revision: status.update_revision.clone(),
            updated_replicas: some(status.updated_replicas),
        }
    };
    plain(a) != plain(b)
}
