//! A pod driven by hand: the state changes as a worker would change it.

use crate::kubelet::pod::decide::{Action, advance, decide};
use crate::kubelet::pod::phase::{Phase, reported};
use crate::kubelet::pod::record::{ImageState, Record, Stop};
use crate::kubelet::pod::state::{PodState, Sandbox, Volumes};
use crate::runtime::{ContainerState, ContainerStatus, Exit, RunId, SandboxSpec, SandboxStatus};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

/// A pod in a world where every action succeeds at once.
pub struct World {
    pub pod: Pod,
    pub state: PodState,
    pub now_ms: i64,
    pub done: Vec<String>,
}

pub fn pod(spec: serde_json::Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec
    }))
    .unwrap()
}

pub fn exit(code: i32, at_ms: i64) -> Exit {
    Exit {
        code,
        signal: (code > 128).then_some(code - 128),
        oom_killed: false,
        started_at_ms: 0,
        finished_at_ms: at_ms,
        message: None,
    }
}

pub fn run(name: &str, attempt: u32, state: ContainerState) -> ContainerStatus {
    ContainerStatus {
        run: RunId {
            container: name.to_string(),
            attempt,
        },
        id: format!("{name}{attempt}"),
        state,
        user: None,
    }
}

pub fn sandbox(containers: Vec<ContainerStatus>) -> SandboxStatus {
    SandboxStatus {
        spec: SandboxSpec {
            pod_uid: "u".to_string(),
            namespace: String::new(),
            name: String::new(),
            hostname: String::new(),
            host_network: false,
            host_pid: false,
            host_ipc: false,
            cgroup: String::new(),
            resolv_conf: String::new(),
            sysctls: Vec::new(),
            share_process_namespace: false,
            first_user: None,
        },
        pid: 1,
        containers,
    }
}

impl World {
    pub fn new(spec: serde_json::Value) -> World {
        let pod = pod(spec);
        let mut state = PodState::rebuild(&pod, None, None, 0);
        state.started_ms = Some(0);
        World {
            pod,
            state,
            now_ms: 1_000_000,
            done: Vec::new(),
        }
    }

    /// Decides and acts until nothing is left to do now; returns when to wake.
    pub fn settle(&mut self) -> Option<i64> {
        for _ in 0..100 {
            advance(&self.pod, &mut self.state, self.now_ms);
            let decision = decide(&self.pod, &self.state, self.now_ms);
            if decision.actions.is_empty() {
                return decision.wake_ms;
            }
            for action in decision.actions {
                self.act(action);
            }
        }
        panic!("never settles: {:?}", self.done);
    }

    fn act(&mut self, action: Action) {
        let (now_ms, state) = (self.now_ms, &mut self.state);
        let note = match action {
            Action::PrepareVolumes => {
                state.volumes = Volumes::Ready;
                return;
            }
            Action::EnsureImage { container } => {
                state.containers.get_mut(&container).unwrap().image_state = ImageState::Ready;
                return;
            }
            Action::CreateSandbox => {
                state.sandbox = Sandbox::Alive {
                    ip: "10.42.0.2".to_string(),
                };
                "sandbox".to_string()
            }
            Action::StartContainer { container, attempt } => {
                let spec = crate::kubelet::pod::state::containers(&self.pod)
                    .find(|(_, c)| c.name == container)
                    .map(|(_, c)| c.clone())
                    .unwrap_or_default();
                let record = state.containers.get_mut(&container).unwrap();
                record.spec_image = spec.image.unwrap_or_default();
                if let Some(ended) = record.ended().map(|e| e.exit.finished_at_ms) {
                    record.crash_backoff.next(ended, now_ms);
                }
                let running = ContainerState::Running {
                    pid: 2,
                    started_at_ms: now_ms,
                };
                record.started(&run(&container, attempt, running));
                record.post_start = spec.lifecycle.is_some_and(|l| l.post_start.is_some());
                format!("start {container}.{attempt}")
            }
            Action::BeginStop {
                container, hook, ..
            } => {
                state.containers.get_mut(&container).unwrap().stop =
                    if hook { Stop::Hook } else { Stop::Due };
                if !hook {
                    return;
                }
                format!("hook {container}")
            }
            Action::Stop { container, .. } => {
                state.containers.get_mut(&container).unwrap().stop = Stop::Asked { at_ms: now_ms };
                format!("stop {container}")
            }
            Action::Kill { container, .. } => {
                state.containers.get_mut(&container).unwrap().stop = Stop::Killed;
                format!("kill {container}")
            }
            Action::RemoveContainer { container, attempt } => {
                state.containers.get_mut(&container).unwrap().released = true;
                format!("remove {container}.{attempt}")
            }
            Action::ResetContainers => {
                for record in state.containers.values_mut() {
                    record.reset(now_ms);
                }
                "reset".to_string()
            }
            Action::RemoveSandbox => {
                state.sandbox_lost(now_ms);
                "remove sandbox".to_string()
            }
            Action::FreeVolumes => {
                state.volumes_freed = true;
                "free volumes".to_string()
            }
            Action::CleanUp => {
                state.cleaned = true;
                "clean".to_string()
            }
            Action::DeletePod => {
                state.delete_retry_ms = Some(now_ms + 10_000);
                "delete".to_string()
            }
            Action::Exit => {
                // The worker ends here; nothing more may be decided.
                state.delete_retry_ms = Some(i64::MAX);
                self.pod
                    .metadata
                    .deletion_timestamp
                    .get_or_insert(crate::kubelet::pod::status::time(0));
                state.gone = false;
                "exit".to_string()
            }
        };
        self.done.push(note);
    }

    pub fn ends(&mut self, container: &str, code: i32) {
        let record = self.state.containers.get_mut(container).unwrap();
        let attempt = record.attempt().unwrap();
        record.observe(&run(
            container,
            attempt,
            ContainerState::Exited(exit(code, self.now_ms)),
        ));
    }

    /// What was done since the last call.
    pub fn told(&mut self) -> String {
        std::mem::take(&mut self.done).join(", ")
    }

    pub fn delete(&mut self, grace_s: i64) {
        self.pod.metadata.deletion_timestamp = Some(crate::kubelet::pod::status::time(self.now_ms));
        self.pod.metadata.deletion_grace_period_seconds = Some(grace_s);
    }

    /// As it is reported.
    pub fn phase(&self) -> Phase {
        reported(&self.pod, &self.state)
    }

    pub fn record(&mut self, container: &str) -> &mut Record {
        self.state.containers.get_mut(container).unwrap()
    }
}
