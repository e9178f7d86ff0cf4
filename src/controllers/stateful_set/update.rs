//! Which pods an update replaces next.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#update-strategies>

use super::{identity, ordinals, pods};
use crate::controllers::action::Action;
use crate::controllers::deployment::share;
use crate::controllers::world::PodView;
use k8s_openapi::api::apps::v1::StatefulSet;
use std::sync::Arc;

pub fn is_rolling(set: &StatefulSet) -> bool {
    let strategy = set.spec.update_strategy.as_ref();
    strategy.and_then(|s| s.type_.as_deref()) != Some("OnDelete")
}

/// Ordinals from here on get the newest template; `None`: the strategy says nothing of it.
fn partition(set: &StatefulSet) -> Option<i32> {
    let strategy = set.spec.update_strategy.as_ref()?;
    let rolling = strategy.rolling_update.as_ref()?;
    Some(rolling.partition.unwrap_or(0))
}

/// Whether a pod that is made now is of the revision before the newest.
pub fn is_of_current(set: &StatefulSet, ordinal: i32) -> bool {
    let (start, _) = ordinals(set);
    let current = set.status.as_ref().and_then(|s| s.current_replicas);
    let below = partition(set).or(current).unwrap_or(0);
    is_rolling(set) && ordinal < start.saturating_add(below)
}

/// Deletions of pods that are to be of `newest`, so that no more than allowed are missing. `kept`: the replicas there
/// are, highest ordinal first. Pods that serve nobody may go whatever else is missing: an update heals what its
/// predecessor broke.
pub fn replace(
    set: &StatefulSet,
    kept: &[&Arc<PodView>],
    newest: &str,
    is_available: impl Fn(&PodView) -> bool,
) -> Vec<Action> {
    let (start, count) = ordinals(set);
    let name = set.metadata.name.as_deref().unwrap_or_default();
    let strategy = set.spec.update_strategy.as_ref();
    let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
    let allowed = rolling
        .and_then(|r| r.max_unavailable.as_ref())
        .map_or(1, |most| share(most, count, false).max(1));
    let serves = |pod: &PodView| pods::is_healthy(pod) && is_available(pod);
    let serving = kept.iter().filter(|pod| serves(pod)).count();
    let missing = count.saturating_sub(i32::try_from(serving).unwrap_or(i32::MAX));
    let mut left = allowed.saturating_sub(missing);
    let from = start.saturating_add(partition(set).unwrap_or(0));
    let is_target = |pod: &PodView| {
        identity::ordinal(name, &pod.metadata).is_some_and(|ordinal| ordinal >= from)
            && pods::revision(pod) != newest
            && !pod.is_ending()
    };
    let mut steps = Vec::new();
    for pod in kept.iter().filter(|pod| is_target(pod)) {
        if serves(pod) {
            if left <= 0 {
                continue;
            }
            left -= 1;
        }
        steps.push(pods::delete(set, pod));
    }
    steps
}
