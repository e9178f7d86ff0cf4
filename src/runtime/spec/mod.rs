//! The OCI runtime specification of a container, as `config.json`.
//!
//! Defaults are containerd's (`oci/spec_unix.go`): mounts, and in files of their own capabilities and paths.

pub mod capabilities;
pub mod devices;
mod paths;

use super::types::{ContainerSpec, Mount, Propagation};
use super::users::User;
use serde_json::{Value, json};
use std::path::Path;

/// What an image without `PATH` gets; the same as containerd's default.
const PATH_DEFAULT: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What matters of a cgroup v2.
#[derive(Debug, Clone, Copy)]
pub struct Unified {
    pub cpu: bool,
    /// Swap can be limited.
    pub swap: bool,
}

/// Which processes a container sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pids {
    Host,
    Own,
    /// Those in the namespace of this one.
    Shared {
        with: i32,
    },
}

/// What the pod lends its containers.
#[derive(Debug)]
pub struct Pod<'a> {
    /// Directory with `hosts`, `hostname`, `resolv.conf` and `shm`.
    pub directory: &'a Path,
    /// The shim, whose namespaces are the pod's.
    pub shim_pid: i32,
    pub hostname: &'a str,
    pub pids: Pids,
    /// Processors whose `thermal_throttle` the kernel shows.
    pub throttled_processors: usize,
    /// The host's id of the container's user 0.
    pub first_user: u32,
    /// The container's cgroup from each hierarchy's root, with a leading `/`.
    pub cgroup: &'a str,
    /// Set on cgroup v2.
    pub unified: Option<Unified>,
    /// Device nodes of the host, for a privileged container.
    pub host_devices: Vec<Value>,
    /// The container's, as far as the kernel lets it be set.
    pub oom_score_adj: i32,
}

/// `config.json` for `container` on the root filesystem `root`. Capabilities are not in it: whoever loads a system call
/// filter needs more than the program gets, so that our own last step before the program sets them.
pub fn config(container: &ContainerSpec, user: &User, pod: &Pod<'_>) -> Value {
    let security = &container.security;
    let resources = &container.resources;
    let mut namespaces = vec![
        json!({"type": "mount"}),
        json!({"type": "network", "path": format!("/proc/{}/ns/net", pod.shim_pid)}),
        json!({"type": "uts", "path": format!("/proc/{}/ns/uts", pod.shim_pid)}),
        json!({"type": "ipc", "path": format!("/proc/{}/ns/ipc", pod.shim_pid)}),
    ];
    match pod.pids {
        Pids::Host => {}
        Pids::Own => namespaces.push(json!({"type": "pid"})),
        Pids::Shared { with } => {
            namespaces.push(json!({"type": "pid", "path": format!("/proc/{with}/ns/pid")}));
        }
    }
    if pod.unified.is_some() {
        namespaces.push(json!({"type": "cgroup"}));
    }
    let mut limits = json!({
        "cpu": {},
        "devices": [{"allow": security.privileged, "access": "rwm"}],
    });
    // A weight where there is no such controller is no limit that anybody misses.
    if pod.unified.is_none_or(|has| has.cpu) {
        limits["cpu"]["shares"] = json!(resources.cpu_shares.max(2));
    }
    // Upstream's NoSwap, the default (kuberuntime, swapConfigurationHelper): on v2 a container gets no swap.
    if pod.unified.is_some_and(|has| has.swap) {
        limits["unified"] = json!({"memory.swap.max": "0"});
    }
    if let (Some(quota), period) = (resources.cpu_quota_us, resources.cpu_period_us) {
        limits["cpu"]["quota"] = json!(quota);
        limits["cpu"]["period"] = json!(if period == 0 { 100_000 } else { period });
    }
    if let Some(bytes) = resources.memory_limit_bytes {
        limits["memory"] = json!({"limit": bytes});
    }
    if let Some(count) = resources.pids_max {
        limits["pids"] = json!({"limit": count});
    }
    let (masked, read_only): (Vec<String>, &[&str]) = if security.privileged || security.unmasked {
        (Vec::new(), &[])
    } else {
        (paths::masked(pod.throttled_processors), &paths::READ_ONLY)
    };
    // The user namespace is entered last: until then its ids are the host's.
    let first = pod.first_user;
    let groups: Vec<u32> = user.additional_gids.iter().map(|g| first + g).collect();
    let mut config = json!({
        "ociVersion": "1.0.2",
        "hostname": null,
        "root": {"path": container.root_fs.merged, "readonly": security.read_only_root},
        "process": {
            "terminal": false,
            "user": {"uid": first + user.uid, "gid": first + user.gid, "additionalGids": groups},
            "args": container.args,
            "env": environment(container, user, pod.hostname),
            "cwd": working_directory(container),
            "noNewPrivileges": security.no_new_privileges,
            "oomScoreAdj": pod.oom_score_adj,
        },
        "mounts": mounts(container, pod),
        "linux": {
            "cgroupsPath": pod.cgroup,
            "rootfsPropagation": root_propagation(container),
            "namespaces": namespaces,
            "resources": limits,
            "maskedPaths": masked,
            "readonlyPaths": read_only,
            "devices": if security.privileged { pod.host_devices.clone() } else { Vec::new() },
        },
    });
    if let Some(profile) = &security.apparmor {
        config["process"]["apparmorProfile"] = json!(profile);
    }
    config
}

