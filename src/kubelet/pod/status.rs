//! `status` of a pod, from its state.

use super::conditions::conditions;
use super::decide::crash_wait;
use super::ephemeral;
use super::health::{is_ready, is_started};
use super::phase::{Phase, phase, reported};
use super::record::{Ended, ImageState, RESTARTING_ALL, RESTARTING_ALL_MESSAGE, Record, Run};
use super::resize;
use super::restart::wants;
use super::state::{PodState, Sandbox, containers, is_sidecar};
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, ContainerUser, HostIP, LinuxContainerUser, Pod, PodIP,
    PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// How long a failed pull shows as `ErrImagePull` before it shows as `ImagePullBackOff`; upstream's next sync
/// comes in about this time.
pub const PULL_ERROR_SHOWN_MS: i64 = 2_000;

/// How long a container that will run again shows how it ended before it shows `CrashLoopBackOff`; the same sync.
pub const END_SHOWN_MS: i64 = 2_000;
/// How long a failed start shows as such (`RunContainerError`, `PostStartHookError`) before it is `CrashLoopBackOff`.
pub const FAILURE_SHOWN_MS: i64 = 4_000;
/// All termination messages of a pod together (upstream's `MaxPodTerminationMessageLogLength`).
const MESSAGES_BYTES_MAX: usize = 12 * 1024;

