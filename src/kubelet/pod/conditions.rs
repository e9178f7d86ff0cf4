//! Pod conditions.
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions>

use super::health::{is_ready, is_started};
use super::phase::Phase;
use super::resize::Hindrance;
use super::restart::{could_restart_all, restarts_all};
use super::state::{PodState, Sandbox, containers, is_sidecar};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The pod's conditions: those of others kept, ours set, transition times kept where the status did not change.
pub fn conditions(pod: &Pod, state: &PodState, phase: Phase, now: &Time) -> Vec<PodCondition> {
    let mut list = pod
        .status
        .as_ref()
        .and_then(|s| s.conditions.clone())
        .unwrap_or_default();
    let generation = pod.metadata.generation;
    let containers_ready = containers_ready(pod, state, phase);
    let ready = ready(pod, &list, containers_ready.clone());
    let address = matches!(&state.sandbox, Sandbox::Alive { ip } if !ip.is_empty());
    for (kind, verdict) in [
        (
            "PodReadyToStartContainers",
            Verdict::of(address, "", String::new()),
        ),
        ("Initialized", initialized(pod, state, phase)),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        ("PodScheduled", Verdict::of(true, "", String::new())),
    ] {
        set(&mut list, kind, verdict, generation, now);
    }
    if let Some(message) = &state.disrupted {
        // <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>
        let verdict = Verdict::of(true, "TerminationByKubelet", message.clone());
        set(&mut list, "DisruptionTarget", verdict, generation, now);
    }
    resizing(&mut list, state, generation, now);
    if could_restart_all(pod) {
        let restarting = all_restarting(pod, state, phase);
        set(
            &mut list,
            "AllContainersRestarting",
            restarting,
            generation,
            now,
        );
    }
    list
}

/// Only while a change of resources has not come to its end.
/// <https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/#pod-resize-status>
fn resizing(list: &mut Vec<PodCondition>, state: &PodState, generation: Option<i64>, now: &Time) {
    let pending = match &state.hindrance {
        Some(Hindrance::Deferred(message)) => Some(("Deferred", message)),
        Some(Hindrance::Infeasible(message)) => Some(("Infeasible", message)),
        _ => None,
    };
    let in_progress = match &state.hindrance {
        Some(Hindrance::Error(message)) => Some(("Error", message.clone())),
        _ if !state.real.is_empty() => Some(("", String::new())),
        _ => None,
    };
    let pending = pending.map(|(reason, message)| (reason, message.clone()));
    for (kind, found) in [
        ("PodResizePending", pending),
        ("PodResizeInProgress", in_progress),
    ] {
        match found {
            Some((reason, message)) => {
                let verdict = Verdict::of(true, reason, message);
                set(list, kind, verdict, generation, now);
            }
            None => list.retain(|c| c.type_ != kind),
        }
    }
}

/// Only of pods with a rule that restarts all containers.
fn all_restarting(pod: &Pod, state: &PodState, phase: Phase) -> Verdict {
    match phase {
        Phase::Succeeded => return Verdict::of(false, "PodCompleted", String::new()),
        Phase::Failed => return Verdict::of(false, "PodFailed", String::new()),
        Phase::Pending | Phase::Running => {}
    }
    let waits = state
        .containers
        .values()
        .any(super::record::Record::is_reset);
    if waits || restarts_all(pod, state) {
        let message = "container exited with restart policy rule".to_string();
        return Verdict::of(true, "RestartAllContainersStarted", message);
    }
    Verdict::of(false, "", String::new())
}

#[derive(Clone)]
struct Verdict {
    holds: bool,
    reason: Option<String>,
    message: Option<String>,
}

impl Verdict {
    fn of(holds: bool, reason: &str, message: String) -> Verdict {
        Verdict {
            holds,
            reason: (!reason.is_empty()).then(|| reason.to_string()),
            message: (!message.is_empty()).then_some(message),
        }
    }
}

fn set(
    list: &mut Vec<PodCondition>,
    kind: &str,
    verdict: Verdict,
    generation: Option<i64>,
    now: &Time,
) {
    let status = if verdict.holds { "True" } else { "False" };
    let old = list.iter().position(|c| c.type_ == kind);
    let last_transition_time = old
        .map(|i| &list[i])
        .filter(|c| c.status == status)
        .and_then(|c| c.last_transition_time.clone())
        .unwrap_or_else(|| now.clone());
    let condition = PodCondition {
        type_: kind.to_string(),
        status: status.to_string(),
        reason: verdict.reason,
        message: verdict.message,
        last_transition_time: Some(last_transition_time),
        last_probe_time: None,
        observed_generation: generation,
    };
    match old {
        Some(i) => list[i] = condition,
        None => list.push(condition),
    }
}

fn initialized(pod: &Pod, state: &PodState, phase: Phase) -> Verdict {
    if phase == Phase::Succeeded {
        return Verdict::of(true, "PodCompleted", String::new());
    }
    let incomplete: Vec<&str> = containers(pod)
        .filter(|(init, c)| {
            *init
                && !state.record(&c.name).is_some_and(|r| {
                    if is_sidecar(c) {
                        is_started(c, r)
                    } else {
                        r.succeeded()
                    }
                })
        })
        .map(|(_, c)| c.name.as_str())
        .collect();
    // A main container that ran once proves the init phase of its sandbox; upstream keeps the condition then.
    let mains_ran =
        containers(pod).any(|(init, c)| !init && state.record(&c.name).is_some_and(|r| r.here));
    if incomplete.is_empty() || mains_ran {
        return Verdict::of(true, "", String::new());
    }
    Verdict::of(
        false,
        "ContainersNotInitialized",
        format!(
            "containers with incomplete status: [{}]",
            incomplete.join(" ")
        ),
    )
}

fn containers_ready(pod: &Pod, state: &PodState, phase: Phase) -> Verdict {
    match phase {
        Phase::Succeeded => return Verdict::of(false, "PodCompleted", String::new()),
        Phase::Failed => return Verdict::of(false, "PodFailed", String::new()),
        Phase::Pending | Phase::Running => {}
    }
    let unready: Vec<&str> = containers(pod)
        .filter(|(init, c)| {
            (!init || is_sidecar(c)) && !state.record(&c.name).is_some_and(|r| is_ready(c, r))
        })
        .map(|(_, c)| c.name.as_str())
        .collect();
    if unready.is_empty() {
        return Verdict::of(true, "", String::new());
    }
    Verdict::of(
        false,
        "ContainersNotReady",
        format!("containers with unready status: [{}]", unready.join(" ")),
    )
}

fn ready(pod: &Pod, list: &[PodCondition], containers_ready: Verdict) -> Verdict {
    if !containers_ready.holds {
        return containers_ready;
    }
    let gates = pod
        .spec
        .as_ref()
        .and_then(|s| s.readiness_gates.as_deref())
        .unwrap_or_default();
    let messages: Vec<String> = gates
        .iter()
        .filter_map(|gate| {
            let name = &gate.condition_type;
            match list.iter().find(|c| &c.type_ == name) {
                None => Some(format!(
                    "corresponding condition of pod readiness gate \"{name}\" does not exist."
                )),
                Some(c) if c.status != "True" => Some(format!(
                    "the status of pod readiness gate \"{name}\" is not \"True\", but {}",
                    c.status
                )),
                Some(_) => None,
            }
        })
        .collect();
    Verdict::of(
        messages.is_empty(),
        if messages.is_empty() {
            ""
        } else {
            "ReadinessGatesNotReady"
        },
        messages.join(", "),
    )
}
