//! `status.phase`, as upstream's `getPhase` counts it.
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase>

use super::decide::RestartPolicy;
use super::health::is_started;
use super::state::{PodState, Run, containers, is_sidecar};
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

pub fn phase(pod: &Pod, state: &PodState) -> Phase {
    if state.verdict.is_some() {
        return Phase::Failed;
    }
    let policy = RestartPolicy::of(pod);
    let mut init_pending = false;
    let mut init_failed = false;
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
            init_failed |=
                !is_sidecar(container) && record.ended().is_some() && !record.succeeded();
            continue;
        }
        match &record.run {
            Run::Running { .. } => running += 1,
            Run::Never => waiting += 1,
            Run::Ended(ended) => {
                stopped += 1;
                succeeded += i32::from(ended.exit.code == 0);
                wanted += i32::from(policy.wants(&record.run));
            }
        }
    }
    // A pod that is being deleted starts nothing again: what has stopped has stopped for good.
    let ending = state.termination.is_some() && !state.any_running();
    if init_failed && (policy == RestartPolicy::Never || ending) {
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
