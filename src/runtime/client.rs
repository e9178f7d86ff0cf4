//! The node's side: every pod's shim, started, found again, asked, removed.

use super::attach::AttachSession;
use super::cgroup_usage::CgroupReader;
use super::cgroups::limits::Limiter;
use super::cgroups::{self, Layout};
use super::connection::Connection;
use super::exec::ExecSession;
use super::protocol::{CONFIG_FILE, PID_FILE, Request, Response, SOCKET_FILE, ShimConfig};
use super::shim::READY;
use super::types::{
    AttachSpec, ContainerSpec, ContainerStatus, ExecSpec, RunId, RuntimeConfig, RuntimeError,
    RuntimeEvent, SandboxSpec, SandboxStatus,
};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::mpsc;

/// Events the kubelet has not taken yet; more makes shims' messages wait.
const EVENTS_MAX: usize = 256;

/// Rounds of killing a shim's processes; with the pause, 10 s in all.
const KILL_ROUNDS_MAX: u32 = 2_000;
const KILL_PAUSE: Duration = Duration::from_millis(5);

/// The node's containers. Shared; all methods take `&self`.
#[derive(Debug)]
pub struct Runtime {
    config: RuntimeConfig,
    layout: Layout,
    events: mpsc::Sender<RuntimeEvent>,
    shims: Mutex<HashMap<String, Connection>>,
}

fn other(what: impl std::fmt::Display, error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Other(format!("{what}: {error}"))
}

impl Runtime {
    /// Finds the shims of an earlier node process and connects to them; events from then on come through the receiver.
    /// What dead shims left (processes, cgroups, files) is removed; their pods are absent from `sandboxes`.
    pub async fn open(
        config: RuntimeConfig,
    ) -> Result<(Arc<Runtime>, mpsc::Receiver<RuntimeEvent>), RuntimeError> {
        let layout = cgroups::layout().map_err(|e| other("looking at /sys/fs/cgroup", e))?;
        directory(&config.run_dir, 0o700)
            .and_then(|()| directory(&config.state_dir, 0o700))
            .map_err(|e| other(format!("creating {}", config.run_dir.display()), e))?;
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        // Probes' events go nowhere: the lasting connection tells them.
        let (quiet, _) = mpsc::channel(1);
        let mut shims = HashMap::new();
        for (uid, path) in pods(&config.run_dir) {
            // A dying shim may still take a connection: only an answer proves that it lives.
            let opened = Connection::open(&path.join(SOCKET_FILE), &uid, quiet.clone()).await;
            let alive = match opened {
                Ok(probe) => probe.ask(Request::State).await.map(|_| ()),
                Err(error) => Err(other("connecting", error)),
            };
            let connection = match alive {
                Ok(()) => Connection::open(&path.join(SOCKET_FILE), &uid, events.clone())
                    .await
                    .map_err(|e| other("connecting", e)),
                Err(error) => Err(error),
            };
            match connection {
                Ok(connection) => {
                    shims.insert(uid, connection);
                }
                Err(error) => {
                    tracing::warn!(pod_uid = uid, %error, "shim is gone; removing what it left");
                    let layout = layout.clone();
                    blocking(move || clean(&layout, &path)).await?;
                }
            }
        }
        let runtime = Runtime {
            config,
            layout,
            events,
            shims: Mutex::new(shims),
        };
        Ok((Arc::new(runtime), receiver))
    }

    pub async fn sandboxes(&self) -> Vec<SandboxStatus> {
        let uids: Vec<String> = self.lock().keys().cloned().collect();
        let mut found = Vec::with_capacity(uids.len());
        for uid in uids {
            found.extend(self.sandbox(&uid).await);
        }
        found
    }

    pub async fn sandbox(&self, pod_uid: &str) -> Option<SandboxStatus> {
        let answer = self.shim(pod_uid).ok()?.ask(Request::State).await.ok()?;
        let Response::State {
            spec,
            pid,
            containers,
        } = answer
        else {
            return None;
        };
        Some(SandboxStatus {
            spec,
            pid,
            containers,
        })
    }

