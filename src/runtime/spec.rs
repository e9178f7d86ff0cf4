//! The OCI runtime specification of a container, as `config.json`.
//!
//! Defaults are containerd's (`oci/spec_unix.go`): capabilities, mounts, masked and read-only paths.

use super::types::{ContainerSpec, Mount, Propagation, Security};
use super::users::User;
use serde_json::{Value, json};
use std::path::Path;

/// What an image without `PATH` gets; the same as containerd's default.
const PATH_DEFAULT: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const CAPABILITIES_DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// capabilities(7), in the kernel's order.
const CAPABILITIES_ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// What matters of a cgroup v2.
#[derive(Debug, Clone, Copy)]
pub struct Unified {
    pub cpu: bool,
    /// Swap can be limited.
    pub swap: bool,
}

/// What the pod lends its containers.
#[derive(Debug)]
pub struct Pod<'a> {
    /// Directory with `hosts`, `hostname`, `resolv.conf` and `shm`.
    pub directory: &'a Path,
    /// The shim, whose namespaces are the pod's.
    pub shim_pid: i32,
    pub hostname: &'a str,
    pub host_pid: bool,
    /// The container's cgroup from each hierarchy's root, with a leading `/`.
    pub cgroup: &'a str,
    /// Set on cgroup v2.
    pub unified: Option<Unified>,
    /// Device nodes of the host, for a privileged container.
    pub host_devices: Vec<Value>,
    /// Capabilities this kernel knows.
    pub last_capability: usize,
    /// The container's, as far as the kernel lets it be set.
    pub oom_score_adj: i32,
    /// The process whose PID namespace the container joins.
    pub processes_of: Option<i32>,
}

/// Capabilities with the pod's wishes applied; an unknown name is an error. On cgroup v2 nothing but file modes keeps
/// a container from devices, so that there the right to make device nodes must be asked for.
pub fn capabilities(
    security: &Security,
    last: usize,
    unified: bool,
) -> Result<Vec<String>, String> {
    let known: Vec<&str> = CAPABILITIES_ALL.into_iter().take(last + 1).collect();
    let plain = |name: &String| {
        let upper = name.to_ascii_uppercase();
        let upper = upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned();
        if upper == "ALL" || CAPABILITIES_ALL.contains(&upper.as_str()) {
            Ok(upper)
        } else {
            Err(format!("unknown capability {name:?}"))
        }
    };
    let add = security
        .capabilities_add
        .iter()
        .map(plain)
        .collect::<Result<Vec<_>, _>>()?;
    let drop = security
        .capabilities_drop
        .iter()
        .map(plain)
        .collect::<Result<Vec<_>, _>>()?;
    let default =
        |name: &str| CAPABILITIES_DEFAULT.contains(&name) && !(unified && name == "MKNOD");
    let has = |list: &[String], name: &str| list.iter().any(|n| n == name);
    Ok(known
        .into_iter()
        .filter(|name| {
            if security.privileged {
                let number = CAPABILITIES_ALL.iter().position(|n| n == name);
                return number.is_none_or(super::held::is_held);
            }
            // As containerd: ALL first, then single names; a single add wins over drop ALL.
            let base = (default(name) || has(&add, "ALL")) && !has(&drop, "ALL");
            (base || has(&add, name)) && !has(&drop, name)
        })
        .map(|name| format!("CAP_{name}"))
        .collect())
}

/// `config.json` for `container` on the root filesystem `root`.
pub fn config(container: &ContainerSpec, user: &User, pod: &Pod<'_>) -> Result<Value, String> {
    let security = &container.security;
    let resources = &container.resources;
    let caps = capabilities(security, pod.last_capability, pod.unified.is_some())?;
    let ambient: Vec<String> = Vec::new();
    let mut namespaces = vec![
        json!({"type": "mount"}),
        json!({"type": "network", "path": format!("/proc/{}/ns/net", pod.shim_pid)}),
        json!({"type": "uts", "path": format!("/proc/{}/ns/uts", pod.shim_pid)}),
        json!({"type": "ipc", "path": format!("/proc/{}/ns/ipc", pod.shim_pid)}),
    ];
    if !pod.host_pid {
        namespaces.push(match pod.processes_of {
            Some(pid) => json!({"type": "pid", "path": format!("/proc/{pid}/ns/pid")}),
            None => json!({"type": "pid"}),
        });
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
    let (masked, read_only): (&[&str], &[&str]) = if security.privileged {
        (&[], &[])
    } else {
        (&MASKED, &READ_ONLY)
    };
    Ok(json!({
        "ociVersion": "1.0.2",
        "hostname": null,
        "root": {"path": container.root_fs.merged, "readonly": security.read_only_root},
        "process": {
            "terminal": false,
            "user": {"uid": user.uid, "gid": user.gid, "additionalGids": user.additional_gids},
            "args": container.args,
            "env": environment(container, user, pod.hostname),
            "cwd": working_directory(container),
            "capabilities": {
                "bounding": caps, "effective": caps, "permitted": caps,
                "inheritable": ambient, "ambient": ambient,
            },
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
    }))
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
    let sysfs = if privileged { "rw" } else { "ro" };
    let mut list = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]}),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn caps(add: &[&str], drop: &[&str]) -> Vec<String> {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        let security = Security {
            capabilities_add: owned(add),
            capabilities_drop: owned(drop),
            ..Security::default()
        };
        capabilities(&security, 40, false).unwrap()
    }

    #[test]
    fn capabilities_follow_add_and_drop() {
        assert_eq!(caps(&[], &[]).len(), 14);
        assert_eq!(caps(&[], &["ALL"]), Vec::<String>::new());
        assert_eq!(caps(&["NET_ADMIN"], &["all"]), ["CAP_NET_ADMIN"]);
        assert_eq!(caps(&["ALL"], &["CAP_KILL"]).len(), 40);
        let unified = capabilities(&Security::default(), 40, true).unwrap();
        assert_eq!(unified.len(), 13);
        assert!(!unified.contains(&"CAP_MKNOD".to_owned()));
        let wrong = Security {
            capabilities_add: vec!["FLY".into()],
            ..Security::default()
        };
        assert!(capabilities(&wrong, 40, false).unwrap_err().contains("FLY"));
    }
}