/// `/` where nothing is said.
pub fn working_directory(container: &ContainerSpec) -> &Path {
    if container.working_dir.as_os_str().is_empty() {
        Path::new("/")
    } else {
        &container.working_dir
    }
}

fn environment(container: &ContainerSpec, user: &User, hostname: &str) -> Vec<String> {
    let mut env: Vec<String> = Vec::with_capacity(container.env.len() + 4);
    for default in [
        PATH_DEFAULT.to_owned(),
        format!("HOSTNAME={hostname}"),
        format!("HOME={}", user.home),
    ] {
        let key = default
            .split_inclusive('=')
            .next()
            .unwrap_or_default()
            .to_owned();
        if !container.env.iter().any(|e| e.starts_with(&key)) {
            env.push(default);
        }
    }
    if container.tty && !container.env.iter().any(|e| e.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    env.extend(container.env.iter().cloned());
    env
}

fn mounts(container: &ContainerSpec, pod: &Pod<'_>) -> Vec<Value> {
    let privileged = container.security.privileged;
    let first = pod.first_user;
    let sysfs = if privileged { "rw" } else { "ro" };
    let mut list = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k", format!("uid={first}"), format!("gid={first}")]}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", format!("gid={}", first + 5)]}),
        json!({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", sysfs]}),
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", sysfs]}),
    ];
    let mut bind = |source: &Path, target: &Path, read_only: bool| {
        list.push(bind_mount(&Mount {
            source: source.to_owned(),
            target: target.to_owned(),
            read_only,
            ..Mount::default()
        }));
    };
    bind(&pod.directory.join("shm"), Path::new("/dev/shm"), false);
    for (file, target) in [
        ("hosts", "/etc/hosts"),
        ("hostname", "/etc/hostname"),
        ("resolv.conf", "/etc/resolv.conf"),
    ] {
        // A volume at the same place wins.
        if !container
            .mounts
            .iter()
            .any(|m| m.target == Path::new(target))
        {
            bind(
                &pod.directory.join(file),
                Path::new(target),
                container.security.read_only_root,
            );
        }
    }
    list.extend(container.mounts.iter().map(bind_mount));
    list
}

/// Propagation is not an option here: libcontainer leaves it as it finds it (`root_propagation`, `shim/volumes.rs`).
fn bind_mount(mount: &Mount) -> Value {
    let mut options = vec!["rbind", if mount.read_only { "ro" } else { "rw" }];
    if mount.read_only && mount.recursive_read_only {
        options.push("rro");
    }
    options.extend(mount.options.iter().map(String::as_str));
    json!({"destination": mount.target, "type": "bind", "source": mount.source, "options": options})
}

/// What all mounts become in the container's namespace before its own are made.
fn root_propagation(container: &ContainerSpec) -> &'static str {
    let any = |wanted| container.mounts.iter().any(|m| m.propagation == wanted);
    if any(Propagation::Bidirectional) {
        "shared"
    } else if any(Propagation::HostToContainer) {
        "slave"
    } else {
        "private"
    }
}
