//! The end of containers: of all at once with their pod, or of one while its pod goes on.
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination>
//!
//! Every stop takes the same steps ([`Stop`]): it is told and the `preStop` hook runs, the stop signal goes when the
//! hook is over and the container's turn has come, SIGKILL when the grace is over. Hooks count within the grace; the
//! signal leaves two seconds more in any case.

use super::decide::{Action, Decision, GRACE_S_MIN};
use super::health;
use super::record::{Record, Run, Stop};
use super::state::{PodState, Sandbox, containers, is_sidecar};
use k8s_openapi::api::core::v1::Pod;

/// Deletion: everything is stopped and given back, then the API is told.
pub fn terminate(
    pod: &Pod,
    state: &PodState,
    deadline_ms: i64,
    now_ms: i64,
    decision: &mut Decision,
) {
    if state.any_running() {
        stop_all(pod, state, deadline_ms, now_ms, decision);
        return;
    }
    if matches!(state.sandbox, Sandbox::Alive { .. }) {
        decision.act(Action::RemoveSandbox);
    } else if !state.cleaned {
        decision.act(Action::CleanUp);
    } else if state.gone {
        decision.act(Action::Exit);
    } else if pod.metadata.deletion_timestamp.is_some() {
        match state.delete_retry_ms {
            Some(at_ms) if at_ms > now_ms => decision.wake(at_ms),
            _ => decision.act(Action::DeletePod),
        }
    }
}

/// A pod that runs no more but stays in the API: stop what still runs, give the sandbox and the volumes back.
pub fn finish(pod: &Pod, state: &PodState, now_ms: i64, decision: &mut Decision) {
    if state.any_running() {
        let deadline_ms = state.finish_deadline_ms.unwrap_or(now_ms);
        stop_all(pod, state, deadline_ms, now_ms, decision);
    } else if matches!(state.sandbox, Sandbox::Alive { .. }) {
        decision.act(Action::RemoveSandbox);
    } else if !state.volumes_freed && has_volumes(pod) {
        decision.act(Action::FreeVolumes);
    }
}

fn has_volumes(pod: &Pod) -> bool {
    let volumes = pod.spec.as_ref().and_then(|s| s.volumes.as_ref());
    volumes.is_some_and(|volumes| !volumes.is_empty())
}

/// Containers that are to end while the others go on: asked for, or over a probe that failed.
pub fn end_single(pod: &Pod, state: &PodState, now_ms: i64, decision: &mut Decision) {
    for (name, record) in &state.containers {
        let asked = record.ending.as_ref().map(|e| e.deadline_ms);
        let unhealthy = health::failed(record).map(|u| u.deadline_ms);
        if let Some(deadline_ms) = asked.into_iter().chain(unhealthy).min() {
            step(pod, name, record, deadline_ms, true, now_ms, decision);
        }
    }
}

/// Everything but debug containers ends, to begin anew: without hooks, and with no more grace than the least.
pub fn stop_for_restart(pod: &Pod, state: &PodState, now_ms: i64, decision: &mut Decision) {
    let mut running = false;
    for (_, container) in containers(pod) {
        if let Some(record) = state.record(&container.name) {
            running |= record.is_running();
            step(pod, &container.name, record, now_ms, true, now_ms, decision);
        }
    }
    if !running {
        decision.act(Action::ResetContainers);
    }
}

/// Hooks of all containers at once; signals first to all but sidecars, then to sidecars in reverse order of their start.
fn stop_all(pod: &Pod, state: &PodState, deadline_ms: i64, now_ms: i64, decision: &mut Decision) {
    let sidecars: Vec<&str> = containers(pod)
        .filter(|(init, c)| *init && is_sidecar(c))
        .map(|(_, c)| c.name.as_str())
        .collect();
    let runs = |name: &str| state.record(name).is_some_and(Record::is_running);
    let others_run = state
        .containers
        .keys()
        .any(|name| !sidecars.contains(&name.as_str()) && runs(name));
    let last_sidecar = sidecars.iter().rev().find(|name| runs(name));
    for (name, record) in &state.containers {
        let turn = if sidecars.contains(&name.as_str()) {
            !others_run && last_sidecar == Some(&name.as_str())
        } else {
            true
        };
        step(pod, name, record, deadline_ms, turn, now_ms, decision);
    }
}

/// The next step of one container's stop. `turn`: nobody has to go before it.
fn step(
    pod: &Pod,
    name: &str,
    record: &Record,
    deadline_ms: i64,
    turn: bool,
    now_ms: i64,
    decision: &mut Decision,
) {
    let Run::Running { attempt, .. } = record.run else {
        return;
    };
    let container = name.to_string();
    let over = now_ms >= deadline_ms;
    let least_ms = GRACE_S_MIN * 1000;
    match record.stop {
        Stop::None => {
            let hook = has_pre_stop(pod, name) && !over;
            decision.act(Action::BeginStop {
                container,
                attempt,
                hook,
            });
        }
        Stop::Hook | Stop::Due if (record.stop == Stop::Due && turn) || over => {
            decision.act(Action::Stop { container, attempt });
        }
        Stop::Hook | Stop::Due => decision.wake(deadline_ms),
        Stop::Asked { at_ms } => {
            let kill_ms = deadline_ms.max(at_ms.saturating_add(least_ms));
            if now_ms >= kill_ms {
                decision.act(Action::Kill { container, attempt });
            } else {
                decision.wake(kill_ms);
            }
        }
        Stop::Killed => {}
    }
}

fn has_pre_stop(pod: &Pod, name: &str) -> bool {
    containers(pod)
        .any(|(_, c)| c.name == name && c.lifecycle.as_ref().is_some_and(|l| l.pre_stop.is_some()))
}
