//! What a worker knows of one container: its newest run, the one before, and what keeps it from the next.

use super::backoff::Backoff;
use super::health::{self, Standing, Unhealthy};
use crate::runtime::{self, Exit};

/// Exit code of a run whose end nobody saw (power cut): containerd reports 255 there.
pub const EXIT_CODE_LOST: i32 = 255;
/// Exit code of a run that was lost while it was being ended (upstream: `ContainerStatusUnknown`, 137).
pub const EXIT_CODE_KILLED: i32 = 137;
/// Reason and message of a run that ended because all containers run again, as upstream reports it.
pub const RESTARTING_ALL: &str = "RestartingAllContainers";
pub const RESTARTING_ALL_MESSAGE: &str =
    "The container is removed because RestartAllContainers in place";
/// Exit code where the container could not be started (upstream: `RunContainerError`, 128).
pub const EXIT_CODE_NOT_STARTED: i32 = 128;

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
    /// It was stopped because a startup or liveness probe failed: a failure whatever its exit code.
    pub unhealthy: bool,
}

/// Why a container does not start now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    pub reason: &'static str,
    pub message: String,
    pub retry_ms: i64,
}

/// The steps of a stop, in order; a run's own, so that the next one begins with the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stop {
    #[default]
    None,
    /// The `preStop` hook runs.
    Hook,
    /// The hook is over, or there is none: the signal may go.
    Due,
    /// The stop signal was sent.
    Asked { at_ms: i64 },
    /// SIGKILL was sent.
    Killed,
}

/// Why and until when a single run is ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// SIGKILL from here on.
    pub deadline_ms: i64,
    /// What the event says: `Container a failed liveness probe, will be restarted`.
    pub message: String,
}

