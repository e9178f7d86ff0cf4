//! Starting processes: a short-lived child of the shim does the work, so that its heap goes with it.
//! The process it leaves behind becomes the shim's child (the shim is a subreaper).

use super::controllers::Controllers;
use super::device_guard;
use super::diagnostics::explained;
use super::privileges::Privileges;
use super::program::Launcher;
use super::root;
use super::shifted::{self, Shifted};
use super::sys;
use super::user_namespace::IDS;
use crate::runtime::spec::Pids;
use crate::runtime::spec::capabilities::capabilities;
use crate::runtime::types::{ContainerSpec, ExecSpec, ProcessUser, SandboxSpec};
use crate::runtime::{seccomp, spec, users};
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Longest reason that is carried back.
const MESSAGE_BYTES_MAX: u64 = 16 * 1024;
/// Processors whose `thermal_throttle` is masked; each costs a mount.
const PROCESSORS_MAX: usize = 64;

/// What the child reports: the process, or why there is none.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome(pub Result<Started, String>);

#[derive(Debug, Serialize, Deserialize)]
pub struct Started {
    pub pid: i32,
    /// Who it runs as; not told for an exec.
    pub user: Option<ProcessUser>,
}

/// Standard input, output and error of the new process.
pub type Streams = [OwnedFd; 3];

/// What every launch needs to know of the pod.
#[derive(Debug)]
pub struct Place<'a> {
    pub directory: &'a Path,
    pub hostname: &'a str,
    pub pids: Pids,
    /// Set where the pod has its own users.
    pub first_user: Option<u32>,
    pub unified: bool,
    /// The mount namespace the shim was started in.
    pub host_mounts: &'a OwnedFd,
}

/// A child at work.
#[derive(Debug)]
pub struct Child {
    /// Leader of a process group that holds all it starts, until a container's first process makes its own session.
    pub pid: i32,
    /// Where its outcome comes out.
    pub report: OwnedFd,
}

impl<'a> Place<'a> {
    /// `pod_init` is the first process of the pod's own process namespace, where it has one.
    pub fn new(
        directory: &'a Path,
        pod: &'a SandboxSpec,
        unified: bool,
        pod_init: Option<i32>,
        host_mounts: &'a OwnedFd,
    ) -> Place<'a> {
        Place {
            directory,
            hostname: &pod.hostname,
            pids: match pod_init {
                _ if pod.host_pid => Pids::Host,
                Some(with) => Pids::Shared { with },
                None => Pids::Own,
            },
            first_user: pod.first_user,
            unified,
            host_mounts,
        }
    }
    fn containers(&self) -> PathBuf {
        self.directory.join("containers")
    }
    fn bundle(&self, id: &str) -> PathBuf {
        self.directory.join("bundles").join(id)
    }
}

