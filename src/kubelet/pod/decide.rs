//! What to do next for a pod.

use super::backoff::Backoff;
use super::health::is_started;
use super::record::{Blocked, ImageState, Record, Run};
use super::restart::{restarts, restarts_all, wants};
use super::state::{PodState, Sandbox, Termination, Verdict, Volumes, containers, is_sidecar};
use super::status::{END_SHOWN_MS, FAILURE_SHOWN_MS, PULL_ERROR_SHOWN_MS};
use super::{ephemeral, stop};
use k8s_openapi::api::core::v1::{Container, Pod};

/// One step for the worker. It carries the steps out in order and reports the results into the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write volumes and whatever else must be there before the sandbox.
    PrepareVolumes,
    CreateSandbox,
    /// See that the container's image is present as its pull policy asks.
    EnsureImage {
        container: String,
    },
    StartContainer {
        container: String,
        attempt: u32,
    },
    /// The stop begins: it is told, and the `preStop` hook runs (with `hook`: it is given up at the deadline).
    BeginStop {
        container: String,
        attempt: u32,
        hook: bool,
    },
    /// The stop signal: the container's, the image's or SIGTERM.
    Stop {
        container: String,
        attempt: u32,
    },
    /// SIGKILL.
    Kill {
        container: String,
        attempt: u32,
    },
    /// Free an ended run's root filesystem (its log stays).
    RemoveContainer {
        container: String,
        attempt: u32,
    },
    /// Forget the runs of all containers: they begin anew.
    ResetContainers,
    RemoveSandbox,
    /// Remove the volumes of a pod that is over and stays in the API.
    FreeVolumes,
    /// Remove volumes, directories and the address.
    CleanUp,
    /// Confirm the deletion to the API.
    DeletePod,
    /// The pod is out of the API and off the node: nothing is left to do, ever.
    Exit,
}

impl Action {
    /// The step's name without what it is about.
    pub fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split([' ', '(', '{'])
            .next()
            .unwrap_or_default()
            .to_owned()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    pub actions: Vec<Action>,
    /// When to decide again if nothing happens before.
    pub wake_ms: Option<i64>,
}

impl Decision {
    pub(super) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }
    pub(super) fn wake(&mut self, at_ms: i64) {
        self.wake_ms = Some(self.wake_ms.map_or(at_ms, |w| w.min(at_ms)));
    }
}

/// The next steps of `pod` in `state` at `now_ms`.
pub fn decide(pod: &Pod, state: &PodState, now_ms: i64) -> Decision {
    let mut decision = Decision::default();
    if let Some(termination) = state.termination {
        stop::terminate(pod, state, termination.deadline_ms, now_ms, &mut decision);
        return decision;
    }
    if state.verdict.is_some() || is_complete(pod, state) {
        stop::finish(pod, state, now_ms, &mut decision);
        return decision;
    }
    if let Some(at_ms) = deadline_ms(pod, state) {
        decision.wake(at_ms);
    }
    match (&state.volumes, &state.sandbox) {
        (Volumes::Retry { at_ms, .. }, _) | (Volumes::Ready, Sandbox::Retry { at_ms, .. })
            if *at_ms > now_ms =>
        {
            decision.wake(*at_ms);
        }
        (Volumes::Absent | Volumes::Retry { .. }, _) => decision.act(Action::PrepareVolumes),
        (Volumes::Ready, Sandbox::Absent | Sandbox::Retry { .. }) => {
            decision.act(Action::CreateSandbox);
        }
        (Volumes::Ready, Sandbox::Alive { .. }) => {
            for container in ephemeral::list(pod) {
                if let Some(record) = state.record(&container.name)
                    && record.run == Run::Never
                {
                    start_when_due(&container.name, record, now_ms, &mut decision);
                }
            }
            if restarts_all(pod, state) {
                stop::stop_for_restart(pod, state, now_ms, &mut decision);
            } else {
                stop::end_single(pod, state, now_ms, &mut decision);
                run_containers(pod, state, now_ms, &mut decision);
            }
        }
    }
    decision
}

