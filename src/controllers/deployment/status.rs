//! What a Deployment tells: counts, and how far its rollout is.

use super::conditions::{self, Conditions};
use super::sets::{Sets, Shape, sum};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus, ReplicaSetCondition,
};

/// How long a rollout may stand still; `None`: for ever.
pub fn deadline(spec: &DeploymentSpec) -> Option<SignedDuration> {
    let seconds = spec.progress_deadline_seconds?;
    (seconds != i32::MAX).then(|| SignedDuration::from_secs(seconds.into()))
}

/// Counts and availability; `conditions` are those it had, with what this plan has changed of them.
pub fn counted(
    deployment: &Deployment,
    sets: &Sets,
    shape: &Shape,
    mut conditions: Conditions,
    now: Timestamp,
) -> DeploymentStatus {
    let old = deployment.status.clone().unwrap_or_default();
    let available = sets.available();
    let (status, reason, text) = if available >= shape.min_available() {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    let condition = conditions::new(conditions::AVAILABLE, status, reason, text.to_owned(), now);
    conditions::set(&mut conditions, condition);
    let some = |n: i32| Some(n).filter(|n| *n != 0);
    DeploymentStatus {
        available_replicas: some(available),
        collision_count: old.collision_count,
        conditions: Some(conditions),
        observed_generation: deployment.metadata.generation,
        ready_replicas: some(sum(sets.iter().filter_map(|s| s.status().ready_replicas))),
        replicas: some(sum(sets.iter().map(|s| s.status().replicas))),
        terminating_replicas: sets
            .iter()
            .filter_map(|s| s.status().terminating_replicas)
            .reduce(i32::saturating_add),
        unavailable_replicas: some((sets.size() - available).max(0)),
        updated_replicas: some(sets.new.as_ref().map_or(0, |new| new.status().replicas)),
    }
}

/// All replicas are of the new template and available.
pub fn is_complete(deployment: &Deployment, shape: &Shape, status: &DeploymentStatus) -> bool {
    let is_all = |count: Option<i32>| count.unwrap_or(0) == shape.replicas;
    is_all(status.updated_replicas)
        && is_all(status.replicas)
        && is_all(status.available_replicas)
        && status.observed_generation >= deployment.metadata.generation
}

fn is_progress(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let count = |n: Option<i32>| n.unwrap_or(0);
    let outdated = |s: &DeploymentStatus| count(s.replicas) - count(s.updated_replicas);
    count(new.updated_replicas) > count(old.updated_replicas)
        || outdated(new) < outdated(old)
        || count(new.ready_replicas) > count(old.ready_replicas)
        || count(new.available_replicas) > count(old.available_replicas)
}

/// When the rollout has stood still for too long; `None`: it has said so, or stands still for a good reason.
pub fn due(spec: &DeploymentSpec, conditions: &Conditions) -> Option<Timestamp> {
    let condition = conditions::get(conditions, conditions::PROGRESSING)?;
    let reason = condition.reason.as_deref().unwrap_or_default();
    if [conditions::COMPLETE, conditions::TIMED_OUT].contains(&reason) {
        return None;
    }
    let since = condition.last_update_time.as_ref()?.0;
    since.checked_add(deadline(spec)?).ok()
}

/// The Progressing and ReplicaFailure conditions of a rollout, into `status`.
pub fn roll_out(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    sets: &Sets,
    shape: &Shape,
    status: &mut DeploymentStatus,
    now: Timestamp,
) {
    let mut list = status.conditions.take().unwrap_or_default();
    let what = if let Some(new) = &sets.new {
        format!("ReplicaSet {:?}", new.name())
    } else {
        let name = deployment.metadata.name.as_deref().unwrap_or_default();
        format!("Deployment {name:?}")
    };
    let kind = conditions::PROGRESSING;
    let was_complete = status.replicas == status.updated_replicas
        && conditions::get(&list, kind)
            .is_some_and(|c| c.reason.as_deref() == Some(conditions::COMPLETE));
    let old = deployment.status.clone().unwrap_or_default();
    if deadline(spec).is_none() {
        conditions::remove(&mut list, kind);
    } else if was_complete {
        // It stays complete, whatever its pods do later.
    } else if is_complete(deployment, shape, status) {
        let message = format!("{what} has successfully progressed.");
        let condition = conditions::new(kind, "True", conditions::COMPLETE, message, now);
        conditions::set(&mut list, condition);
    } else if is_progress(&old, status) {
        let message = format!("{what} is progressing.");
        let condition = conditions::new(kind, "True", conditions::UPDATED, message, now);
        conditions::renew(&mut list, condition);
    } else if due(spec, &list).is_some_and(|at| at < now) {
        let message = format!("{what} has timed out progressing.");
        let condition = conditions::new(kind, "False", conditions::TIMED_OUT, message, now);
        conditions::set(&mut list, condition);
    }
    match failure(sets) {
        Some(condition) => conditions::set(&mut list, condition),
        None => conditions::remove(&mut list, conditions::FAILURE),
    }
    status.conditions = Some(list);
}

/// The new set's failure counts more than that of others.
fn failure(sets: &Sets) -> Option<DeploymentCondition> {
    let all = sets.new.iter().chain(&sets.old);
    let mut conditions = all.flat_map(|s| s.status().conditions.unwrap_or_default());
    let condition = conditions.find(|c| c.type_.as_deref() == Some(conditions::FAILURE))?;
    let ReplicaSetCondition {
        last_transition_time,
        message,
        reason,
        status,
        type_,
    } = condition;
    Some(DeploymentCondition {
        last_update_time: last_transition_time.clone(),
        last_transition_time,
        message,
        reason,
        status,
        type_,
    })
}

/// Whether they say different things: zero and absent are the same.
pub fn differ(a: &DeploymentStatus, b: &DeploymentStatus) -> bool {
    let plain = |status: &DeploymentStatus| {
        let some = |n: Option<i32>| n.filter(|n| *n != 0);
        DeploymentStatus {
            available_replicas: some(status.available_replicas),
            collision_count: some(status.collision_count),
            conditions: status.conditions.clone().filter(|c| !c.is_empty()),
            observed_generation: status.observed_generation.filter(|n| *n != 0),
            ready_replicas: some(status.ready_replicas),
            replicas: some(status.replicas),
            terminating_replicas: some(status.terminating_replicas),
            unavailable_replicas: some(status.unavailable_replicas),
            updated_replicas: some(status.updated_replicas),
        }
    };
    plain(a) != plain(b)
}