/// Forks; `work` runs in the child.
pub fn in_child(work: impl FnOnce() -> Result<Started, String>) -> std::io::Result<Child> {
    let (report, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    if let Some(pid) = sys::fork()? {
        // On both sides: whoever comes second finds it done.
        let leader = nix::unistd::Pid::from_raw(pid);
        let _ = nix::unistd::setpgid(leader, leader);
        return Ok(Child { pid, report });
    }
    let itself = nix::unistd::Pid::from_raw(0);
    let _ = nix::unistd::setpgid(itself, itself);
    sys::reset_signals();
    let outcome = Outcome(work());
    let mut pipe = fs::File::from(write);
    let sent = postcard::to_stdvec(&outcome).is_ok_and(|bytes| pipe.write_all(&bytes).is_ok());
    sys::exit_now(i32::from(!sent));
}

/// Mounts, creates and starts `container`; returns its first process.
pub fn container(
    place: &Place<'_>,
    shim_pid: i32,
    id: &str,
    cgroup: &str,
    container: &ContainerSpec,
    streams: Streams,
) -> Result<Started, String> {
    let controllers = place.unified.then(|| Controllers::of(cgroup));
    if let Some(controllers) = &controllers {
        controllers.suffice(&container.resources)?;
    }
    // libcontainer leaves the groups of whoever started the node where a container has none of its own.
    nix::unistd::setgroups(&[]).map_err(|e| format!("leaving the node's groups: {e}"))?;
    let devices_guarded = guard_devices(place, cgroup, container);
    let names = capabilities(&container.security, last_capability(), devices_guarded)?;
    let privileges = Privileges {
        filter: seccomp::filter(&container.security.seccomp, &names)?,
        capabilities: names,
    };
    let mut container = container.clone();
    if let Some(first) = place.first_user {
        let mut shifted = Shifted::new(place.directory, first)?;
        shifted.layers(&mut container.root_fs)?;
        // The overlay keeps copies of the shifted layers.
        root::mount(&container, devices_guarded)?;
    } else {
        root::mount(&container, devices_guarded)?;
    }
    let merged = &container.root_fs.merged;
    let user = users::resolve(
        &container.security,
        &users::read_below(merged, "etc/passwd"),
        &users::read_below(merged, "etc/group"),
    )?;
    let first_user = place.first_user.unwrap_or(0);
    let ids = [user.uid, user.gid]
        .into_iter()
        .chain(user.additional_gids.iter().copied());
    if let Some(id) = ids
        .max()
        .filter(|id| place.first_user.is_some() && *id >= IDS)
    {
        return Err(format!(
            "user or group {id} is none of the {IDS} that a pod with `hostUsers: false` has"
        ));
    }
    root::make_working_directory(merged, spec::working_directory(&container), first_user)?;
    own_streams(&streams, first_user + user.uid)?;
    let pod = spec::Pod {
        directory: place.directory,
        shim_pid,
        hostname: place.hostname,
        pids: place.pids,
        first_user,
        throttled_processors: throttled_processors(),
        cgroup,
        unified: controllers.map(|has| spec::Unified {
            cpu: has.cpu,
            swap: has.swap,
        }),
        host_devices: if container.security.privileged {
            root::host_devices()
        } else {
            Vec::new()
        },
        oom_score_adj: reachable_oom_score_adj(container.resources.oom_score_adj)?,
    };
    super::volumes::stage(place, &mut container.mounts)?;
    // Until the container has copies of them. Behind the staging, which may have left the shim's mounts.
    let _shifted = match place.first_user {
        Some(first) => {
            let mut shifted = Shifted::new(place.directory, first)?;
            shifted.volumes(&mut container.mounts)?;
            Some(shifted)
        }
        None => None,
    };
    let container = &container;
    let config = spec::config(container, &user, &pod);
    let bundle = place.bundle(id);
    fs::create_dir_all(&bundle)
        .and_then(|()| fs::create_dir_all(place.containers()))
        .and_then(|()| fs::write(bundle.join("config.json"), config.to_string()))
        .map_err(|e| format!("writing {}: {e}", bundle.display()))?;
    privileges.store(&bundle)?;
    let pid = launched(place, container.tty, privileges, |launcher| {
        let mut made = builder(place, id, launcher, streams)?
            .as_init(&bundle)
            .with_systemd(false)
            .with_detach(true)
            .build()
            .map_err(|e| reason(&e))?;
        let pid = made.pid().ok_or("the container has no process")?.as_raw();
        made.start().map_err(|e| reason(&e))?;
        Ok(pid)
    })?;
    Ok(Started {
        pid,
        user: Some(ProcessUser {
            uid: user.uid,
            gid: user.gid,
            groups: user.additional_gids,
        }),
    })
}

/// Runs one more process in a container; returns its id.
pub fn exec(
    place: &Place<'_>,
    id: &str,
    spec: &ExecSpec,
    streams: Streams,
) -> Result<Started, String> {
    let bundle = place.bundle(id);
    let text = fs::read_to_string(bundle.join("config.json"))
        .map_err(|e| format!("reading the container's configuration: {e}"))?;
    let mut config: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let mut process = config["process"].take();
    process["args"] = serde_json::json!(spec.args);
    if spec.tty
        && let Some(env) = process["env"].as_array_mut()
        && !env
            .iter()
            .any(|e| e.as_str().is_some_and(|e| e.starts_with("TERM=")))
    {
        env.push("TERM=xterm".into());
    }
    let privileges = Privileges::load(&bundle)?;
    let user = process["user"]["uid"].as_u64().unwrap_or_default();
    own_streams(&streams, user as u32)?;
    nix::unistd::setgroups(&[]).map_err(|e| format!("leaving the node's groups: {e}"))?;
    let file = bundle.join(format!("exec-{}.json", std::process::id()));
    fs::write(&file, process.to_string())
        .map_err(|e| format!("writing {}: {e}", file.display()))?;
    let result = launched(place, spec.tty, privileges, |launcher| {
        builder(place, id, launcher, streams)?
            .as_tenant()
            .with_detach(true)
            .with_process(Some(&file))
            .build()
            .map(|pid| pid.as_raw())
            .map_err(|e| reason(&e))
    });
    let _ = fs::remove_file(file);
    result.map(|pid| Started { pid, user: None })
}

fn builder(
    place: &Place<'_>,
    id: &str,
    launcher: Launcher,
    streams: Streams,
) -> Result<ContainerBuilder, String> {
    let [stdin, stdout, stderr] = streams;
    Ok(ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_executor(launcher)
        .with_root_path(place.containers())
        .map_err(|e| reason(&e))?
        .validate_id()
        .map_err(|e| reason(&e))?
        .with_stdin(stdin)
        .with_stdout(stdout)
        .with_stderr(stderr))
}

/// Runs `build` and waits until the new process has become the wanted program, or says why it has not.
fn launched(
    place: &Place<'_>,
    tty: bool,
    privileges: Privileges,
    build: impl FnOnce(Launcher) -> Result<i32, String>,
) -> Result<i32, String> {
    let (read, write) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|e| e.to_string())?;
    let user_namespace = match place.first_user {
        Some(_) => Some(shifted::open(place.directory)?),
        None => None,
    };
    let launcher = Launcher {
        user_namespace: user_namespace.as_ref().map(AsRawFd::as_raw_fd),
        status: write.as_raw_fd(),
        tty,
        privileges,
    };
    let built = explained(|| build(launcher));
    drop(write);
    let mut message = Vec::new();
    // Ends when exec closes the last copy of the writing end.
    let _ = fs::File::from(read)
        .take(MESSAGE_BYTES_MAX)
        .read_to_end(&mut message);
    if message.is_empty() {
        return built;
    }
    Err(format!(
        "unable to start container process: {}",
        String::from_utf8_lossy(&message)
    ))
}