/// Milliseconds since the epoch as the API's time, which has whole seconds.
pub fn time(ms: i64) -> Time {
    Time(jiff::Timestamp::from_second(ms.div_euclid(1000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

/// The status to report. Fields of others (nominated node, foreign conditions…) are kept.
pub fn pod_status(pod: &Pod, state: &PodState, host_ip: &str, now_ms: i64) -> PodStatus {
    // Conditions tell the end as soon as it is certain, the phase when nothing runs any more.
    let certain = phase(pod, state);
    let phase = reported(pod, state);
    let verdict = state.verdict.as_ref().filter(|_| phase == Phase::Failed);
    let mut status = pod.status.clone().unwrap_or_default();
    status.conditions = Some(conditions(pod, state, certain, &time(now_ms)));
    status.phase = Some(phase.as_str().to_string());
    status.reason = verdict.map(|v| v.reason.clone());
    status.message = verdict.map(|v| v.message.clone());
    status.observed_generation = pod.metadata.generation;
    status.start_time = state.started_ms.map(time);
    status.host_ip = Some(host_ip.to_string());
    status.host_ips = Some(vec![HostIP {
        ip: host_ip.to_string(),
    }]);
    if let Sandbox::Alive { ip } = &state.sandbox
        && !ip.is_empty()
    {
        status.pod_ip = Some(ip.clone());
        status.pod_ips = Some(vec![PodIP { ip: ip.clone() }]);
    } else if matches!(phase, Phase::Pending) {
        // The next sandbox has another address. A pod that is over keeps showing its last one, as upstream does.
        status.pod_ip = None;
        status.pod_ips = None;
    }
    if status.qos_class.is_none() {
        status.qos_class = Some(crate::kubelet::spec::resources::qos_class(pod).to_string());
    }
    let has_init = containers(pod).any(|(init, _)| init);
    let of = |want_init: bool| -> Vec<ContainerStatus> {
        containers(pod)
            .filter(|(init, _)| *init == want_init)
            .map(|(init, c)| container_status(pod, state, c, init, has_init, now_ms))
            .collect()
    };
    if state.started_ms.is_none() && state.verdict.is_some() {
        // Refused at the door: upstream reports no containers then.
        return status;
    }
    status.init_container_statuses = has_init.then(|| of(true));
    status.container_statuses = Some(of(false));
    let debug: Vec<ContainerStatus> = ephemeral::list(pod)
        .map(|e| ephemeral_status(state, &ephemeral::as_container(e), now_ms))
        .collect();
    status.ephemeral_container_statuses = (!debug.is_empty()).then_some(debug);
    limit_messages(&mut status);
    status
}

/// Shares the room for termination messages among the containers, as upstream does.
fn limit_messages(status: &mut PodStatus) {
    let mut lists: Vec<&mut ContainerStatus> = [
        &mut status.init_container_statuses,
        &mut status.container_statuses,
        &mut status.ephemeral_container_statuses,
    ]
    .into_iter()
    .flatten()
    .flatten()
    .collect();
    let bytes_max = MESSAGES_BYTES_MAX / lists.len().max(1);
    for status in &mut lists {
        for state in [&mut status.state, &mut status.last_state] {
            if let Some(message) = state
                .as_mut()
                .and_then(|s| s.terminated.as_mut())
                .and_then(|t| t.message.as_mut())
                && message.len() > bytes_max
            {
                let mut end = bytes_max;
                while !message.is_char_boundary(end) {
                    end -= 1;
                }
                message.truncate(end);
            }
        }
    }
}

fn container_status(
    pod: &Pod,
    state: &PodState,
    container: &Container,
    init: bool,
    has_init: bool,
    now_ms: i64,
) -> ContainerStatus {
    let fallback = Record::default();
    let record = state.record(&container.name).unwrap_or(&fallback);
    let waiting = waiting(pod, state, record, container, init, has_init, now_ms);
    // A run that ended and is to be followed by another shows as the last one, under "waiting".
    let (current, last) = match (&record.run, waiting) {
        (Run::Ended(ended), Some(waiting)) if waiting.terminated.is_none() => {
            (waiting, Some(terminated(ended)))
        }
        // A pod that the node gave up before this one ever ran (upstream's `TerminatePod`).
        (Run::Never, _) if state.verdict.is_some() && !has_init && !state.any_running() => {
            (never_located(now_ms), None)
        }
        (Run::Never, waiting) => (waiting.unwrap_or_default(), None),
        (Run::Running { .. }, Some(waiting)) => (waiting, record.previous.as_ref().map(terminated)),
        (run, _) => (run_state(run), record.previous.as_ref().map(terminated)),
    };
    let plain_init = init && !is_sidecar(container);
    let mut status = report(
        record,
        container,
        current,
        last,
        if plain_init {
            record.succeeded()
        } else {
            is_ready(container, record)
        },
        !plain_init && is_started(container, record),
    );
    if record.attempt().is_some() {
        let granted = resize::granted_to(state, container);
        status.allocated_resources = granted.requests.filter(|set| !set.is_empty());
        status.resources = Some(resize::real_of(state, container));
    }
    status
}

/// What upstream says of a container it knows no run of when its pod is over.
fn never_located(now_ms: i64) -> ContainerState {
    let mut never = Record {
        run: Run::Running {
            attempt: 0,
            id: String::new(),
            started_ms: 0,
        },
        ..Record::default()
    };
    never.lost(now_ms, false);
    let mut state = run_state(&never.run);
    if let Some(terminated) = &mut state.terminated {
        // Nobody knows them, and a status must not change with the clock.
        terminated.started_at = None;
        terminated.finished_at = None;
    }
    state
}

/// A debug container: started once, so that its end is its end.
fn ephemeral_status(state: &PodState, container: &Container, now_ms: i64) -> ContainerStatus {
    let fallback = Record::default();
    let record = state.record(&container.name).unwrap_or(&fallback);
    let current = match &record.run {
        Run::Never => {
            let (reason, message) =
                held_up(record, container, now_ms).unwrap_or(("ContainerCreating", None));
            waiting_state(reason, message)
        }
        run => run_state(run),
    };
    report(record, container, current, None, false, false)
}

fn report(
    record: &Record,
    container: &Container,
    current: ContainerState,
    last: Option<ContainerState>,
    ready: bool,
    started: bool,
) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        image: if record.image.is_empty() {
            container.image.clone().unwrap_or_default()
        } else {
            record.image.clone()
        },
        image_id: record.image_id.clone(),
        container_id: match &record.run {
            Run::Running { id, .. } => container_id(id),
            Run::Ended(ended) => container_id(&ended.id),
            Run::Never => None,
        },
        restart_count: record
            .attempt()
            .map_or(0, |a| i32::try_from(a).unwrap_or(i32::MAX)),
        ready,
        started: Some(started),
        stop_signal: container
            .lifecycle
            .as_ref()
            .and_then(|l| l.stop_signal.clone()),
        state: Some(current),
        last_state: Some(last.unwrap_or_default()),
        user: record.user.as_ref().map(user),
        ..ContainerStatus::default()
    }
}

fn user(user: &crate::runtime::ProcessUser) -> ContainerUser {
    ContainerUser {
        linux: Some(LinuxContainerUser {
            uid: user.uid.into(),
            gid: user.gid.into(),
            supplemental_groups: Some(user.groups.iter().map(|g| i64::from(*g)).collect()),
        }),
    }
}

/// Why the container is about to run but does not; `None` where it runs or has ended for good.
fn waiting(
    pod: &Pod,
    state: &PodState,
    record: &Record,
    container: &Container,
    init: bool,
    has_init: bool,
    now_ms: i64,
) -> Option<ContainerState> {
    let over = state.termination.is_some()
        || state.verdict.is_some()
        || super::decide::is_complete(pod, state);
    let default = if has_init {
        "PodInitializing"
    } else {
        "ContainerCreating"
    };
    let wanted = match &record.run {
        // "If the hook hangs, the container does not reach the state running."
        Run::Running { .. } if record.post_start && !over => {
            return Some(waiting_state(default, None));
        }
        Run::Running { .. } => false,
        Run::Never => true,
        Run::Ended(_) if over => false,
        Run::Ended(ended) if init && !is_sidecar(container) => ended.exit.code != 0,
        run @ Run::Ended(_) => init || record.renew || wants(pod, container, run),
    };
    if !wanted {
        return None;
    }
    if over {
        return Some(waiting_state(default, None));
    }
    if record.is_reset() {
        let message = RESTARTING_ALL_MESSAGE.to_string();
        return Some(waiting_state(RESTARTING_ALL, Some(message)));
    }
    let crashed = crash_wait(record, now_ms).is_some();
    let held_up = held_up(record, container, now_ms);
    if let Some(failure) = &record.failure
        && (now_ms < failure.shown_from(record.ended()) + FAILURE_SHOWN_MS
            || (!crashed && held_up.is_none()))
    {
        return Some(waiting_state(failure.reason, Some(failure.message.clone())));
    }
    let ended = record.ended();
    let shows_end = ended.is_some_and(|e| now_ms < e.exit.finished_at_ms + END_SHOWN_MS);
    if crashed && !shows_end {
        let message = crash_message(pod, container, record);
        return Some(waiting_state("CrashLoopBackOff", Some(message)));
    }
    if let Some((reason, message)) = held_up {
        return Some(waiting_state(reason, message));
    }
    match ended {
        // Between the end and the restart upstream shows the end itself.
        Some(ended) if record.here => Some(ContainerState {
            terminated: terminated(ended).terminated,
            ..ContainerState::default()
        }),
        _ => Some(waiting_state(default, None)),
    }
}

/// What keeps the next start from happening: the image, or what the container is configured with.
fn held_up(
    record: &Record,
    container: &Container,
    now_ms: i64,
) -> Option<(&'static str, Option<String>)> {
    if let Some(blocked) = &record.blocked {
        return Some((blocked.reason, Some(blocked.message.clone())));
    }
    let ImageState::Failed {
        reason,
        message,
        failed_ms,
        ..
    } = &record.image_state
    else {
        return None;
    };
    if *reason == "ErrImagePull" && now_ms >= failed_ms + PULL_ERROR_SHOWN_MS {
        let image = container.image.as_deref().unwrap_or_default();
        let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {message}");
        return Some(("ImagePullBackOff", Some(message)));
    }
    Some((reason, Some(message.clone())))
}

fn waiting_state(reason: &str, message: Option<String>) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_string()),
            message,
        }),
        ..ContainerState::default()
    }
}

