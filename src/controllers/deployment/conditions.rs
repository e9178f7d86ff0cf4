//! Conditions of a Deployment: a change of status moves the transition, a change of reason only the update.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DeploymentCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub const AVAILABLE: &str = "Available";
pub const PROGRESSING: &str = "Progressing";
pub const FAILURE: &str = "ReplicaFailure";

pub const CREATED: &str = "NewReplicaSetCreated";
pub const FOUND: &str = "FoundNewReplicaSet";
pub const UPDATED: &str = "ReplicaSetUpdated";
pub const COMPLETE: &str = "NewReplicaSetAvailable";
pub const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub const PAUSED: &str = "DeploymentPaused";
pub const RESUMED: &str = "DeploymentResumed";
pub const CREATE_ERROR: &str = "ReplicaSetCreateError";

pub type Conditions = Vec<DeploymentCondition>;

/// As objects keep times: in whole seconds.
pub fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

pub fn get<'a>(conditions: &'a Conditions, kind: &str) -> Option<&'a DeploymentCondition> {
    conditions.iter().find(|c| c.type_.as_deref() == Some(kind))
}

pub fn remove(conditions: &mut Conditions, kind: &str) {
    conditions.retain(|c| c.type_.as_deref() != Some(kind));
}

pub fn new(
    kind: &str,
    status: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) -> DeploymentCondition {
    DeploymentCondition {
        type_: Some(kind.to_owned()),
        status: Some(status.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(seconds(now)),
        last_transition_time: Some(seconds(now)),
    }
}

/// Leaves a condition of the same status and reason as it is.
pub fn set(conditions: &mut Conditions, condition: DeploymentCondition) {
    let kind = condition.type_.as_deref().unwrap_or_default();
    let is_there = get(conditions, kind)
        .is_some_and(|old| old.status == condition.status && old.reason == condition.reason);
    if !is_there {
        renew(conditions, condition);
    }
}

/// Sets it even where status and reason are as before: its update tells of progress.
pub fn renew(conditions: &mut Conditions, mut condition: DeploymentCondition) {
    let kind = condition.type_.clone().unwrap_or_default();
    if let Some(old) = get(conditions, &kind).filter(|old| old.status == condition.status) {
        condition
            .last_transition_time
            .clone_from(&old.last_transition_time);
    }
    remove(conditions, &kind);
    conditions.push(condition);
}