/// Grace of a pod whose spec has none (upstream's default).
const GRACE_S_DEFAULT: i64 = 30;
/// Least time between the stop signal and SIGKILL, whatever the grace and however long the `preStop` hook took
/// (upstream's `minimumGracePeriodInSeconds`).
pub const GRACE_S_MIN: i64 = 2;

/// The grace of a container that is stopped while its pod goes on.
pub fn grace_s(pod: &Pod) -> i64 {
    pod.spec
        .as_ref()
        .and_then(|s| s.termination_grace_period_seconds)
        .unwrap_or(GRACE_S_DEFAULT)
}

/// Notes what the pod object and the time alone bring about: deletion, the active deadline, the end of a pod,
/// a new debug container, a changed image.
pub fn advance(pod: &Pod, state: &mut PodState, now_ms: i64) {
    let spec_grace = pod
        .spec
        .as_ref()
        .and_then(|s| s.termination_grace_period_seconds);
    for container in ephemeral::list(pod) {
        if !state.containers.contains_key(&container.name) {
            state
                .containers
                .insert(container.name.clone(), Record::default());
        }
    }
    if pod.metadata.deletion_timestamp.is_some() || state.gone {
        let grace_s = pod
            .metadata
            .deletion_grace_period_seconds
            .or(spec_grace)
            .unwrap_or(GRACE_S_DEFAULT);
        let grace_s = if state.gone {
            grace_s.max(GRACE_S_MIN)
        } else {
            grace_s.max(0)
        };
        let deadline_ms = now_ms.saturating_add(grace_s.saturating_mul(1000));
        // A second deletion can only shorten the grace.
        let deadline_ms = state
            .termination
            .map_or(deadline_ms, |t| t.deadline_ms.min(deadline_ms));
        state.termination = Some(Termination { deadline_ms });
        return;
    }
    if state.verdict.is_none()
        && !is_complete(pod, state)
        && deadline_ms(pod, state).is_some_and(|at| at <= now_ms)
    {
        state.verdict = Some(Verdict {
            reason: "DeadlineExceeded".to_string(),
            message: "Pod was active on the node longer than the specified deadline".to_string(),
        });
    }
    if state.verdict.is_some() || is_complete(pod, state) {
        let grace_ms = grace_s(pod).max(GRACE_S_MIN).saturating_mul(1000);
        state
            .finish_deadline_ms
            .get_or_insert(now_ms.saturating_add(grace_ms));
        return;
    }
    renew_changed(pod, state, now_ms);
}

/// A container whose image was changed: one that runs is ended and comes back with the new image, whatever its
/// policy; one that waits begins anew with the new image.
fn renew_changed(pod: &Pod, state: &mut PodState, now_ms: i64) {
    for (init, container) in containers(pod) {
        let Some(record) = state.containers.get_mut(&container.name) else {
            continue;
        };
        let image = container.image.as_deref().unwrap_or_default();
        if record.spec_image.is_empty() || record.spec_image == image {
            continue;
        }
        if !record.is_running() {
            if record.image_state != ImageState::Pulling {
                record.image_state = ImageState::Unknown;
                record.pull_backoff = Backoff::default();
                record.blocked = None;
                record.spec_image = String::new();
            }
        } else if !init || is_sidecar(container) {
            let message = format!(
                "Container {} definition changed, will be restarted",
                container.name
            );
            record.renew = true;
            record.end(message, grace_s(pod), now_ms);
        }
    }
}

/// When `activeDeadlineSeconds` ends the pod.
pub fn deadline_ms(pod: &Pod, state: &PodState) -> Option<i64> {
    let seconds = pod.spec.as_ref()?.active_deadline_seconds?;
    Some(
        state
            .started_ms?
            .saturating_add(seconds.saturating_mul(1000)),
    )
}

/// True where every main container has ended for good, or an init container has failed for good.
pub fn is_complete(pod: &Pod, state: &PodState) -> bool {
    let ended_for_good = |c: &Container| {
        state
            .record(&c.name)
            .is_some_and(|r| r.ended().is_some() && !r.renew && !wants(pod, c, &r.run))
    };
    let mut mains = containers(pod).filter(|(init, _)| !init).peekable();
    let mains_done = mains.peek().is_some() && mains.all(|(_, c)| ended_for_good(c));
    mains_done || init_failed(pod, state)
}

