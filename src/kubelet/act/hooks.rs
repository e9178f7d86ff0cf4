//! `postStart` and `preStop` hooks of a pod's containers: begun, given up, and what their end means.
//!
//! Each runs in a task of its own, so that other containers go on; at most one per container.

use crate::kubelet::events::Kind;
use crate::kubelet::hooks::{Place, run};
use crate::kubelet::now_ms;
use crate::kubelet::pod::decide::grace_s;
use crate::kubelet::pod::record::{Failure, Stop};
use crate::kubelet::pod::state::Sandbox;
use crate::kubelet::worker::Worker;
use k8s_openapi::api::core::v1::Container;
use tokio::task::JoinError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    PostStart,
    PreStop,
}

/// A hook that came to its end.
#[derive(Debug)]
pub struct Ended {
    container: String,
    attempt: u32,
    stage: Stage,
    result: Result<(), String>,
}

impl Worker {
    pub(super) fn begin_hook(&mut self, container: &Container, attempt: u32, stage: Stage) {
        let hooks = container.lifecycle.as_ref();
        let Some(handler) = hooks.and_then(|l| match stage {
            Stage::PostStart => l.post_start.clone(),
            Stage::PreStop => l.pre_stop.clone(),
        }) else {
            return;
        };
        let name = container.name.clone();
        self.give_up_hook(&name);
        let place = Place {
            uid: self.uid.clone(),
            pod: format!("{}_{}({})", self.pod_name(), self.namespace(), self.uid),
            pod_ip: match &self.state.sandbox {
                Sandbox::Alive { ip } => ip.clone(),
                _ => String::new(),
            },
        };
        let runtime = self.ctx.runtime.clone();
        let own = container.clone();
        let task = self.hooks.spawn(async move {
            let result = run(&runtime, &place, &own, &handler).await;
            Ended {
                container: own.name,
                attempt,
                stage,
                result,
            }
        });
        self.hook_handles.insert(name, task);
    }

    /// Ends a container's hook, if one runs.
    pub(super) fn give_up_hook(&mut self, container: &str) {
        if let Some(task) = self.hook_handles.remove(container) {
            task.abort();
        }
    }

    /// Ends the hooks of containers that run no more.
    pub(in crate::kubelet) fn give_up_idle_hooks(&mut self) {
        let state = &self.state;
        self.hook_handles.retain(|name, task| {
            let runs = state.record(name).is_some_and(|r| r.is_running());
            if !runs {
                task.abort();
            }
            runs
        });
    }

    pub(in crate::kubelet) fn hooked(&mut self, ended: Result<Ended, JoinError>) {
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => {
                if !error.is_cancelled() {
                    tracing::error!(pod = %self.name(), %error, "a hook broke off");
                }
                return;
            }
        };
        let grace_s = grace_s(&self.pod);
        let name = ended.container.as_str();
        let Some(record) = self.state.containers.get_mut(name) else {
            return;
        };
        if record.attempt() != Some(ended.attempt) || !record.is_running() {
            return;
        }
        self.hook_handles.remove(name);
        match ended.stage {
            Stage::PostStart => match &ended.result {
                Ok(()) => record.post_start = false,
                // It never counts as running: what follows is its end.
                Err(message) => {
                    let now_ms = now_ms();
                    record.failure = Some(Failure {
                        reason: "PostStartHookError",
                        message: message.clone(),
                        at_ms: now_ms,
                    });
                    record.end("FailedPostStartHook".to_string(), grace_s, now_ms);
                }
            },
            Stage::PreStop => {
                if record.stop == Stop::Hook {
                    record.stop = Stop::Due;
                }
            }
        }
        if let Err(error) = &ended.result {
            tracing::info!(pod = %self.name(), container = name, error, "a hook failed");
            let (reason, message) = match ended.stage {
                Stage::PostStart => ("FailedPostStartHook", "PostStartHook failed"),
                Stage::PreStop => ("FailedPreStopHook", "PreStopHook failed"),
            };
            let init = self.container(name).is_some_and(|(init, _)| init);
            self.event(
                Some((init, name)),
                Kind::Warning,
                reason,
                message.to_string(),
            );
        }
    }
}