/// A start that came to nothing: `RunContainerError`, `PostStartHookError`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub reason: &'static str,
    pub message: String,
    pub at_ms: i64,
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
    /// The run belongs to the present sandbox.
    pub here: bool,
    /// The exited run is no longer held by the runtime.
    pub released: bool,
    /// Who the newest run began as.
    pub user: Option<runtime::ProcessUser>,
    /// How far the stop of the present run has come.
    pub stop: Stop,
    /// The present run is to end while its pod goes on.
    pub ending: Option<Ending>,
    /// The `postStart` hook of the present run has not come to its end.
    pub post_start: bool,
    /// Why the newest run did not come to run, though it was tried.
    pub failure: Option<Failure>,
    /// The image the newest run was made from, as the spec had it; empty: not known.
    pub spec_image: String,
    /// Must run again whatever its policy says: its definition changed.
    pub renew: bool,
    /// What the probes of its newest run say; `None` where it has none, or none has begun.
    pub health: Option<Standing>,
    /// A run that is being stopped because a probe failed.
    pub unhealthy: Option<Unhealthy>,
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

    /// Running, and past its `postStart` hook: before that upstream does not call it running.
    pub fn is_up(&self) -> bool {
        self.is_running() && !self.post_start
    }

    /// Asks for the end of the present run while the pod goes on; `message` is the event's. The first one stands.
    pub fn end(&mut self, message: String, grace_s: i64, now_ms: i64) {
        if self.is_running() && self.ending.is_none() {
            self.ending = Some(Ending {
                deadline_ms: now_ms.saturating_add(grace_s.max(0).saturating_mul(1000)),
                message,
            });
        }
    }

    /// The number of the newest run; what `restartCount` shows.
    pub fn attempt(&self) -> Option<u32> {
        match &self.run {
            Run::Never => None,
            Run::Running { attempt, .. } => Some(*attempt),
            Run::Ended(ended) => Some(ended.attempt),
        }
    }

    /// The newest run's id; empty before the first.
    pub fn id(&self) -> &str {
        match &self.run {
            Run::Never => "",
            Run::Running { id, .. } => id,
            Run::Ended(ended) => &ended.id,
        }
    }

    /// When the newest run began, Unix milliseconds; 0 before the first.
    pub fn started_ms(&self) -> i64 {
        match &self.run {
            Run::Never => 0,
            Run::Running { started_ms, .. } => *started_ms,
            Run::Ended(ended) => ended.exit.started_at_ms,
        }
    }

    /// A run began.
    pub fn started(&mut self, status: &runtime::ContainerStatus) {
        if let Run::Ended(ended) = std::mem::take(&mut self.run) {
            self.previous = Some(ended);
        }
        self.begin(status.run.attempt);
        self.released = false;
        self.run = Run::Running {
            attempt: status.run.attempt,
            id: status.id.clone(),
            started_ms: 0,
        };
        self.observe(status);
    }

    /// Forgets what was the last run's own.
    fn begin(&mut self, attempt: u32) {
        self.next_attempt = attempt + 1;
        self.image_state = ImageState::Unknown;
        self.blocked = None;
        self.here = true;
        self.stop = Stop::None;
        self.ending = None;
        self.post_start = false;
        self.failure = None;
        self.renew = false;
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
                let mut ended =
                    Ended::from_exit(status.run.attempt, status.id.clone(), exit.clone());
                ended.unhealthy = health::failed(self).is_some();
                self.run = Run::Ended(ended);
                self.over();
            }
        }
    }

    /// A run that could not begin.
    pub fn start_failed(&mut self, attempt: u32, message: &str, now_ms: i64) {
        if let Run::Ended(ended) = std::mem::take(&mut self.run) {
            self.previous = Some(ended);
        }
        self.begin(attempt);
        // Nothing of it is left in the runtime.
        self.released = true;
        self.failure = Some(Failure {
            reason: "RunContainerError",
            message: message.to_string(),
            at_ms: now_ms,
        });
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
            unhealthy: false,
        });
    }

    /// All containers of the pod run again: whatever came of this one's last run counts no more.
    pub fn reset(&mut self, now_ms: i64) {
        let (id, started_ms) = match std::mem::take(&mut self.run) {
            Run::Never => return,
            Run::Running { id, started_ms, .. } => (id, started_ms),
            Run::Ended(ended) => (ended.id, ended.exit.started_at_ms),
        };
        self.over();
        self.released = true;
        self.here = false;
        self.renew = true;
        self.run = Run::Ended(Ended {
            attempt: self.next_attempt.saturating_sub(1),
            id,
            exit: Exit {
                code: EXIT_CODE_KILLED,
                signal: None,
                oom_killed: false,
                started_at_ms: started_ms,
                finished_at_ms: now_ms,
                message: None,
            },
            reason: RESTARTING_ALL.to_string(),
            message: Some(RESTARTING_ALL_MESSAGE.to_string()),
            unhealthy: false,
        });
    }

    /// It waits to run again with all others.
    pub fn is_reset(&self) -> bool {
        self.renew && self.ended().is_some_and(|e| e.reason == RESTARTING_ALL)
    }

    /// The present run has ended.
    fn over(&mut self) {
        self.ending = None;
        self.post_start = false;
    }

    /// The sandbox is gone and this run with it, its end unseen. `wanted`: nobody asked for that end.
    pub fn lost(&mut self, now_ms: i64, wanted: bool) {
        self.released = true;
        self.here = false;
        if !matches!(self.run, Run::Running { .. }) {
            return;
        }
        self.over();
        let (code, reason, message) = if wanted {
            (EXIT_CODE_LOST, "Unknown", None)
        } else {
            let message = "The container could not be located when the pod was terminated";
            (
                EXIT_CODE_KILLED,
                "ContainerStatusUnknown",
                Some(message.to_string()),
            )
        };
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
                    code,
                    signal: None,
                    oom_killed: false,
                    started_at_ms: started_ms,
                    finished_at_ms: now_ms,
                    message: None,
                },
                reason: reason.to_string(),
                message,
                unhealthy: false,
            });
        }
    }
}

impl Failure {
    /// It shows from the end of its run on, which may have taken its time after the failure.
    pub fn shown_from(&self, ended: Option<&Ended>) -> i64 {
        ended.map_or(self.at_ms, |e| e.exit.finished_at_ms.max(self.at_ms))
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
            unhealthy: false,
        }
    }
}