/// Upstream's text for a container in CrashLoopBackOff.
fn crash_message(pod: &Pod, container: &Container, record: &Record) -> String {
    let meta = &pod.metadata;
    format!(
        "back-off {} restarting failed container={} pod={}_{}({})",
        go_duration(record.crash_backoff.delay_ms()),
        container.name,
        meta.name.as_deref().unwrap_or_default(),
        meta.namespace.as_deref().unwrap_or_default(),
        meta.uid.as_deref().unwrap_or_default(),
    )
}

/// Whole seconds as Go prints a duration: `10s`, `1m20s`, `5m0s`.
fn go_duration(ms: i64) -> String {
    let seconds = ms / 1000;
    if seconds < 60 {
        format!("{seconds}s")
    } else {
        format!("{}m{}s", seconds / 60, seconds % 60)
    }
}

fn container_id(id: &str) -> Option<String> {
    (!id.is_empty()).then(|| format!("coracle://{id}"))
}

fn run_state(run: &Run) -> ContainerState {
    match run {
        Run::Never => ContainerState::default(),
        Run::Running { started_ms, .. } => ContainerState {
            running: Some(ContainerStateRunning {
                started_at: Some(time(*started_ms)),
            }),
            ..ContainerState::default()
        },
        Run::Ended(ended) => terminated(ended),
    }
}

fn terminated(ended: &Ended) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: container_id(&ended.id),
            exit_code: ended.exit.code,
            signal: ended.exit.signal,
            reason: (!ended.reason.is_empty()).then(|| ended.reason.clone()),
            message: ended.message.clone(),
            started_at: Some(time(ended.exit.started_at_ms)),
            finished_at: Some(time(ended.exit.finished_at_ms)),
        }),
        ..ContainerState::default()
    }
}
