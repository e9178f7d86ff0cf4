//! Starting a container.

use super::CONFIG_RETRY_MS;
use super::hooks::Stage;
use crate::image::Image;
use crate::kubelet::events::Kind;
use crate::kubelet::now_ms;
use crate::kubelet::pod::backoff::Backoff;
use crate::kubelet::pod::ephemeral;
use crate::kubelet::pod::record::{Blocked, ImageState};
use crate::kubelet::pod::state::Sandbox;
use crate::kubelet::spec::build::{ContainerInputs, container_spec, draft};
use crate::kubelet::volumes::{self, VolumeError};
use crate::kubelet::worker::Worker;
use crate::runtime::{Mount, RunId, RuntimeError};
use k8s_openapi::api::core::v1::Container;

impl Worker {
    pub(in crate::kubelet) async fn start_container(&mut self, name: &str, attempt: u32) {
        let Some((init, container)) = self.container(name) else {
            return;
        };
        let about = Some((init, name));
        let now_ms = now_ms();
        let Some(image) = self.images.get(name).cloned() else {
            // Forgotten by a restart of the worker between two steps: look again.
            if let Some(record) = self.state.containers.get_mut(name) {
                record.image_state = ImageState::Unknown;
            }
            return;
        };
        if let Some(record) = self.state.containers.get_mut(name) {
            record.image = image
                .tags
                .first()
                .cloned()
                .or(container.image.clone())
                .unwrap_or_default();
            record.image_id = image
                .digests
                .first()
                .cloned()
                .unwrap_or_else(|| image.id.clone());
        }
        let spec = match self.prepare_run(&container, &image, attempt).await {
            Ok(spec) => spec,
            Err((reason, message)) => {
                self.event(about, Kind::Warning, "Failed", format!("Error: {message}"));
                if let Some(record) = self.state.containers.get_mut(name) {
                    record.blocked = Some(Blocked {
                        reason,
                        message,
                        retry_ms: now_ms + CONFIG_RETRY_MS,
                    });
                }
                return;
            }
        };
        let started = self.ctx.runtime.start_container(&self.uid, &spec).await;
        let Some(record) = self.state.containers.get_mut(name) else {
            return;
        };
        if record.renew {
            // Another definition: what failed was the one before.
            record.crash_backoff = Backoff::default();
        } else if let Some(ended_ms) = record.ended().map(|e| e.exit.finished_at_ms) {
            record.crash_backoff.next(ended_ms, now_ms);
        }
        match started {
            Ok(status) => {
                record.started(&status);
                let hook = container
                    .lifecycle
                    .as_ref()
                    .is_some_and(|l| l.post_start.is_some());
                record.post_start = hook;
                self.has_what_it_was_granted(name).await;
                let message = |what| format!("Container {what}");
                self.event(about, Kind::Normal, "Created", message("created"));
                self.event(about, Kind::Normal, "Started", message("started"));
                if hook {
                    self.begin_hook(&container, attempt, Stage::PostStart);
                }
            }
            Err(RuntimeError::NoSandbox(_)) => self.pause(),
            Err(error) => {
                let message = error.to_string();
                record.start_failed(attempt, &message, crate::kubelet::now_ms());
                self.forget_failed_start(name, attempt).await;
                self.event(
                    about,
                    Kind::Normal,
                    "Created",
                    "Container created".to_string(),
                );
                self.event(about, Kind::Warning, "Failed", format!("Error: {message}"));
            }
        }
    }

    /// Whatever the failed start left in the runtime; there may be nothing.
    async fn forget_failed_start(&mut self, name: &str, attempt: u32) {
        let run = RunId {
            container: name.to_string(),
            attempt,
        };
        if let Err(error) = self.ctx.runtime.remove_container(&self.uid, &run).await {
            tracing::debug!(pod = %self.name(), container = name, %error, "nothing left of a failed start");
        }
        self.remove_dirs(vec![self.ctx.dirs.writable(&self.uid, name, attempt)])
            .await;
    }

    /// The error is a waiting reason and its message.
    async fn prepare_run(
        &mut self,
        container: &Container,
        image: &Image,
        attempt: u32,
    ) -> Result<crate::runtime::ContainerSpec, (&'static str, String)> {
        let config = |e: String| ("CreateContainerConfigError", e);
        let create = |e: String| ("CreateContainerError", e);
        self.load_sources()
            .await
            .map_err(|e| config(e.to_string()))?;
        self.load_env_files(container).map_err(config)?;
        let pod = self.pod.clone();
        let ctx = self.ctx.clone();
        let pod_ip = match &self.state.sandbox {
            Sandbox::Alive { ip } => ip.clone(),
            _ => String::new(),
        };
        let services = ctx.services.variables(&pod).await;
        let inputs = ContainerInputs {
            pod: &pod,
            container,
            image: &image.config,
            sources: &self.sources,
            node: &ctx.facts,
            pod_ip: &pod_ip,
            logs: &ctx.logs,
            services: &services,
            policy: &ctx.policy,
        };
        let draft = draft(&inputs).map_err(|e| config(e.to_string()))?;
        if let crate::runtime::Seccomp::Localhost(path) = &draft.security.seccomp {
            crate::runtime::seccomp::check(path).map_err(create)?;
        }
        let mut mounts =
            volumes::mounts(&draft.mounts, &self.live.places).map_err(|e| config(e.to_string()))?;
        mounts.extend(
            self.last_words_mount(container, attempt)
                .map_err(|e| create(e.to_string()))?,
        );
        let log_path = ctx.dirs.log(&self.uid, &container.name, attempt);
        self.make_log_dir(&container.name, attempt)
            .map_err(|e| create(e.to_string()))?;
        let writable = ctx.dirs.writable(&self.uid, &container.name, attempt);
        let root_fs = ctx
            .puller
            .images()
            .root_fs(image, &writable)
            .map_err(|e| create(e.to_string()))?;
        let mut spec = container_spec(&inputs, draft, attempt, root_fs, mounts, log_path);
        spec.processes_of = self.target(&container.name).map_err(config)?;
        Ok(spec)
    }

    /// The running container a debug container wants to share processes with.
    fn target(&self, name: &str) -> Result<Option<String>, String> {
        match ephemeral::target(&self.pod, name) {
            Some(target) if self.state.running(target).is_none() => {
                Err(format!("unable to find target container {target}"))
            }
            target => Ok(target.map(str::to_string)),
        }
    }

    fn last_words_mount(
        &self,
        container: &Container,
        attempt: u32,
    ) -> Result<Option<Mount>, VolumeError> {
        let target = container
            .termination_message_path
            .as_deref()
            .unwrap_or("/dev/termination-log");
        if target.is_empty() {
            return Ok(None);
        }
        let source = self
            .ctx
            .dirs
            .last_words(&self.uid, &container.name, attempt);
        volumes::make_open_file(&source)?;
        Ok(Some(Mount {
            source,
            target: target.into(),
            ..Mount::default()
        }))
    }

    /// Keeps this attempt's log and the one before it.
    fn make_log_dir(&self, container: &str, attempt: u32) -> std::io::Result<()> {
        let dir = self.ctx.dirs.container_logs(&self.uid, container);
        std::fs::create_dir_all(&dir)?;
        for entry in std::fs::read_dir(&dir)?.flatten() {
            if crate::kubelet::dirs::log_attempt(&entry.path()).is_some_and(|a| a + 1 < attempt) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}
