//! What a worker knows of a pod that an earlier process looked after.

use super::record::{Ended, RESTARTING_ALL, Record, Run};
use super::state::{PodState, Sandbox, Verdict, Volumes, containers};
use super::{ephemeral, resize};
use crate::runtime::{Exit, SandboxStatus};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

impl PodState {
    /// The state of a pod this process has not seen before, from what the runtime still has and from what was
    /// reported last. Containers of a living sandbox are adopted as they are.
    pub fn rebuild(
        pod: &Pod,
        sandbox: Option<&SandboxStatus>,
        pod_ip: Option<&str>,
        now_ms: i64,
    ) -> PodState {
        let status = pod.status.clone().unwrap_or_default();
        let mut state = PodState {
            started_ms: status.start_time.as_ref().map(|t| t.0.as_millisecond()),
            ..PodState::default()
        };
        if matches!(status.phase.as_deref(), Some("Failed"))
            && let Some(reason) = status.reason.clone()
        {
            state.verdict = Some(Verdict {
                reason,
                message: status.message.clone().unwrap_or_default(),
            });
        }
        let wanted = state.verdict.is_none() && pod.metadata.deletion_timestamp.is_none();
        let reported = status
            .init_container_statuses
            .iter()
            .flatten()
            .chain(status.container_statuses.iter().flatten())
            .chain(status.ephemeral_container_statuses.iter().flatten());
        for reported in reported {
            state
                .containers
                .insert(reported.name.clone(), record_from_status(reported));
        }
        for (_, container) in containers(pod) {
            state.containers.entry(container.name.clone()).or_default();
        }
        for container in ephemeral::list(pod) {
            state.containers.entry(container.name.clone()).or_default();
        }
        resize::adopt(pod, &mut state);
        let Some(sandbox) = sandbox else {
            for record in state.containers.values_mut() {
                record.lost(now_ms, wanted);
            }
            return state;
        };
        state.volumes = Volumes::Ready;
        state.sandbox = Sandbox::Alive {
            ip: pod_ip.unwrap_or_default().to_string(),
        };
        for (name, record) in &mut state.containers {
            let newest = sandbox
                .containers
                .iter()
                .filter(|c| &c.run.container == name)
                .max_by_key(|c| c.run.attempt);
            match newest {
                Some(newest) if record.attempt().is_none_or(|a| newest.run.attempt >= a) => {
                    if record.attempt() == Some(newest.run.attempt) {
                        record.here = true;
                        record.released = false;
                        record.observe(newest);
                    } else {
                        record.started(newest);
                    }
                }
                _ => record.lost(now_ms, wanted),
            }
        }
        state
    }
}

fn user_from_status(status: &ContainerStatus) -> Option<crate::runtime::ProcessUser> {
    let user = status.user.as_ref()?.linux.as_ref()?;
    let id = |value: i64| u32::try_from(value).ok();
    let groups = user.supplemental_groups.iter().flatten();
    Some(crate::runtime::ProcessUser {
        uid: id(user.uid)?,
        gid: id(user.gid)?,
        groups: groups.filter_map(|group| id(*group)).collect(),
    })
}

fn record_from_status(status: &ContainerStatus) -> Record {
    let attempt = u32::try_from(status.restart_count).unwrap_or(0);
    let mut record = Record {
        image: status.image.clone(),
        image_id: status.image_id.clone(),
        released: true,
        user: user_from_status(status),
        ..Record::default()
    };
    let state = status.state.clone().unwrap_or_default();
    let last = status.last_state.clone().unwrap_or_default();
    if let Some(running) = state.running {
        record.run = Run::Running {
            attempt,
            id: strip_id(status.container_id.as_deref()),
            started_ms: running.started_at.map_or(0, |t| t.0.as_millisecond()),
        };
        record.previous = last
            .terminated
            .map(|t| ended_from_status(attempt.saturating_sub(1), t));
    } else if let Some(terminated) = state.terminated {
        record.run = Run::Ended(ended_from_status(attempt, terminated));
        record.previous = last
            .terminated
            .map(|t| ended_from_status(attempt.saturating_sub(1), t));
    } else if let Some(terminated) = last.terminated {
        record.run = Run::Ended(ended_from_status(attempt, terminated));
    }
    record.next_attempt = record.attempt().map_or(0, |a| a + 1);
    record.renew = record
        .ended()
        .is_some_and(|ended| ended.reason == RESTARTING_ALL);
    record
}

fn ended_from_status(
    attempt: u32,
    terminated: k8s_openapi::api::core::v1::ContainerStateTerminated,
) -> Ended {
    Ended {
        attempt,
        id: strip_id(terminated.container_id.as_deref()),
        exit: Exit {
            code: terminated.exit_code,
            signal: terminated.signal,
            oom_killed: terminated.reason.as_deref() == Some("OOMKilled"),
            started_at_ms: terminated.started_at.map_or(0, |t| t.0.as_millisecond()),
            finished_at_ms: terminated.finished_at.map_or(0, |t| t.0.as_millisecond()),
            message: None,
        },
        reason: terminated.reason.unwrap_or_default(),
        message: terminated.message,
        unhealthy: false,
    }
}

fn strip_id(id: Option<&str>) -> String {
    id.and_then(|id| id.strip_prefix("coracle://"))
        .unwrap_or_default()
        .to_string()
}
