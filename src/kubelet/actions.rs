//! How a worker carries its actions out. Each leaves its result in the state; a failure becomes a state with a time
//! to try again.

use super::events::Kind;
use super::images::{Need, Pulled, credentials, need};
use super::pod::state::{Blocked, ImageState, Sandbox, Volumes};
use super::spec::build::{ContainerInputs, container_spec, draft, sandbox_spec};
use super::spec::volumes::{Plan, mentioned, plan};
use super::spec::{command, dns};
use super::volumes::{self, VolumeError};
use super::worker::Worker;
use crate::client::ClientError;
use crate::image::Image;
use crate::runtime::{Mount, RunId, RuntimeError, SandboxStatus};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret, Volume};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Back-off of volumes and sandboxes: half a second, doubling to about two minutes (upstream's
/// `exponentialbackoff` for volume operations).
const RETRY_MS_FIRST: i64 = 500;
const RETRY_MS_MAX: i64 = 122_000;
/// Between tries to configure a container whose ConfigMap or Secret is missing (upstream's sync after an error).
const CONFIG_RETRY_MS: i64 = 10_000;

fn retry_ms(failures: u32) -> i64 {
    RETRY_MS_FIRST
        .saturating_mul(1 << failures.min(10))
        .min(RETRY_MS_MAX)
}

impl Worker {
    pub(super) async fn prepare_volumes(&mut self) {
        match self.make_volumes().await {
            Ok(()) => self.state.volumes = Volumes::Ready,
            Err((volume, message)) => {
                let failures = match self.state.volumes {
                    Volumes::Retry { failures, .. } => failures + 1,
                    _ => 0,
                };
                self.state.volumes = Volumes::Retry {
                    at_ms: super::now_ms() + retry_ms(failures),
                    failures,
                };
                let message =
                    format!("MountVolume.SetUp failed for volume \"{volume}\" : {message}");
                self.event(None, Kind::Warning, "FailedMount", message);
            }
        }
    }

    /// The error names the volume.
    async fn make_volumes(&mut self) -> Result<(), (String, String)> {
        let pod = self.pod.clone();
        let list: &[Volume] = pod
            .spec
            .as_ref()
            .and_then(|s| s.volumes.as_deref())
            .unwrap_or_default();
        if list.is_empty() {
            return Ok(());
        }
        self.load_sources()
            .await
            .map_err(|e| ("*".to_string(), e.to_string()))?;
        let fs_group = pod
            .spec
            .as_ref()
            .and_then(|s| s.security_context.as_ref())
            .and_then(|c| c.fs_group)
            .and_then(|g| u32::try_from(g).ok());
        let mut plans: Vec<(String, Plan)> = Vec::new();
        for volume in list {
            let plan = plan(&pod, volume, &self.sources, &self.ctx.facts)
                .map_err(|e| (volume.name.clone(), e.to_string()))?;
            plans.push((volume.name.clone(), plan));
        }
        let on_disk = self.ctx.dirs.volumes(&self.uid);
        let in_memory = self.ctx.dirs.volumes_in_memory(&self.uid);
        let made = tokio::task::spawn_blocking(move || {
            for (name, plan) in &plans {
                volumes::make(plan, &on_disk.join(name), &in_memory.join(name), fs_group)
                    .map_err(|e| (name.clone(), e.to_string()))?;
            }
            Ok(())
        });
        made.await
            .unwrap_or_else(|e| Err(("*".to_string(), e.to_string())))
    }

    /// Fetches the ConfigMaps and Secrets the pod mentions. One that does not exist is left out.
    async fn load_sources(&mut self) -> Result<(), ClientError> {
        let (maps, secrets) = mentioned(&self.pod);
        let namespace = self.namespace().to_string();
        let client = self.ctx.client.clone();
        self.sources.config_maps.clear();
        self.sources.secrets.clear();
        for name in maps {
            if let Some(map) = found(client.get::<ConfigMap>(Some(&namespace), &name).await)? {
                self.sources.config_maps.insert(name, map);
            }
        }
        for name in secrets {
            if let Some(secret) = found(client.get::<Secret>(Some(&namespace), &name).await)? {
                self.sources.secrets.insert(name, secret);
            }
        }
        Ok(())
    }

    pub(super) async fn create_sandbox(&mut self) {
        if self
            .state
            .containers
            .values()
            .any(|r| r.attempt().is_some())
        {
            let message = "Pod sandbox changed, it will be killed and re-created.".to_string();
            self.event(None, Kind::Normal, "SandboxChanged", message);
        }
        match self.make_sandbox().await {
            Ok(ip) => self.state.sandbox = Sandbox::Alive { ip },
            Err(message) => {
                let failures = match self.state.sandbox {
                    Sandbox::Retry { failures, .. } => failures + 1,
                    _ => 0,
                };
                self.state.sandbox = Sandbox::Retry {
                    at_ms: super::now_ms() + retry_ms(failures),
                    failures,
                };
                let message = format!("Failed to create pod sandbox: {message}");
                self.event(None, Kind::Warning, "FailedCreatePodSandBox", message);
            }
        }
    }

    /// Returns the pod's address.
    async fn make_sandbox(&mut self) -> Result<String, String> {
        let ctx = self.ctx.clone();
        let pod = self.pod.clone();
        if dns::wants_cluster_dns(&pod) {
            let message = format!(
                "pod: \"{}_{}({})\". kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" policy. Falling back to \"Default\" policy.",
                self.pod_name(),
                self.namespace(),
                self.uid
            );
            self.event(None, Kind::Warning, "MissingClusterDNS", message);
        }
        let spec = sandbox_spec(&pod, &ctx.facts.name, &host_resolv_conf());
        let sandbox = ctx
            .runtime
            .create_sandbox(&spec)
            .await
            .map_err(|e| e.to_string())?;
        let ready = async {
            let ip = self.attach(&sandbox).await?;
            self.write_hosts(&ip).await?;
            Ok::<String, String>(ip)
        }
        .await;
        if ready.is_err()
            && let Err(error) = ctx.runtime.remove_sandbox(&self.uid).await
        {
            tracing::warn!(pod = %self.name(), %error, "half-made sandbox not removed");
        }
        ready
    }

    async fn attach(&self, sandbox: &SandboxStatus) -> Result<String, String> {
        if dns::host_network(&self.pod) {
            return Ok(self.ctx.facts.ip.clone());
        }
        let ip = self
            .ctx
            .network
            .attach(&self.uid, sandbox.pid)
            .await
            .map_err(|e| e.to_string())?;
        Ok(ip.to_string())
    }

    async fn write_hosts(&self, ip: &str) -> Result<(), String> {
        let host = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let text = dns::hosts(&self.pod, ip, &self.ctx.facts.name, &host);
        self.ctx
            .runtime
            .set_hosts(&self.uid, &text)
            .await
            .map_err(|e| e.to_string())
    }

    /// The address of a sandbox found running; finishes what an earlier process may not have got to.
    pub(super) async fn adopt_address(&self, sandbox: &SandboxStatus) -> Option<String> {
        match self.attach(sandbox).await {
            Ok(ip) => {
                if sandbox.containers.is_empty()
                    && let Err(error) = self.write_hosts(&ip).await
                {
                    tracing::warn!(pod = %self.name(), error, "/etc/hosts of the pod not written");
                }
                Some(ip)
            }
            Err(error) => {
                tracing::warn!(pod = %self.name(), error, "address of a running pod not confirmed; keeping the reported one");
                self.pod.status.as_ref().and_then(|s| s.pod_ip.clone())
            }
        }
    }

    pub(super) fn ensure_image(&mut self, name: &str) {
        let Some((init, container)) = self.container(name) else {
            return;
        };
        let about = Some((init, name));
        let now_ms = super::now_ms();
        let reference = container.image.clone().unwrap_or_default();
        let need = need(self.ctx.puller.images(), &container);
        let failed = |reason: &'static str, message: String| ImageState::Failed {
            reason,
            message,
            failed_ms: now_ms,
            retry_ms: now_ms + CONFIG_RETRY_MS,
        };
        let (image_state, event) = match need {
            Need::Present(image) => {
                self.images.insert(name.to_string(), *image);
                let message = format!("Container image \"{reference}\" already present on machine");
                (ImageState::Ready, (Kind::Normal, "Pulled", message))
            }
            Need::Pull => {
                let pull = self.pull(name.to_string(), &container);
                self.pulls.spawn(pull);
                let message = format!("Pulling image \"{reference}\"");
                (ImageState::Pulling, (Kind::Normal, "Pulling", message))
            }
            Need::Invalid(message) => (
                failed("InvalidImageName", message.clone()),
                (Kind::Warning, "InspectFailed", message),
            ),
            Need::Never(message) => (
                failed("ErrImageNeverPull", message.clone()),
                (Kind::Warning, "ErrImageNeverPull", message),
            ),
            Need::Broken(message) => (
                failed("ImageInspectError", message.clone()),
                (Kind::Warning, "InspectFailed", message),
            ),
        };
        let broken = match &image_state {
            ImageState::Failed { reason, .. } => Some(format!("Error: {reason}")),
            _ => None,
        };
        self.event(about, event.0, event.1, event.2);
        if let Some(message) = broken {
            self.event(about, Kind::Warning, "Failed", message);
        }
        if let Some(record) = self.state.containers.get_mut(name) {
            record.image_state = image_state;
        }
    }

    fn pull(
        &self,
        name: String,
        container: &Container,
    ) -> impl Future<Output = (String, Pulled)> + Send + use<> {
        let reference = container.image.clone().unwrap_or_default();
        let ctx = self.ctx.clone();
        let pod = self.pod.clone();
        async move {
            let secrets = pull_secrets(&ctx.client, &pod).await;
            let credentials = credentials(&secrets, &reference);
            let pulled = ctx.puller.pull(&reference, credentials).await;
            (name, pulled)
        }
    }

    pub(super) fn pulled(&mut self, name: &str, pulled: Pulled) {
        let Some((init, container)) = self.container(name) else {
            return;
        };
        let about = Some((init, name));
        let reference = container.image.as_deref().unwrap_or_default();
        let now_ms = super::now_ms();
        match pulled.result {
            Ok(image) => {
                let message = format!(
                    "Successfully pulled image \"{reference}\" in {} ({} including waiting). Image size: {} bytes.",
                    go_duration(pulled.took),
                    go_duration(pulled.took_with_wait),
                    image.size_bytes
                );
                self.event(about, Kind::Normal, "Pulled", message);
                self.images.insert(name.to_string(), image);
                if let Some(record) = self.state.containers.get_mut(name) {
                    record.image_state = ImageState::Ready;
                }
                self.ctx.node_changed.notify_one();
            }
            Err(cause) => {
                let message = format!("failed to pull and unpack image \"{reference}\": {cause}");
                self.event(
                    about,
                    Kind::Warning,
                    "Failed",
                    format!("Failed to pull image \"{reference}\": {message}"),
                );
                self.event(
                    about,
                    Kind::Warning,
                    "Failed",
                    "Error: ErrImagePull".to_string(),
                );
                if let Some(record) = self.state.containers.get_mut(name) {
                    record.pull_backoff.next(now_ms, now_ms);
                    record.image_state = ImageState::Failed {
                        reason: "ErrImagePull",
                        message,
                        failed_ms: now_ms,
                        retry_ms: record.pull_backoff.wait_until(now_ms).unwrap_or(now_ms),
                    };
                }
            }
        }
    }

    pub(super) async fn start_container(&mut self, name: &str, attempt: u32) {
        let Some((init, container)) = self.container(name) else {
            return;
        };
        let about = Some((init, name));
        let now_ms = super::now_ms();
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
        if let Some(ended_ms) = record.ended().map(|e| e.exit.finished_at_ms) {
            record.crash_backoff.next(ended_ms, now_ms);
        }
        match started {
            Ok(status) => {
                record.started(&status);
                self.event(
                    about,
                    Kind::Normal,
                    "Created",
                    format!("Created container: {name}"),
                );
                self.event(
                    about,
                    Kind::Normal,
                    "Started",
                    format!("Started container {name}"),
                );
            }
            Err(RuntimeError::NoSandbox(_)) => self.pause(),
            Err(error) => {
                let message = error.to_string();
                record.start_failed(attempt, &message, super::now_ms());
                self.event(
                    about,
                    Kind::Normal,
                    "Created",
                    format!("Created container: {name}"),
                );
                self.event(about, Kind::Warning, "Failed", format!("Error: {message}"));
            }
        }
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
        let pod = self.pod.clone();
        let ctx = self.ctx.clone();
        let pod_ip = match &self.state.sandbox {
            Sandbox::Alive { ip } => ip.clone(),
            _ => String::new(),
        };
        let inputs = ContainerInputs {
            pod: &pod,
            container,
            image: &image.config,
            sources: &self.sources,
            node: &ctx.facts,
            pod_ip: &pod_ip,
            logs: &ctx.logs,
        };
        let draft = draft(&inputs).map_err(|e| config(e.to_string()))?;
        let mut mounts = volumes::mounts(&draft.mounts, &self.volume_paths())
            .map_err(|e| config(e.to_string()))?;
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
        Ok(container_spec(
            &inputs, draft, attempt, root_fs, mounts, log_path,
        ))
    }

    fn volume_paths(&self) -> BTreeMap<String, PathBuf> {
        let volumes = self
            .pod
            .spec
            .as_ref()
            .and_then(|s| s.volumes.as_deref())
            .unwrap_or_default();
        volumes
            .iter()
            .map(|volume| {
                let path = if let Some(host) = &volume.host_path {
                    PathBuf::from(&host.path)
                } else if volume.empty_dir.is_some() {
                    self.ctx.dirs.volumes(&self.uid).join(&volume.name)
                } else {
                    self.ctx
                        .dirs
                        .volumes_in_memory(&self.uid)
                        .join(&volume.name)
                };
                (volume.name.clone(), path)
            })
            .collect()
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
            read_only: false,
        }))
    }

    /// Keeps this attempt's log and the one before it.
    fn make_log_dir(&self, container: &str, attempt: u32) -> std::io::Result<()> {
        let dir = self.ctx.dirs.container_logs(&self.uid, container);
        std::fs::create_dir_all(&dir)?;
        for entry in std::fs::read_dir(&dir)?.flatten() {
            if super::dirs::log_attempt(&entry.path()).is_some_and(|a| a + 1 < attempt) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    pub(super) async fn signal(&mut self, name: &str, attempt: u32, kill: bool) {
        let Some((init, container)) = self.container(name) else {
            return;
        };
        let signal = if kill {
            nix::libc::SIGKILL
        } else {
            self.stop_signal(&container)
        };
        if let Some(record) = self.state.containers.get_mut(name) {
            if kill {
                record.kill_sent = Some(attempt);
            } else {
                record.stop_sent = Some(attempt);
            }
        }
        if !kill {
            self.event(
                Some((init, name)),
                Kind::Normal,
                "Killing",
                format!("Stopping container {name}"),
            );
        }
        let run = RunId {
            container: name.to_string(),
            attempt,
        };
        if let Err(error) = self
            .ctx
            .runtime
            .kill_container(&self.uid, &run, signal)
            .await
        {
            tracing::warn!(pod = %self.name(), container = name, signal, %error, "signal not sent; trying again");
            if let Some(record) = self.state.containers.get_mut(name) {
                if kill {
                    record.kill_sent = None;
                } else {
                    record.stop_sent = None;
                }
            }
            self.pause();
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

    pub(super) async fn remove_container(&mut self, name: &str, attempt: u32) {
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

    pub(super) async fn remove_sandbox(&mut self) {
        let removed = self.ctx.runtime.remove_sandbox(&self.uid).await;
        if let Err(error) = removed
            && !matches!(error, RuntimeError::NoSandbox(_))
        {
            tracing::warn!(pod = %self.name(), %error, "sandbox not removed; trying again");
            self.pause();
            return;
        }
        if let Err(error) = self.ctx.network.detach(&self.uid).await {
            tracing::warn!(pod = %self.name(), %error, "address not freed; the next start frees it");
        }
        self.state.sandbox_lost(super::now_ms());
        let dir = self.ctx.dirs.containers(&self.uid);
        self.remove_dirs(vec![dir]).await;
    }

    pub(super) async fn clean_up(&mut self) {
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

    async fn remove_dirs(&mut self, list: Vec<PathBuf>) {
        let result = tokio::task::spawn_blocking(move || {
            list.iter().try_for_each(|d| volumes::remove_dir(d))
        })
        .await;
        if let Ok(Err(error)) = result {
            tracing::warn!(pod = %self.name(), %error, "directory not removed; it goes with the pod");
        }
    }
}

fn found<T>(result: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(ClientError::Status { code: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The pod's `imagePullSecrets` that exist; one that does not is no error (upstream tries without).
async fn pull_secrets(client: &crate::client::Client, pod: &Pod) -> Vec<Secret> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let names = pod
        .spec
        .as_ref()
        .and_then(|s| s.image_pull_secrets.as_deref())
        .unwrap_or_default();
    let mut secrets = Vec::new();
    for reference in names {
        match client.get::<Secret>(Some(namespace), &reference.name).await {
            Ok(secret) => secrets.push(secret),
            Err(error) => {
                tracing::debug!(secret = reference.name, %error, "image pull secret not read")
            }
        }
    }
    secrets
}

/// The host's resolver configuration. Where it only names systemd's local stub, the list behind it: a loopback
/// address means nothing inside a pod.
fn host_resolv_conf() -> String {
    let own = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut servers = own
        .lines()
        .filter_map(|l| l.strip_prefix("nameserver "))
        .peekable();
    let only_stub = servers.peek().is_some() && servers.all(|s| s.trim().starts_with("127."));
    if only_stub && let Ok(real) = std::fs::read_to_string("/run/systemd/resolve/resolv.conf") {
        return real;
    }
    own
}

/// A duration as Go prints it, to the millisecond: `850ms`, `1.234s`, `1m2.5s`.
fn go_duration(duration: std::time::Duration) -> String {
    let ms = duration.as_millis();
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let seconds = format!("{}.{:03}", ms / 1000 % 60, ms % 1000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    match ms / 60_000 {
        0 => format!("{seconds}s"),
        minutes => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn durations_as_go_prints_them() {
        for (ms, expected) in [
            (0, "0ms"),
            (850, "850ms"),
            (1234, "1.234s"),
            (2000, "2s"),
            (62_500, "1m2.5s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(ms)), expected);
        }
    }

    #[test]
    fn retries_grow_to_two_minutes() {
        assert_eq!(
            (retry_ms(0), retry_ms(1), retry_ms(30)),
            (500, 1000, RETRY_MS_MAX)
        );
    }
}
