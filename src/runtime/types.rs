//! What the runtime is told and what it tells: pods, containers, their states and their errors.

use crate::image::RootFs;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Root of pods on disk: `<state_dir>/<pod uid>/…` (container directories, logs).
    pub state_dir: PathBuf,
    /// Root of pods on tmpfs: sockets, locks, container state; gone after a reboot.
    pub run_dir: PathBuf,
    /// Parent of all pod cgroups, relative to each controller's root: `coracle`.
    pub cgroup_root: String,
    /// The binary to re-execute as `coracle shim`.
    pub executable: PathBuf,
}

/// What a pod's containers share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxSpec {
    pub pod_uid: String,
    pub namespace: String,
    pub name: String,
    pub hostname: String,
    pub host_network: bool,
    pub host_pid: bool,
    pub host_ipc: bool,
    /// cgroup of the pod below the root, for example `burstable/pod<uid>`.
    pub cgroup: String,
    /// Lines of `/etc/resolv.conf`; empty: the host's.
    pub resolv_conf: String,
    /// Kernel settings inside the pod's namespaces.
    pub sysctls: Vec<(String, String)>,
    /// The containers see each other's processes.
    pub share_process_namespace: bool,
    /// The pod's own users: the host's id of its user 0, with 65535 behind it. `None`: the host's users.
    pub first_user: Option<u32>,
}

/// Which way mounts made later travel between the host and the container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    #[default]
    None,
    HostToContainer,
    Bidirectional,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Path on the host.
    pub source: PathBuf,
    /// Path in the container.
    pub target: PathBuf,
    pub read_only: bool,
    /// Below `source`; empty: `source` itself. Resolved when the container starts, never out of `source`.
    pub sub_path: PathBuf,
    /// Image layers, topmost first: they are mounted over each other, read-only, in place of `source`.
    pub layers: Vec<PathBuf>,
    pub propagation: Propagation,
    /// What is mounted below is read-only too.
    pub recursive_read_only: bool,
    /// `noexec`, `nodev`, `nosuid`.
    pub options: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// cgroup v1 `cpu.shares` (converted for v2); Kubernetes: 1024 per requested CPU, at least 2.
    pub cpu_shares: u64,
    /// Microseconds per `cpu_period_us`; `None`: no limit.
    pub cpu_quota_us: Option<i64>,
    pub cpu_period_us: u64,
    pub memory_limit_bytes: Option<i64>,
    pub pids_max: Option<i64>,
    pub oom_score_adj: i32,
    /// Bytes by page size as the kernel names it (`2MB`).
    pub huge_pages: Vec<(String, i64)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// `runAsUser`; wins over `user`.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub additional_gids: Vec<u32>,
    /// The image's user (name or number, with optional group), resolved in the container's own /etc/passwd.
    pub user: String,
    pub run_as_non_root: bool,
    pub privileged: bool,
    pub read_only_root: bool,
    pub no_new_privileges: bool,
    /// Names without `CAP_`; `ALL` is understood.
    pub capabilities_add: Vec<String>,
    pub capabilities_drop: Vec<String>,
    pub seccomp: Seccomp,
    /// Loaded AppArmor profile; `None`: none.
    pub apparmor: Option<String>,
    /// `procMount: Unmasked`: nothing of /proc and /sys is masked or read-only.
    pub unmasked: bool,
    /// `supplementalGroupsPolicy: Strict`: groups of the image do not count.
    pub strict_groups: bool,
}

/// Which system calls a container may make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    #[default]
    Unconfined,
    RuntimeDefault,
    /// A profile on this node.
    Localhost(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Name in the pod.
    pub name: String,
    /// 0 for the first start, one more with every restart.
    pub attempt: u32,
    pub root_fs: RootFs,
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    pub working_dir: PathBuf,
    pub tty: bool,
    /// Keep standard input open for `attach`; otherwise it is /dev/null.
    pub stdin: bool,
    pub mounts: Vec<Mount>,
    pub resources: Resources,
    pub security: Security,
    /// CRI-format log file; rotated to `<path>.<timestamp>` by the shim.
    pub log_path: PathBuf,
    pub log_file_bytes_max: u64,
    pub log_files_max: u32,
    /// Close standard input when the first attached client that had it leaves.
    pub stdin_once: bool,
    /// A running container of the pod whose processes this one sees, and it theirs (one PID namespace).
    pub processes_of: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    Running { pid: i32, started_at_ms: i64 },
    Exited(Exit),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// 128 + signal for a signal, as shells and Kubernetes count.
    pub code: i32,
    pub signal: Option<i32>,
    pub oom_killed: bool,
    /// Unix milliseconds.
    pub started_at_ms: i64,
    pub finished_at_ms: i64,
    /// Set where the container never ran: what failed.
    pub message: Option<String>,
}

/// Name and attempt: one run of one container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunId {
    pub container: String,
    pub attempt: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    pub run: RunId,
    /// 64 hexadecimal digits, as in `containerID: coracle://<id>`.
    pub id: String,
    pub state: ContainerState,
    /// Who its first process began as; known once it has.
    pub user: Option<ProcessUser>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessUser {
    pub uid: u32,
    pub gid: u32,
    /// With the primary one.
    pub groups: Vec<u32>,
}

/// A pod with a living shim.
#[derive(Debug, Clone)]
pub struct SandboxStatus {
    pub spec: SandboxSpec,
    /// The shim's process id; its /proc/<pid>/ns/net is the pod's network namespace.
    pub pid: i32,
    pub containers: Vec<ContainerStatus>,
}

/// Something changed in a pod.
#[derive(Debug, Clone)]
pub enum RuntimeEvent {
    ContainerExited {
        pod_uid: String,
        run: RunId,
        exit: Exit,
    },
    /// The shim is gone, and every container of the pod with it.
    SandboxDied { pod_uid: String },
}

#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("pod {0} has no sandbox on this node")]
    NoSandbox(String),
    #[error("container {container} of pod {pod_uid} is not running")]
    NotRunning { pod_uid: String, container: String },
    /// The container could not be started; the message names the step and the cause.
    #[error("{0}")]
    Start(String),
    #[error("{0}")]
    Other(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecSpec {
    pub args: Vec<String>,
    pub tty: bool,
    pub stdin: bool,
}

/// The streams a client wants when it attaches to a running container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachSpec {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}
