//! What a worker knows of its pod beyond the object itself.

use super::backoff::Backoff;
use crate::runtime::{self, Exit, RunId, SandboxStatus};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use std::collections::BTreeMap;

/// Exit code of a run whose end nobody saw (power cut): containerd reports 255 there.
pub const EXIT_CODE_LOST: i32 = 255;
/// Exit code where the container could not be started (upstream: `RunContainerError`, 128).
pub const EXIT_CODE_NOT_STARTED: i32 = 128;

/// Why and until when a pod is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Termination {
    /// SIGKILL from here on.
    pub deadline_ms: i64,
}

/// The node refused or gave up the pod; its phase is Failed whatever the containers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub reason: String,
    pub message: String,
}

/// The pod's sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sandbox {
    /// None is there; `retry_ms` after a failed attempt to make one.
    #[default]
    Absent,
    Retry {
        at_ms: i64,
        failures: u32,
    },
    Alive {
        ip: String,
    },
}

/// Volumes and everything else a sandbox needs before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Volumes {
    #[default]
    Absent,
    Retry {
        at_ms: i64,
        failures: u32,
    },
    Ready,
}

/// The image for a container's next run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ImageState {
    /// Not looked at for this attempt.
    #[default]
    Unknown,
    Pulling,
    /// Present, and fresh enough for its pull policy.
    Ready,
    /// Cannot be had; no new try before `retry_ms`.
    Failed {
        reason: &'static str,
        message: String,
        failed_ms: i64,
        retry_ms: i64,
    },
}

