//! What to do next for a pod.

use super::state::{
    Blocked, ImageState, PodState, Record, Run, Sandbox, Termination, Verdict, Volumes, containers,
    is_sidecar,
};
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
    /// The stop signal: the image's own or SIGTERM.
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
    RemoveSandbox,
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
    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }
    fn wake(&mut self, at_ms: i64) {
        self.wake_ms = Some(self.wake_ms.map_or(at_ms, |w| w.min(at_ms)));
    }
}

/// A pod's `restartPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    pub fn of(pod: &Pod) -> RestartPolicy {
        match pod.spec.as_ref().and_then(|s| s.restart_policy.as_deref()) {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        }
    }

    /// Whether a main container whose newest run is `run` must run (again).
    pub fn wants(self, run: &Run) -> bool {
        match (self, run) {
            (_, Run::Never) | (RestartPolicy::Always, Run::Ended(_)) => true,
            (RestartPolicy::OnFailure, Run::Ended(ended)) => ended.exit.code != 0,
            (RestartPolicy::Never, Run::Ended(_)) | (_, Run::Running { .. }) => false,
        }
    }
}

/// The next steps of `pod` in `state` at `now_ms`.
pub fn decide(pod: &Pod, state: &PodState, now_ms: i64) -> Decision {
    let mut decision = Decision::default();
    if let Some(termination) = state.termination {
        terminate(pod, state, termination.deadline_ms, now_ms, &mut decision);
        return decision;
    }
    if state.verdict.is_some() || is_complete(pod, state) {
        finish(pod, state, now_ms, &mut decision);
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
            run_containers(pod, state, now_ms, &mut decision);
        }
    }
    decision
}

/// Grace of a pod whose spec has none (upstream's default).
const GRACE_S_DEFAULT: i64 = 30;
/// Least grace for a pod that is killed without being asked by a deletion with a shorter one; upstream's minimum.
const GRACE_S_MIN: i64 = 2;

/// Notes what the pod object and the time alone bring about: deletion, the active deadline, the end of a pod.
pub fn advance(pod: &Pod, state: &mut PodState, now_ms: i64) {
    let spec_grace = pod
        .spec
        .as_ref()
        .and_then(|s| s.termination_grace_period_seconds);
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
    if state.finish_deadline_ms.is_none() && (state.verdict.is_some() || is_complete(pod, state)) {
        let grace_ms = spec_grace
            .unwrap_or(GRACE_S_DEFAULT)
            .max(GRACE_S_MIN)
            .saturating_mul(1000);
        state.finish_deadline_ms = Some(now_ms.saturating_add(grace_ms));
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
    let policy = RestartPolicy::of(pod);
    let ended_for_good = |c: &Container| {
        state
            .record(&c.name)
            .is_some_and(|r| r.ended().is_some() && !policy.wants(&r.run))
    };
    let mut mains = containers(pod).filter(|(init, _)| !init).peekable();
    let mains_done = mains.peek().is_some() && mains.all(|(_, c)| ended_for_good(c));
    let init_failed = policy == RestartPolicy::Never
        && containers(pod).any(|(init, c)| {
            init && !is_sidecar(c)
                && state
                    .record(&c.name)
                    .is_some_and(|r| r.ended().is_some() && !r.succeeded())
        });
    mains_done || init_failed
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
                start_when_due(container, record, now_ms, decision);
                if !mains_began {
                    return;
                }
            }
        } else if !mains_began {
            match &record.run {
                Run::Running { .. } => return,
                // A run of an earlier sandbox does not count: its init containers run again.
                Run::Ended(ended) if ended.exit.code == 0 && record.here => {}
                Run::Never | Run::Ended(_) => {
                    start_when_due(container, record, now_ms, decision);
                    return;
                }
            }
        }
    }
    let policy = RestartPolicy::of(pod);
    for (init, container) in containers(pod) {
        if let Some(record) = state.record(&container.name)
            && !init
            && policy.wants(&record.run)
        {
            start_when_due(container, record, now_ms, decision);
        }
    }
}

/// Image first, then back-off, then the start.
fn start_when_due(container: &Container, record: &Record, now_ms: i64, decision: &mut Decision) {
    if let Some(until) = crash_wait(record, now_ms) {
        decision.wake(until);
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
            if now_ms < failed_ms + super::status::PULL_ERROR_SHOWN_MS {
                decision.wake(failed_ms + super::status::PULL_ERROR_SHOWN_MS);
            }
        }
        ImageState::Unknown | ImageState::Failed { .. } => decision.act(Action::EnsureImage {
            container: container.name.clone(),
        }),
        ImageState::Ready => {
            if let Some(ended) = record.ended()
                && !record.released
            {
                decision.act(Action::RemoveContainer {
                    container: container.name.clone(),
                    attempt: ended.attempt,
                });
            }
            decision.act(Action::StartContainer {
                container: container.name.clone(),
                attempt: record.next_attempt,
            });
        }
    }
}

/// Until when a crashed container waits (CrashLoopBackOff).
pub fn crash_wait(record: &Record, now_ms: i64) -> Option<i64> {
    let ended = record.ended()?;
    record
        .crash_backoff
        .wait_until(ended.exit.finished_at_ms)
        .filter(|until| *until > now_ms)
}

/// Deletion: main containers first, then sidecars in reverse order, all within one grace period.
fn terminate(pod: &Pod, state: &PodState, deadline_ms: i64, now_ms: i64, decision: &mut Decision) {
    if state.any_running() {
        stop_running(pod, state, deadline_ms, now_ms, decision);
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

/// A pod that runs no more but stays in the API: stop what still runs, give the sandbox back.
fn finish(pod: &Pod, state: &PodState, now_ms: i64, decision: &mut Decision) {
    if state.any_running() {
        let deadline_ms = state.finish_deadline_ms.unwrap_or(now_ms);
        stop_running(pod, state, deadline_ms, now_ms, decision);
    } else if matches!(state.sandbox, Sandbox::Alive { .. }) {
        decision.act(Action::RemoveSandbox);
    }
}

fn stop_running(
    pod: &Pod,
    state: &PodState,
    deadline_ms: i64,
    now_ms: i64,
    decision: &mut Decision,
) {
    let running: Vec<(bool, &Container)> = containers(pod)
        .filter(|(_, c)| state.record(&c.name).is_some_and(Record::is_running))
        .collect();
    if now_ms >= deadline_ms {
        for (_, container) in running {
            if let Some((record, attempt)) = running_attempt(state, container)
                && record.kill_sent != Some(attempt)
            {
                decision.act(Action::Kill {
                    container: container.name.clone(),
                    attempt,
                });
            }
        }
        return;
    }
    decision.wake(deadline_ms);
    let is_last = |(init, c): &(bool, &Container)| *init && is_sidecar(c);
    let mut first: Vec<&Container> = running
        .iter()
        .filter(|r| !is_last(r))
        .map(|r| r.1)
        .collect();
    if first.is_empty() {
        first.extend(running.last().map(|r| r.1));
    }
    for container in first {
        if let Some((record, attempt)) = running_attempt(state, container)
            && record.stop_sent != Some(attempt)
        {
            decision.act(Action::Stop {
                container: container.name.clone(),
                attempt,
            });
        }
    }
}

fn running_attempt<'a>(state: &'a PodState, container: &Container) -> Option<(&'a Record, u32)> {
    let record = state.record(&container.name)?;
    match record.run {
        Run::Running { attempt, .. } => Some((record, attempt)),
        _ => None,
    }
}
