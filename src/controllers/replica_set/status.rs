//! What a set tells of its pods.

use crate::controllers::action::{Action, ERROR, Plan, Target};
use crate::controllers::owners::labels;
use crate::controllers::world::PodView;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use std::sync::Arc;

/// <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/replica-set-v1/#ReplicaSetStatus>
const FAILURE: &str = "ReplicaFailure";

/// The status for these pods; `is_settled`: nothing is left to make or remove, so that no failure stands. Where a pod
/// is ready but not for long enough, `plan` asks for another look.
pub fn of(
    set: &ReplicaSet,
    active: &[Arc<PodView>],
    ending: Option<usize>,
    is_settled: bool,
    now: Timestamp,
    plan: &mut Plan,
) -> ReplicaSetStatus {
    let spec = &set.spec;
    let nothing = ObjectMeta::default();
    let template = spec.template.as_ref().and_then(|t| t.metadata.as_ref());
    let wanted = labels(template.unwrap_or(&nothing));
    let (mut labelled, mut ready, mut available) = (0, 0, 0);
    for pod in active {
        labelled += usize::from(wanted.iter().all(|(k, v)| pod.labels().get(k) == Some(v)));
        ready += usize::from(pod.is_ready());
        match pod.available(spec.min_ready_seconds.unwrap_or(0), now) {
            Ok(()) => available += 1,
            Err(Some(at)) => plan.again_at(at, now),
            Err(None) => {}
        }
    }
    let old = set.status.clone().unwrap_or_default();
    let mut conditions = old.conditions.unwrap_or_default();
    if is_settled {
        conditions.retain(|c| c.type_.as_deref() != Some(FAILURE));
    }
    let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let some = |n: usize| Some(number(n)).filter(|n| *n != 0);
    ReplicaSetStatus {
        replicas: number(active.len()),
        fully_labeled_replicas: some(labelled),
        ready_replicas: some(ready),
        available_replicas: some(available),
        terminating_replicas: ending.map(number),
        observed_generation: set.metadata.generation,
        conditions: Some(conditions).filter(|c| !c.is_empty()),
    }
}

/// Whether they say different things: zero and absent are the same.
pub fn differ(a: &ReplicaSetStatus, b: &ReplicaSetStatus) -> bool {
    let plain = |status: &ReplicaSetStatus| {
        let some = |n: Option<i32>| n.filter(|n| *n != 0);
        ReplicaSetStatus {
            fully_labeled_replicas: some(status.fully_labeled_replicas),
            ready_replicas: some(status.ready_replicas),
            available_replicas: some(status.available_replicas),
            terminating_replicas: some(status.terminating_replicas),
            observed_generation: status.observed_generation.filter(|n| *n != 0),
            conditions: status.conditions.clone().filter(|c| !c.is_empty()),
            replicas: status.replicas,
        }
    };
    plain(a) != plain(b)
}

pub fn failure(status: &ReplicaSetStatus) -> Option<&ReplicaSetCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|c| c.type_.as_deref() == Some(FAILURE))
}

/// For when the API refuses: the condition that says so.
pub fn tell_failure(
    target: &Target,
    status: &ReplicaSetStatus,
    reason: &str,
    now: Timestamp,
) -> Action {
    let mut conditions = status.conditions.clone().unwrap_or_default();
    conditions.push(ReplicaSetCondition {
        type_: Some(FAILURE.to_owned()),
        status: Some("True".to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(ERROR.to_owned()),
        last_transition_time: Some(crate::controllers::deployment::seconds(now)),
    });
    Action::Patch {
        target: target.clone(),
        part: Some("status"),
        resource_version: None,
        patch: json!({"status": {"conditions": conditions}}),
    }
}
