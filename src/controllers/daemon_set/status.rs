//! What a DaemonSet tells of its nodes.

use super::nodes::Places;
use super::pods;
use crate::controllers::action::Plan;
use crate::controllers::clock;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};

/// The status as it should be. Pods that become available later have `plan` look again.
pub fn of(
    set: &DaemonSet,
    places: &Places,
    hash: &str,
    now: Timestamp,
    plan: &mut Plan,
) -> DaemonSetStatus {
    let old = set.status.clone().unwrap_or_default();
    let wait = set.spec.min_ready_seconds.unwrap_or(0);
    let mut status = DaemonSetStatus {
        collision_count: old.collision_count,
        conditions: old.conditions,
        observed_generation: set.metadata.generation,
        ..DaemonSetStatus::default()
    };
    let (mut available, mut updated) = (0, 0);
    for place in places.nodes.values() {
        for pod in &place.pods {
            if let Err(Some(at)) = pod.available(wait, now) {
                clock::look_at(plan, at, now);
            }
        }
        if !place.runs {
            status.number_misscheduled += i32::from(!place.pods.is_empty());
            continue;
        }
        status.desired_number_scheduled += 1;
        let Some(pod) = place.pods.first() else {
            continue;
        };
        status.current_number_scheduled += 1;
        status.number_ready += i32::from(pod.is_ready());
        available += i32::from(pods::is_available(set, pod, now));
        updated += i32::from(pods::is_new(pod, hash));
    }
    // Zero is left out, as upstream leaves it out.
    let some = |n: i32| Some(n).filter(|n| *n != 0);
    status.number_available = some(available);
    status.number_unavailable = some(status.desired_number_scheduled - available);
    status.updated_number_scheduled = some(updated);
    status
}

/// Whether they say different things: zero and absent are the same.
pub fn differ(a: &DaemonSetStatus, b: &DaemonSetStatus) -> bool {
    let plain = |status: &DaemonSetStatus| {
        let some = |n: Option<i32>| n.filter(|n| *n != 0);
        DaemonSetStatus {
            collision_count: some(status.collision_count),
            conditions: status.conditions.clone().filter(|c| !c.is_empty()),
            number_available: some(status.number_available),
            number_unavailable: some(status.number_unavailable),
            updated_number_scheduled: some(status.updated_number_scheduled),
            ..status.clone()
        }
    };
    plain(a) != plain(b)
}