/// One run of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Run {
    #[default]
    Never,
    Running {
        attempt: u32,
        id: String,
        started_ms: i64,
    },
    Ended(Ended),
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub attempt: u32,
    pub id: String,
    pub exit: Exit,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerStatusUnknown`…
    pub reason: String,
    pub message: Option<String>,
}

/// Why a container does not start now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    pub reason: &'static str,
    pub message: String,
    pub retry_ms: i64,
}

/// A container's history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    pub run: Run,
    /// The run before `run` (`lastState`).
    pub previous: Option<Ended>,
    /// Attempt number of the next start.
    pub next_attempt: u32,
    /// Full image name and id of the newest run, as reported.
    pub image: String,
    pub image_id: String,
    pub image_state: ImageState,
    pub crash_backoff: Backoff,
    pub pull_backoff: Backoff,
    pub blocked: Option<Blocked>,
    /// The stop signal has been sent to this attempt.
    pub stop_sent: Option<u32>,
    /// SIGKILL has been sent to this attempt.
    pub kill_sent: Option<u32>,
    /// The run belongs to the present sandbox.
    pub here: bool,
    /// The exited run is no longer held by the runtime.
    pub released: bool,
    /// Who the newest run began as.
    pub user: Option<runtime::ProcessUser>,
}

impl Record {
    pub fn is_running(&self) -> bool {
        matches!(self.run, Run::Running { .. })
    }

    pub fn ended(&self) -> Option<&Ended> {
        match &self.run {
            Run::Ended(ended) => Some(ended),
            _ => None,
        }
    }

    pub fn succeeded(&self) -> bool {
        self.ended().is_some_and(|e| e.exit.code == 0)
    }

    /// The number of the newest run; what `restartCount` shows.
    pub fn attempt(&self) -> Option<u32> {
        match &self.run {
            Run::Never => None,
            Run::Running { attempt, .. } => Some(*attempt),
            Run::Ended(ended) => Some(ended.attempt),
        }
    }

    /// A run began.
    pub fn started(&mut self, status: &runtime::ContainerStatus) {
        if let Run::Ended(ended) = std::mem::take(&mut self.run) {
            self.previous = Some(ended);
        }
        self.next_attempt = status.run.attempt + 1;
        self.image_state = ImageState::Unknown;
        self.blocked = None;
        self.released = false;
        self.here = true;
        self.run = Run::Running {
            attempt: status.run.attempt,
            id: status.id.clone(),
            started_ms: 0,
        };
        self.observe(status);
    }

    /// The runtime's word on the current run.
    pub fn observe(&mut self, status: &runtime::ContainerStatus) {
        if self.attempt() != Some(status.run.attempt) || matches!(self.run, Run::Ended(_)) {
            return;
        }
        if status.user.is_some() {
            self.user.clone_from(&status.user);
        }
        match &status.state {
            runtime::ContainerState::Running { started_at_ms, .. } => {
                self.run = Run::Running {
                    attempt: status.run.attempt,
                    id: status.id.clone(),
                    started_ms: *started_at_ms,
                };
            }
            runtime::ContainerState::Exited(exit) => {
                self.run = Run::Ended(Ended::from_exit(
                    status.run.attempt,
                    status.id.clone(),
                    exit.clone(),
                ));
            }
        }
    }

    /// A run that could not begin.
    pub fn start_failed(&mut self, attempt: u32, message: &str, now_ms: i64) {
        if let Run::Ended(ended) = std::mem::take(&mut self.run) {
            self.previous = Some(ended);
        }
        self.next_attempt = attempt + 1;
        self.image_state = ImageState::Unknown;
        self.blocked = None;
        // Nothing of it is left in the runtime.
        self.released = true;
        self.here = true;
        self.run = Run::Ended(Ended {
            attempt,
            id: String::new(),
            exit: Exit {
                code: EXIT_CODE_NOT_STARTED,
                signal: None,
                oom_killed: false,
                // Upstream shows the epoch for a process that never began.
                started_at_ms: 0,
                finished_at_ms: now_ms,
                message: Some(message.to_string()),
            },
            reason: "StartError".to_string(),
            message: Some(message.to_string()),
        });
    }

    /// The sandbox is gone and this run with it, its end unseen.
    pub fn lost(&mut self, now_ms: i64) {
        self.released = true;
        self.here = false;
        if !matches!(self.run, Run::Running { .. }) {
            return;
        }
        if let Run::Running {
            attempt,
            id,
            started_ms,
        } = std::mem::take(&mut self.run)
        {
            self.run = Run::Ended(Ended {
                attempt,
                id,
                exit: Exit {
                    code: EXIT_CODE_LOST,
                    signal: None,
                    oom_killed: false,
                    started_at_ms: started_ms,
                    finished_at_ms: now_ms,
                    message: None,
                },
                reason: "Unknown".to_string(),
                message: None,
            });
        }
    }
}

impl Ended {
    pub fn from_exit(attempt: u32, id: String, exit: Exit) -> Ended {
        let reason = if exit.message.is_some() {
            "StartError"
        } else if exit.oom_killed {
            "OOMKilled"
        } else if exit.code == 0 {
            "Completed"
        } else {
            "Error"
        };
        let message = exit.message.clone();
        Ended {
            attempt,
            id,
            exit,
            reason: reason.to_string(),
            message,
        }
    }
}

/// Everything of a pod that is not in its spec.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodState {
    pub started_ms: Option<i64>,
    pub sandbox: Sandbox,
    pub volumes: Volumes,
    pub containers: BTreeMap<String, Record>,
    pub termination: Option<Termination>,
    pub verdict: Option<Verdict>,
    /// When whatever still runs of a pod that is over (sidecars; all of one past its deadline) gets SIGKILL.
    pub finish_deadline_ms: Option<i64>,
    /// No confirmation of the deletion before this time: one is under way or has just failed.
    pub delete_retry_ms: Option<i64>,
    /// Directories, volumes and leases are gone.
    pub cleaned: bool,
    /// The pod was removed from the API.
    pub gone: bool,
}

/// The containers of a pod, init containers first, each with whether it is one.
pub fn containers(pod: &Pod) -> impl Iterator<Item = (bool, &Container)> {
    let spec = pod.spec.as_ref();
    let init = spec
        .and_then(|s| s.init_containers.as_deref())
        .unwrap_or_default();
    let main = spec.map(|s| s.containers.as_slice()).unwrap_or_default();
    init.iter()
        .map(|c| (true, c))
        .chain(main.iter().map(|c| (false, c)))
}

/// An init container that keeps running beside the pod (`restartPolicy: Always`).
/// <https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/>
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

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
        let reported = status
            .init_container_statuses
            .iter()
            .flatten()
            .chain(status.container_statuses.iter().flatten());
        for reported in reported {
            state
                .containers
                .insert(reported.name.clone(), record_from_status(reported));
        }
        for (_, container) in containers(pod) {
            state.containers.entry(container.name.clone()).or_default();
        }
        let Some(sandbox) = sandbox else {
            for record in state.containers.values_mut() {
                record.lost(now_ms);
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
                _ => record.lost(now_ms),
            }
        }
        state
    }

    /// The runtime's present view; `None`: the sandbox is gone. True where something changed.
    pub fn observe(&mut self, sandbox: Option<&SandboxStatus>, now_ms: i64) -> bool {
        let before = self.clone();
        match sandbox {
            Some(sandbox) => {
                for status in &sandbox.containers {
                    if let Some(record) = self.containers.get_mut(&status.run.container) {
                        record.observe(status);
                    }
                }
                for (name, record) in &mut self.containers {
                    let attempt = record.attempt();
                    let held = |c: &runtime::ContainerStatus| {
                        &c.run.container == name && Some(c.run.attempt) == attempt
                    };
                    // The runtime knows nothing of a run thought alive: it ended unseen.
                    if record.is_running() && !sandbox.containers.iter().any(held) {
                        record.lost(now_ms);
                        record.here = true;
                    }
                }
            }
            None => self.sandbox_lost(now_ms),
        }
        *self != before
    }

    /// The sandbox is gone: every run ended with it, and addresses too.
    pub fn sandbox_lost(&mut self, now_ms: i64) {
        if matches!(self.sandbox, Sandbox::Alive { .. }) {
            self.sandbox = Sandbox::Absent;
            for record in self.containers.values_mut() {
                record.lost(now_ms);
            }
        }
    }

    pub fn record(&self, name: &str) -> Option<&Record> {
        self.containers.get(name)
    }

    pub fn any_running(&self) -> bool {
        self.containers.values().any(Record::is_running)
    }

    /// The run a container has now, if it is running.
    pub fn running(&self, container: &str) -> Option<RunId> {
        match &self.containers.get(container)?.run {
            Run::Running { attempt, .. } => Some(RunId {
                container: container.to_string(),
                attempt: *attempt,
            }),
            _ => None,
        }
    }
}

fn user_from_status(status: &ContainerStatus) -> Option<runtime::ProcessUser> {
    let user = status.user.as_ref()?.linux.as_ref()?;
    let id = |value: i64| u32::try_from(value).ok();
    let groups = user.supplemental_groups.iter().flatten();
    Some(runtime::ProcessUser {
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
    }
}

fn strip_id(id: Option<&str>) -> String {
    id.and_then(|id| id.strip_prefix("coracle://"))
        .unwrap_or_default()
        .to_string()
}
