//! Stopping containers, and giving everything back.

use super::hooks::Stage;
use crate::crash;
use crate::kubelet::events::Kind;
use crate::kubelet::now_ms;
use crate::kubelet::pod::health;
use crate::kubelet::pod::record::Stop;
use crate::kubelet::pod::restart::may_restart;
use crate::kubelet::pod::state::containers;
use crate::kubelet::spec::command;
use crate::kubelet::volumes;
use crate::kubelet::worker::Worker;
use crate::runtime::{RunId, RuntimeError};
use k8s_openapi::api::core::v1::Container;
use std::path::PathBuf;

impl Worker {
    /// Tells that the container is being stopped, and begins its `preStop` hook.
    pub(in crate::kubelet) fn begin_stop(&mut self, name: &str, attempt: u32, hook: bool) {
        let Some((init, container)) = self.container(name) else {
            return;
        };
        let Some(record) = self.state.containers.get_mut(name) else {
            return;
        };
        record.stop = if hook { Stop::Hook } else { Stop::Due };
        let asked = record.ending.as_ref().map(|e| e.message.clone());
        let message = asked.unwrap_or_else(|| self.stop_message(name));
        self.event(Some((init, name)), Kind::Normal, "Killing", message);
        if hook {
            self.begin_hook(&container, attempt, Stage::PreStop);
        }
    }

    pub(in crate::kubelet) async fn signal(&mut self, name: &str, attempt: u32, kill: bool) {
        let Some((_, container)) = self.container(name) else {
            return;
        };
        // A hook that has not come to its end by now has had its time.
        self.give_up_hook(name);
        let signal = if kill {
            nix::libc::SIGKILL
        } else {
            self.stop_signal(&container)
        };
        let Some(record) = self.state.containers.get_mut(name) else {
            return;
        };
        let before = record.stop;
        record.stop = if kill {
            Stop::Killed
        } else {
            Stop::Asked { at_ms: now_ms() }
        };
        let run = RunId {
            container: name.to_string(),
            attempt,
        };
        let sent = self
            .ctx
            .runtime
            .kill_container(&self.uid, &run, signal)
            .await;
        // One that ended by itself in this moment needs no signal.
        if let Err(error) = sent
            && !matches!(error, RuntimeError::NotRunning { .. })
        {
            tracing::warn!(pod = %self.name(), container = name, signal, %error, "signal not sent; trying again");
            if let Some(record) = self.state.containers.get_mut(name) {
                record.stop = before;
            }
            self.pause();
        }
    }

    fn stop_message(&self, name: &str) -> String {
        let ends = self.state.termination.is_some() || self.state.verdict.is_some();
        let failed = self.state.record(name).and_then(health::failed);
        match failed.filter(|_| !ends) {
            Some(failed) => {
                let restarts = self
                    .container(name)
                    .is_some_and(|(_, c)| may_restart(&self.pod, &c));
                health::killing_message(name, failed, restarts)
            }
            None => format!("Stopping container {name}"),
        }
    }

    fn stop_signal(&self, container: &Container) -> i32 {
        let of_pod = container
            .lifecycle
            .as_ref()
            .and_then(|l| l.stop_signal.clone());
        let of_image = || {
            let image = container.image.as_deref().unwrap_or_default();
            self.ctx
                .puller
                .images()
                .find(image)
                .ok()
                .flatten()
                .map(|i| i.config.stop_signal)
        };
        command::stop_signal(&of_pod.or_else(of_image).unwrap_or_default())
    }

    pub(in crate::kubelet) async fn remove_container(&mut self, name: &str, attempt: u32) {
        let run = RunId {
            container: name.to_string(),
            attempt,
        };
        match self.ctx.runtime.remove_container(&self.uid, &run).await {
            Ok(()) | Err(RuntimeError::NoSandbox(_)) => {
                if let Some(record) = self.state.containers.get_mut(name) {
                    record.released = true;
                }
                let dir = self.ctx.dirs.writable(&self.uid, name, attempt);
                self.remove_dirs(vec![dir]).await;
            }
            Err(error) => {
                tracing::warn!(pod = %self.name(), container = name, %error, "ended container not removed; trying again");
                self.pause();
            }
        }
    }

    /// Removes the ended runs of all containers but debug containers, and forgets how they ended.
    pub(in crate::kubelet) async fn reset_containers(&mut self) {
        let held: Vec<(String, u32)> = containers(&self.pod)
            .filter_map(|(_, c)| {
                let record = self.state.record(&c.name).filter(|r| !r.released)?;
                Some((c.name.clone(), record.ended()?.attempt))
            })
            .collect();
        for (name, attempt) in held {
            self.remove_container(&name, attempt).await;
            if self.pause_until_ms.is_some() {
                return;
            }
        }
        let now_ms = now_ms();
        for (_, container) in containers(&self.pod) {
            if let Some(record) = self.state.containers.get_mut(&container.name) {
                record.reset(now_ms);
            }
        }
        // Seen as such before they start again.
        self.report().await;
    }

    pub(in crate::kubelet) async fn remove_sandbox(&mut self) {
        let removed = self.ctx.runtime.remove_sandbox(&self.uid).await;
        if let Err(error) = removed
            && !matches!(error, RuntimeError::NoSandbox(_))
        {
            tracing::warn!(pod = %self.name(), %error, "sandbox not removed; trying again");
            self.pause();
            return;
        }
        crash::point(|| "sandbox gone, address held".to_owned());
        if let Err(error) = self.ctx.network.detach(&self.uid).await {
            tracing::warn!(pod = %self.name(), %error, "address not freed; the next start frees it");
        }
        self.state.sandbox_lost(now_ms());
        self.ctx.cgroups.release(&self.pod).await;
        let dir = self.ctx.dirs.containers(&self.uid);
        self.remove_dirs(vec![dir]).await;
    }

    pub(in crate::kubelet) async fn clean_up(&mut self) {
        // A sandbox that died by itself left its address behind.
        if let Err(error) = self.ctx.network.detach(&self.uid).await {
            tracing::warn!(pod = %self.name(), %error, "address not freed; the next start frees it");
        }
        let dirs = self.ctx.dirs.clone();
        let uid = self.uid.clone();
        let cleaned = tokio::task::spawn_blocking(move || volumes::remove_pod(&dirs, &uid)).await;
        match cleaned {
            Ok(Ok(())) => self.state.cleaned = true,
            Ok(Err(error)) => {
                tracing::warn!(pod = %self.name(), %error, "pod's files not removed; trying again");
                self.pause();
            }
            Err(error) => {
                tracing::warn!(pod = %self.name(), %error, "pod's files not removed; trying again");
                self.pause();
            }
        }
    }

    pub(super) async fn remove_dirs(&mut self, list: Vec<PathBuf>) {
        let result = tokio::task::spawn_blocking(move || {
            list.iter().try_for_each(|d| volumes::remove_dir(d))
        })
        .await;
        if let Ok(Err(error)) = result {
            tracing::warn!(pod = %self.name(), %error, "directory not removed; it goes with the pod");
        }
    }
}