    /// A reader of what cgroups use.
    pub fn usage_reader(&self) -> CgroupReader {
        CgroupReader::new(self.layout.clone())
    }

    /// A writer of what cgroups may use.
    pub fn limiter(&self) -> Limiter {
        Limiter::new(self.layout.clone(), self.config.cgroup_root.clone())
    }

    /// A pod's or container's cgroup from each hierarchy's root: `coracle/burstable/pod<uid>`.
    pub fn cgroup(&self, below: &str) -> String {
        format!("{}/{below}", self.config.cgroup_root)
    }

    /// The process that holds the pod's namespaces, without asking it.
    pub fn shim_pid(&self, pod_uid: &str) -> Option<i32> {
        self.shim(pod_uid).ok()?;
        let path = self.config.run_dir.join(pod_uid).join(PID_FILE);
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    /// Starts the pod's shim with its namespaces and cgroup. The network namespace is still empty.
    pub async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<SandboxStatus, RuntimeError> {
        let uid = &spec.pod_uid;
        if uid.is_empty() || uid.contains('/') || uid.starts_with('.') || spec.cgroup.contains("..")
        {
            return Err(RuntimeError::Other(format!(
                "{uid:?} cannot be a pod's uid"
            )));
        }
        if self.shim(uid).is_ok() {
            return Err(RuntimeError::Other(format!(
                "pod {uid} has a sandbox already"
            )));
        }
        let path = self.config.run_dir.join(uid);
        if path.exists() {
            let (layout, path) = (self.layout.clone(), path.clone());
            blocking(move || clean(&layout, &path)).await?;
        }
        self.furnish(&path, spec)
            .map_err(|e| other(format!("furnishing {}", path.display()), e))?;
        let started = self.spawn(&path).await;
        let connection = match started {
            Ok(()) => Connection::open(&path.join(SOCKET_FILE), uid, self.events.clone())
                .await
                .map_err(|e| other("connecting to the new shim", e)),
            Err(error) => Err(error),
        };
        match connection {
            Ok(connection) => self.lock().insert(uid.clone(), connection),
            Err(error) => {
                let layout = self.layout.clone();
                blocking(move || clean(&layout, &path)).await?;
                return Err(error);
            }
        };
        self.sandbox(uid)
            .await
            .ok_or_else(|| RuntimeError::Other(format!("the shim of pod {uid} ended at once")))
    }

    fn furnish(&self, path: &Path, spec: &SandboxSpec) -> io::Result<()> {
        directory(path, 0o700)?;
        let resolv = if spec.resolv_conf.is_empty() {
            fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
        } else {
            spec.resolv_conf.clone()
        };
        let hosts = if spec.host_network {
            fs::read_to_string("/etc/hosts").unwrap_or_default()
        } else {
            format!(
                "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t{}\n",
                spec.hostname
            )
        };
        fs::write(path.join("resolv.conf"), resolv)?;
        fs::write(path.join("hosts"), hosts)?;
        fs::write(path.join("hostname"), format!("{}\n", spec.hostname))?;
        let config = ShimConfig {
            spec: spec.clone(),
            cgroup_root: self.config.cgroup_root.clone(),
        };
        let bytes = postcard::to_stdvec(&config).map_err(io::Error::other)?;
        fs::write(path.join(CONFIG_FILE), bytes)
    }

    async fn spawn(&self, path: &Path) -> Result<(), RuntimeError> {
        let output = Command::new(&self.config.executable)
            .arg("shim")
            .arg(path)
            .env_clear()
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(Stdio::piped())
            .output()
            .await
            .map_err(|e| other(format!("starting {}", self.config.executable.display()), e))?;
        let said = String::from_utf8_lossy(&output.stdout);
        match said.trim() {
            READY => Ok(()),
            "" => Err(RuntimeError::Other(
                "the shim ended without a word".to_owned(),
            )),
            reason => Err(RuntimeError::Other(reason.to_owned())),
        }
    }

    /// Kills whatever still runs and removes shim, namespaces and cgroup; directories under `state_dir` stay.
    pub async fn remove_sandbox(&self, pod_uid: &str) -> Result<(), RuntimeError> {
        if let Ok(shim) = self.shim(pod_uid) {
            let answer = shim.ask(Request::Shutdown).await;
            // An orderly end answers first; a dead shim is cleaned up after, like one from before.
            if answer.is_ok() {
                shim.closed().await;
            } else if !shim.is_closed() {
                answer?;
            }
        }
        self.lock().remove(pod_uid);
        let (layout, path) = (self.layout.clone(), self.config.run_dir.join(pod_uid));
        blocking(move || clean(&layout, &path)).await
    }

    /// Writes the pod's /etc/hosts (before its first container starts).
    #[allow(clippy::unused_async)] // One small file; callers await all of this interface.
    pub async fn set_hosts(&self, pod_uid: &str, hosts: &str) -> Result<(), RuntimeError> {
        self.shim(pod_uid)?;
        // In place: containers have this very file mounted.
        let path = self.config.run_dir.join(pod_uid).join("hosts");
        fs::write(&path, hosts).map_err(|e| other(format!("writing {}", path.display()), e))
    }

    /// Mounts the root filesystem, creates and starts the container.
    pub async fn start_container(
        &self,
        pod_uid: &str,
        spec: &ContainerSpec,
    ) -> Result<ContainerStatus, RuntimeError> {
        let id = format!(
            "{}{}",
            uuid::Uuid::new_v4().simple(),
            uuid::Uuid::new_v4().simple()
        );
        let request = Request::Start {
            id,
            spec: Box::new(spec.clone()),
        };
        match self.shim(pod_uid)?.ask(request).await {
            Ok(Response::Started(status)) => Ok(status),
            Ok(answer) => Err(RuntimeError::Other(format!("unexpected answer {answer:?}"))),
            Err(RuntimeError::Other(text)) => Err(RuntimeError::Start(text)),
            Err(error) => Err(error),
        }
    }

    /// Sends `signal` to the container's first process. One that has exited is no error.
    pub async fn kill_container(
        &self,
        pod_uid: &str,
        run: &RunId,
        signal: i32,
    ) -> Result<(), RuntimeError> {
        let request = Request::Kill {
            run: run.clone(),
            signal,
        };
        match self.shim(pod_uid)?.ask(request).await? {
            Response::NotRunning => Err(RuntimeError::NotRunning {
                pod_uid: pod_uid.to_owned(),
                container: run.container.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Forgets an exited run: unmounts its root filesystem, removes its cgroup and runtime state (logs stay).
    pub async fn remove_container(&self, pod_uid: &str, run: &RunId) -> Result<(), RuntimeError> {
        let request = Request::Remove { run: run.clone() };
        self.shim(pod_uid)?.ask(request).await.map(|_| ())
    }

    pub async fn exec(
        &self,
        pod_uid: &str,
        container: &str,
        spec: &ExecSpec,
    ) -> Result<ExecSession, RuntimeError> {
        let socket = self.socket(pod_uid)?;
        ExecSession::start(&socket, pod_uid, container, spec, false).await
    }

    /// Where the pod's living shim listens: a session has a connection of its own.
    fn socket(&self, pod_uid: &str) -> Result<PathBuf, RuntimeError> {
        self.shim(pod_uid)?;
        Ok(self.config.run_dir.join(pod_uid).join(SOCKET_FILE))
    }

    /// Like `exec`, but the process is killed when the session is dropped or this process ends.
    pub async fn exec_tethered(
        &self,
        pod_uid: &str,
        container: &str,
        spec: &ExecSpec,
    ) -> Result<ExecSession, RuntimeError> {
        let socket = self.socket(pod_uid)?;
        ExecSession::start(&socket, pod_uid, container, spec, true).await
    }

    /// Attaches to the newest running run of a container.
    pub async fn attach(
        &self,
        pod_uid: &str,
        container: &str,
        spec: AttachSpec,
    ) -> Result<AttachSession, RuntimeError> {
        let socket = self.socket(pod_uid)?;
        AttachSession::start(&socket, pod_uid, container, spec).await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Connection>> {
        self.shims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shim(&self, pod_uid: &str) -> Result<Connection, RuntimeError> {
        let mut shims = self.lock();
        if shims.get(pod_uid).is_some_and(Connection::is_closed) {
            shims.remove(pod_uid);
        }
        shims
            .get(pod_uid)
            .cloned()
            .ok_or_else(|| RuntimeError::NoSandbox(pod_uid.to_owned()))
    }
}

/// Kills every shim found in the run directory and everything in the cgroup root, and removes both. For `reset`.
pub fn remove_all(config: &RuntimeConfig) -> Result<(), RuntimeError> {
    let layout = cgroups::layout().map_err(|e| other("looking at /sys/fs/cgroup", e))?;
    let root = &config.cgroup_root;
    for (_, path) in pods(&config.run_dir) {
        kill_shim(&layout, root, &path);
    }
    layout
        .kill_all(root, &mut || {})
        .and_then(|()| layout.remove(root))
        .map_err(|e| other(format!("removing cgroup {root}"), e))?;
    match fs::remove_dir_all(&config.run_dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(other(
            format!("removing {}", config.run_dir.display()),
            error,
        )),
        _ => Ok(()),
    }
}

async fn blocking(
    work: impl FnOnce() -> Result<(), RuntimeError> + Send + 'static,
) -> Result<(), RuntimeError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| other("cleaning up", e))?
}

fn directory(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
}

/// What the shim in a pod's run directory was started from.
pub(super) fn shim_config(path: &Path) -> Option<ShimConfig> {
    let bytes = fs::read(path.join(CONFIG_FILE)).ok()?;
    postcard::from_bytes(&bytes).ok()
}

/// Pods with a run directory: uid and path.
pub(super) fn pods(run_dir: &Path) -> Vec<(String, PathBuf)> {
    fs::read_dir(run_dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join(CONFIG_FILE).exists())
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            )
        })
        .collect()
}

/// Kills this directory's shim and, where that is dead, the children it had at work (they are in the same cgroup).
fn kill_shim(layout: &Layout, cgroup_root: &str, path: &Path) {
    // Again, for what was just being forked. What survives SIGKILL is found in its cgroup afterwards.
    for _ in 0..KILL_ROUNDS_MAX {
        if !kill_shim_once(layout, cgroup_root, path) {
            return;
        }
        std::thread::sleep(KILL_PAUSE);
    }
}

/// True where there was somebody.
fn kill_shim_once(layout: &Layout, cgroup_root: &str, path: &Path) -> bool {
    let mut found = false;
    let mut candidates = layout.processes(&format!("{cgroup_root}/{}", super::shim::CGROUP));
    // One that died before it joined its cgroup, or was moved.
    candidates.extend(
        fs::read_to_string(path.join(PID_FILE))
            .ok()
            .and_then(|text| text.trim().parse::<i32>().ok()),
    );
    for pid in candidates {
        // Only what really is this directory's: numbers are used again.
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = line.split(|b| *b == 0).skip(1);
        if pid > 0
            && arguments.next() == Some(b"shim")
            && arguments.next() == Some(path.as_os_str().as_encoded_bytes())
        {
            found = true;
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
    }
    found
}

/// Removes what a pod without a living shim has left.
fn clean(layout: &Layout, path: &Path) -> Result<(), RuntimeError> {
    let Ok(bytes) = fs::read(path.join(CONFIG_FILE)) else {
        let _ = fs::remove_dir_all(path);
        return Ok(());
    };
    if let Ok(config) = postcard::from_bytes::<ShimConfig>(&bytes) {
        kill_shim(layout, &config.cgroup_root, path);
        let pod = format!("{}/{}", config.cgroup_root, config.spec.cgroup);
        layout
            .kill_all(&pod, &mut || {})
            .and_then(|()| layout.remove(&pod))
            .map_err(|e| other(format!("removing cgroup {pod}"), e))?;
        layout.remove_empty_parents(&pod);
        layout.remove_empty_parents(&format!("{}/{}", config.cgroup_root, super::shim::CGROUP));
    }
    fs::remove_dir_all(path).map_err(|e| other(format!("removing {}", path.display()), e))
}
