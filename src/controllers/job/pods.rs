//! What a Job's controller reads from a pod.

use super::failure_policy;
use super::spec::Spec;
use crate::controllers::clock;
use crate::controllers::world::PodView;
use jiff::Timestamp;
use std::cmp::Reverse;

/// Keeps a pod until it has been counted.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers>
pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Annotation and label.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// How often the pod's index had failed before it.
pub const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// Those that a policy said not to count.
pub const INDEX_IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// It has not been counted yet.
pub fn is_tracked(pod: &PodView) -> bool {
    let finalizers = pod.metadata.finalizers.iter().flatten();
    finalizers.into_iter().any(|f| f == FINALIZER)
}

pub fn uid(pod: &PodView) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub fn name(pod: &PodView) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

fn number(pod: &PodView, annotation: &str) -> Option<i32> {
    let annotations = pod.metadata.annotations.as_ref()?;
    let value: i32 = annotations.get(annotation)?.parse().ok()?;
    (value >= 0).then_some(value)
}

pub fn index(pod: &PodView) -> Option<i32> {
    number(pod, INDEX)
}

/// The pod's index, where the Job has such an index.
pub fn valid_index(spec: &Spec<'_>, pod: &PodView) -> Option<i32> {
    index(pod).filter(|index| *index < spec.completions.unwrap_or(0))
}

pub fn has_succeeded(pod: &PodView) -> bool {
    pod.phase() == "Succeeded"
}

/// It counts as failed: one that is being deleted too, since it may never come to say so, unless only those that have
/// ended are replaced.
pub fn has_failed(spec: &Spec<'_>, pod: &PodView) -> bool {
    pod.phase() == "Failed"
        || !spec.only_failed_are_replaced && pod.is_ending() && !has_succeeded(pod)
}

pub fn is_terminating(pod: &PodView) -> bool {
    pod.is_ending() && !pod.is_finished()
}

/// Failures of its index before this pod: counted, and ignored ones.
pub fn failures_before(pod: &PodView) -> (i32, i32) {
    let read = |annotation| number(pod, annotation).unwrap_or(0);
    (read(INDEX_FAILURES), read(INDEX_IGNORED))
}

/// The same for the pod that replaces it.
pub fn failures_after(spec: &Spec<'_>, pod: &PodView) -> (i32, i32) {
    let (counted, ignored) = failures_before(pod);
    if failure_policy::judge(spec, pod).counts() {
        (counted.saturating_add(1), ignored)
    } else {
        (counted, ignored.saturating_add(1))
    }
}

/// When it ended: by its containers, else by its Ready condition, else by its deletion, else by its creation.
pub fn ended_at(pod: &PodView) -> Option<Timestamp> {
    by_containers(pod)
        .or_else(|| {
            let ready = pod.condition("Ready").filter(|c| c.status == "False")?;
            ready.last_transition_time.as_ref().map(|at| at.0)
        })
        .or_else(|| {
            let deleted = pod.metadata.deletion_timestamp.as_ref()?;
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
            Some(clock::after(deleted.0, -grace))
        })
        .or_else(|| pod.metadata.creation_timestamp.as_ref().map(|at| at.0))
}

/// `None` while one runs. Sidecars end after the others, and count.
fn by_containers(pod: &PodView) -> Option<Timestamp> {
    let is_sidecar = |name: &str| {
        let mut all = pod.spec.init_containers.iter();
        all.any(|c| c.name == name && c.restart_policy.as_deref() == Some("Always"))
    };
    let sidecars = pod.status.init_container_statuses.iter();
    let sidecars = sidecars.filter(|status| is_sidecar(&status.name));
    let mut latest = None;
    for status in pod.status.container_statuses.iter().chain(sidecars) {
        let ended = status.state.terminated.as_ref()?;
        latest = latest.max(Some(ended.finished_at.as_ref()?.0));
    }
    latest
}

/// Orders pods by how little would be lost with them (upstream's `ActivePods`): not scheduled, pending, not ready,
/// ready for a short time, often restarted, young.
pub fn by_worth(pod: &PodView) -> impl Ord + use<> {
    let phase = match pod.phase() {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let restarts = pod.status.container_statuses.iter();
    let restarts = restarts.map(|status| status.restart_count).max();
    let ready = pod.condition("Ready").filter(|c| c.status == "True");
    let since = ready.and_then(|c| c.last_transition_time.as_ref());
    let created = pod.metadata.creation_timestamp.as_ref();
    (
        pod.spec.node_name.is_some(),
        phase,
        ready.is_some(),
        Reverse(since.map(|at| at.0)),
        Reverse(restarts),
        Reverse(created.map(|at| at.0)),
        pod.metadata.name.clone(),
    )
}