/// True where an init container has failed and may not be tried again.
pub fn init_failed(pod: &Pod, state: &PodState) -> bool {
    containers(pod).any(|(init, c)| {
        init && !is_sidecar(c)
            && state
                .record(&c.name)
                .filter(|r| !r.renew)
                .and_then(Record::ended)
                .is_some_and(|e| e.exit.code != 0 && !restarts(pod, c, e))
    })
}

fn run_containers(pod: &Pod, state: &PodState, now_ms: i64, decision: &mut Decision) {
    // Once a main container ran in this sandbox, the init phase is over and is not looked at again.
    let mains_began =
        containers(pod).any(|(init, c)| !init && state.record(&c.name).is_some_and(|r| r.here));
    for (init, container) in containers(pod) {
        if !init {
            continue;
        }
        let Some(record) = state.record(&container.name) else {
            continue;
        };
        if is_sidecar(container) {
            if !record.is_running() {
                start_when_due(&container.name, record, now_ms, decision);
            }
            // The next one waits until this one is started: its `postStart` hook and startup probe are over.
            if !mains_began && !is_started(container, record) {
                return;
            }
        } else if !mains_began {
            match &record.run {
                Run::Running { .. } => return,
                // A run of an earlier sandbox does not count: its init containers run again.
                Run::Ended(ended) if ended.exit.code == 0 && record.here => {}
                Run::Never | Run::Ended(_) => {
                    start_when_due(&container.name, record, now_ms, decision);
                    return;
                }
            }
        }
    }
    for (init, container) in containers(pod) {
        if let Some(record) = state.record(&container.name)
            && !init
            && !record.is_running()
            && (record.renew || wants(pod, container, &record.run))
        {
            start_when_due(&container.name, record, now_ms, decision);
        }
    }
}

/// Image first, then back-off, then the start.
fn start_when_due(container: &str, record: &Record, now_ms: i64, decision: &mut Decision) {
    if let Some(until) = crash_wait(record, now_ms) {
        decision.wake(until);
        // What its status says changes before.
        for at_ms in shown_until(record) {
            if at_ms > now_ms {
                decision.wake(at_ms);
            }
        }
        return;
    }
    if let Some(Blocked { retry_ms, .. }) = &record.blocked
        && *retry_ms > now_ms
    {
        decision.wake(*retry_ms);
        return;
    }
    match &record.image_state {
        ImageState::Pulling => {}
        ImageState::Failed {
            retry_ms,
            failed_ms,
            ..
        } if *retry_ms > now_ms => {
            decision.wake(*retry_ms);
            if now_ms < failed_ms + PULL_ERROR_SHOWN_MS {
                decision.wake(failed_ms + PULL_ERROR_SHOWN_MS);
            }
        }
        ImageState::Unknown | ImageState::Failed { .. } => decision.act(Action::EnsureImage {
            container: container.to_string(),
        }),
        ImageState::Ready => {
            if let Some(ended) = record.ended()
                && !record.released
            {
                decision.act(Action::RemoveContainer {
                    container: container.to_string(),
                    attempt: ended.attempt,
                });
            }
            decision.act(Action::StartContainer {
                container: container.to_string(),
                attempt: record.next_attempt,
            });
        }
    }
}

/// When a container that waits to run again stops showing how it ended, and how its start failed.
fn shown_until(record: &Record) -> [i64; 2] {
    [
        record
            .ended()
            .map_or(0, |e| e.exit.finished_at_ms + END_SHOWN_MS),
        record
            .failure
            .as_ref()
            .map_or(0, |f| f.shown_from(record.ended()) + FAILURE_SHOWN_MS),
    ]
}

/// Until when a crashed container waits (CrashLoopBackOff). One that was ended to be renewed has not crashed.
pub fn crash_wait(record: &Record, now_ms: i64) -> Option<i64> {
    let ended = record.ended().filter(|_| !record.renew)?;
    record
        .crash_backoff
        .wait_until(ended.exit.finished_at_ms)
        .filter(|until| *until > now_ms)
}
