//! What a worker knows of its pod beyond the object itself.

use super::record::{Record, Run};
use super::resize::{Held, Hindrance};
use crate::runtime::{self, RunId, SandboxStatus};
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::BTreeMap;

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

/// Everything of a pod that is not in its spec.
#[derive(Debug, Clone, PartialEq, Default)]
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
    /// The pod is over and its volumes are gone.
    pub volumes_freed: bool,
    /// Why the node's own trouble ends the pod: message of the condition DisruptionTarget.
    pub disrupted: Option<String>,
    /// What containers were granted, where that is not what their specs say.
    pub granted: Held,
    /// What running containers really have, where that is not what they were granted.
    pub real: Held,
    /// Why the granted and the real are not as the spec says.
    pub hindrance: Option<Hindrance>,
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
    /// The runtime's present view; `None`: the sandbox is gone. True where something changed.
    pub fn observe(&mut self, sandbox: Option<&SandboxStatus>, now_ms: i64) -> bool {
        let before = self.clone();
        let wanted = self.wanted();
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
                        record.lost(now_ms, wanted);
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
            let wanted = self.wanted();
            for record in self.containers.values_mut() {
                record.lost(now_ms, wanted);
            }
        }
    }

    /// Nobody has asked for the pod's end.
    fn wanted(&self) -> bool {
        self.termination.is_none() && self.verdict.is_none()
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