/// An error with everything below it.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// Takes on `wanted`, or says how near the kernel lets us come: below the present value only with CAP_SYS_RESOURCE,
/// which root inside a container lacks, proc(5). containerd calls the same `restrict_oom_score_adj`.
fn reachable_oom_score_adj(wanted: i32) -> Result<i32, String> {
    const FILE: &str = "/proc/self/oom_score_adj";
    match fs::write(FILE, wanted.to_string()) {
        Ok(()) => Ok(wanted),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let text = fs::read_to_string(FILE).map_err(|e| format!("reading {FILE}: {e}"))?;
            text.trim().parse().map_err(|e| format!("{FILE}: {e}"))
        }
        Err(error) => Err(format!("writing {wanted} to {FILE}: {error}")),
    }
}

fn throttled_processors() -> usize {
    (0..PROCESSORS_MAX)
        .take_while(|n| {
            Path::new(&format!("/sys/devices/system/cpu/cpu{n}/thermal_throttle")).exists()
        })
        .count()
}

/// The highest number this kernel knows; 37 is that of Linux 3.16 to 5.7.
fn last_capability() -> usize {
    fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(37)
}

/// Whether something keeps the container from devices: a controller on v1, our program on v2. A kernel without
/// CONFIG_CGROUP_BPF has neither there.
fn guard_devices(place: &Place<'_>, cgroup: &str, container: &ContainerSpec) -> bool {
    if !place.unified {
        return true;
    }
    !container.security.privileged
        && device_guard::guard(Path::new(&format!("/sys/fs/cgroup{cgroup}"))).is_ok()
}

/// A program that is not root may open its own output again, as /dev/stdout: runc's `fixStdioPermissions`.
fn own_streams(streams: &Streams, user: u32) -> Result<(), String> {
    for stream in streams {
        let data = nix::sys::stat::fstat(stream.as_raw_fd()).map_err(|e| e.to_string())?;
        // /dev/null is everybody's.
        if data.st_rdev == nix::sys::stat::makedev(1, 3) || data.st_uid == user {
            continue;
        }
        let user = Some(nix::unistd::Uid::from_raw(user));
        nix::unistd::fchown(stream.as_raw_fd(), user, None)
            .map_err(|e| format!("giving the container its streams: {e}"))?;
    }
    Ok(())
}

/// Three descriptors for one terminal.
pub fn terminal_streams(terminal: OwnedFd) -> std::io::Result<Streams> {
    Ok([terminal.try_clone()?, terminal.try_clone()?, terminal])
}
