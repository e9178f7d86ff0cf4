//! `status` of a pod, from its state.

use super::conditions::conditions;
use super::decide::crash_wait;
use super::phase::{Phase, phase};
use super::state::{Ended, ImageState, PodState, Record, Run, Sandbox, containers, is_sidecar};
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, ContainerUser, HostIP, LinuxContainerUser, Pod, PodIP,
    PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// How long a failed pull shows as `ErrImagePull` before it shows as `ImagePullBackOff`; upstream's next sync
/// comes in about this time.
pub const PULL_ERROR_SHOWN_MS: i64 = 2_000;

/// Milliseconds since the epoch as the API's time, which has whole seconds.
pub fn time(ms: i64) -> Time {
    Time(jiff::Timestamp::from_second(ms.div_euclid(1000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

/// The status to report. Fields of others (nominated node, foreign conditions…) are kept.
pub fn pod_status(pod: &Pod, state: &PodState, host_ip: &str, now_ms: i64) -> PodStatus {
    let phase = phase(pod, state);
    let mut status = pod.status.clone().unwrap_or_default();
    status.conditions = Some(conditions(pod, state, phase, &time(now_ms)));
    status.phase = Some(phase.as_str().to_string());
    status.reason = state.verdict.as_ref().map(|v| v.reason.clone());
    status.message = state.verdict.as_ref().map(|v| v.message.clone());
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
    status
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
        (Run::Never, waiting) => (waiting.unwrap_or_default(), None),
        (run, _) => (run_state(run), record.previous.as_ref().map(terminated)),
    };
    let running = record.is_running();
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
        ready: if init && !is_sidecar(container) {
            record.succeeded()
        } else {
            running
        },
        started: Some(running),
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
    let wanted = match &record.run {
        Run::Running { .. } => false,
        Run::Never => true,
        Run::Ended(_) if over => false,
        Run::Ended(ended) if init && !is_sidecar(container) => ended.exit.code != 0,
        run @ Run::Ended(_) => init || super::decide::RestartPolicy::of(pod).wants(run),
    };
    if !wanted {
        return None;
    }
    let default = if has_init {
        "PodInitializing"
    } else {
        "ContainerCreating"
    };
    let (reason, message) = if over {
        (default, None)
    } else if crash_wait(record, now_ms).is_some() {
        (
            "CrashLoopBackOff",
            Some(crash_message(pod, container, record)),
        )
    } else if let Some(blocked) = &record.blocked {
        (blocked.reason, Some(blocked.message.clone()))
    } else if let ImageState::Failed {
        reason,
        message,
        failed_ms,
        ..
    } = &record.image_state
    {
        if *reason == "ErrImagePull" && now_ms >= failed_ms + PULL_ERROR_SHOWN_MS {
            let image = container.image.as_deref().unwrap_or_default();
            (
                "ImagePullBackOff",
                Some(format!(
                    "Back-off pulling image \"{image}\": ErrImagePull: {message}"
                )),
            )
        } else {
            (*reason, Some(message.clone()))
        }
    } else if let Run::Ended(ended) = &record.run
        && record.here
    {
        // Between the end and the restart upstream shows the end itself.
        return Some(ContainerState {
            terminated: terminated(ended).terminated,
            ..ContainerState::default()
        });
    } else {
        (default, None)
    };
    Some(ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_string()),
            message,
        }),
        ..ContainerState::default()
    })
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

/// The merge patch that turns the pod's status into `desired`. The uid inside makes it fail on another pod of the
/// same name. Only fields that differ are in it, so that it overwrites nothing of others.
pub fn status_patch(pod: &Pod, desired: &PodStatus) -> serde_json::Value {
    use serde_json::{Map, Value, json};
    let object = |status: &PodStatus| match serde_json::to_value(status) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let old = object(&pod.status.clone().unwrap_or_default());
    let new = object(desired);
    let mut changes = Map::new();
    for (key, value) in &new {
        if old.get(key) != Some(value) {
            changes.insert(key.clone(), value.clone());
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        changes.insert(key.clone(), Value::Null);
    }
    json!({"metadata": {"uid": pod.metadata.uid}, "status": changes})
}
