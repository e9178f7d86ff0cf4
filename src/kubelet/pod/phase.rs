//! `status.phase`, as upstream's `getPhase` counts it.
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase>

use super::decide::init_failed;
use super::health::is_started;
use super::record::Run;
use super::restart::wants;
use super::state::{PodState, containers, is_sidecar};
use k8s_openapi::api::core::v1::Pod;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        }
    }
}

/// The phase to report: a pod is over only when nothing of it runs any more, whatever is already certain of its end
/// (upstream's status manager holds the change back in the same way).
pub fn reported(pod: &Pod, state: &PodState) -> Phase {
    let phase = phase(pod, state);
    if !matches!(phase, Phase::Succeeded | Phase::Failed) || !state.any_running() {
        return phase;
    }
    match pod.status.as_ref().and_then(|s| s.phase.as_deref()) {
        Some("Pending") => Phase::Pending,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Running,
    }
}

/// What the pod has come to.
pub fn phase(pod: &Pod, state: &PodState) -> Phase {
    if state.verdict.is_some() {
        return Phase::Failed;
    }
    let mut init_pending = false;
    let mut init_ended_badly = false;
    let (mut running, mut waiting, mut stopped, mut succeeded, mut wanted) = (0, 0, 0, 0, 0);
    for (init, container) in containers(pod) {
        let Some(record) = state.record(&container.name) else {
            waiting += 1;
            continue;
        };
        if init {
            let done = if is_sidecar(container) {
                is_started(container, record) || record.ended().is_some()
            } else {
                record.succeeded()
            };
            init_pending |= !done;
            init_ended_badly |=
                !is_sidecar(container) && record.ended().is_some() && !record.succeeded();
            continue;
        }
        match &record.run {
            // Before its hook is over a first run does not count as running.
            Run::Running { .. } if record.post_start && record.previous.is_none() => waiting += 1,
            Run::Running { .. } => running += 1,
            Run::Never => waiting += 1,
            Run::Ended(ended) => {
                stopped += 1;
                succeeded += i32::from(ended.exit.code == 0);
                wanted += i32::from(record.renew || wants(pod, container, &record.run));
            }
        }
    }
    // A pod that is being deleted starts nothing again: what has stopped has stopped for good.
    let ending = state.termination.is_some() && !state.any_running();
    if init_failed(pod, state) || (init_ended_badly && ending) {
        return Phase::Failed;
    }
    if running == 0 && stopped > 0 && waiting == 0 && (wanted == 0 || ending) {
        return if stopped == succeeded {
            Phase::Succeeded
        } else {
            Phase::Failed
        };
    }
    if ending && stopped > 0 && running == 0 {
        return Phase::Failed;
    }
    if (init_pending && running == 0 && stopped == 0) || waiting > 0 {
        return Phase::Pending;
    }
    Phase::Running
}
