//! The pod's namespaces: whatever the shim unshares, its containers join.

use super::user_namespace;
use crate::runtime::types::SandboxSpec;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::path::{Path, PathBuf};

/// As containerd mounts a pod's `/dev/shm`.
const SHM_OPTIONS: &str = "mode=1777,size=65536k";

/// What containerd opens in a pod's own network (`enable_unprivileged_ports`, `enable_unprivileged_icmp`): a port below
/// 1024 and a ping disturb nobody there, and a server need not be root for them.
const OPEN_NETWORK: [(&str, &str); 2] = [
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    ("net.ipv4.ping_group_range", "0 2147483647"),
];

/// Unshares and furnishes; `directory` is the pod's run directory.
pub fn enter(spec: &SandboxSpec, directory: &Path) -> Result<(), String> {
    let mut flags = CloneFlags::empty();
    if !spec.host_network {
        // A pod on the host's network has the host's name, as upstream.
        flags |= CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    }
    if !spec.host_ipc {
        flags |= CloneFlags::CLONE_NEWIPC;
    }
    let failed = |e| format!("unsharing the pod's namespaces: {e} (root is needed)");
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed)?;
    // Slave, not private: volumes that the node mounts later must appear here, our mounts never there.
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_SLAVE,
        None::<&str>,
    )
    .map_err(|e| format!("making the shim's mounts its own: {e}"))?;
    match spec.first_user {
        None => unshare(flags).map_err(failed)?,
        Some(first) => {
            user_namespace::enter(first, flags, directory)?;
            for name in ["hosts", "hostname", "resolv.conf"] {
                let file = directory.join(name);
                std::os::unix::fs::chown(&file, Some(first), Some(first))
                    .map_err(|e| format!("giving {} to the pod's root: {e}", file.display()))?;
            }
        }
    }
    if !spec.host_network {
        nix::unistd::sethostname(&spec.hostname)
            .map_err(|e| format!("setting host name {:?}: {e}", spec.hostname))?;
    }
    let shm = directory.join("shm");
    std::fs::create_dir_all(&shm).map_err(|e| format!("creating {}: {e}", shm.display()))?;
    let result = if spec.host_ipc {
        mount(
            Some("/dev/shm"),
            &shm,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
    } else {
        mount(
            Some("shm"),
            &shm,
            Some("tmpfs"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
            Some(SHM_OPTIONS),
        )
    };
    result.map_err(|e| format!("mounting the pod's /dev/shm: {e}"))?;
    if !spec.host_network {
        for (name, value) in OPEN_NETWORK {
            // A kernel without the setting has nothing to open.
            let _ = sysctl(spec, name, value);
        }
    }
    spec.sysctls
        .iter()
        .try_for_each(|(name, value)| sysctl(spec, name, value))
}

/// Unmounts all below `directory`. Until that is done nothing may be deleted there: a mount that is left shows volumes
/// and images that belong to others.
pub fn unmount_below(directory: &Path) -> Result<(), String> {
    let read = || {
        std::fs::read_to_string("/proc/self/mountinfo")
            .map(|table| mounts_below(&table, directory))
            .map_err(|e| format!("reading the mount table: {e}"))
    };
    // What was mounted last may stand on what was mounted before.
    for point in read()?.iter().rev() {
        umount2(point, MntFlags::MNT_DETACH)
            .map_err(|e| format!("unmounting {}: {e}", point.display()))?;
    }
    match read()?.first() {
        None => Ok(()),
        Some(left) => Err(format!("{} is still mounted", left.display())),
    }
}

/// Mount points in a table of proc(5), whose names have blanks as octal numbers.
fn mounts_below(table: &str, directory: &Path) -> Vec<PathBuf> {
    let plain = |name: &str| {
        [
            ("\\040", " "),
            ("\\011", "\t"),
            ("\\012", "\n"),
            ("\\134", "\\"),
        ]
        .into_iter()
        .fold(name.to_owned(), |name, (code, letter)| {
            name.replace(code, letter)
        })
    };
    table
        .lines()
        .filter_map(|line| Some(PathBuf::from(plain(line.split(' ').nth(4)?))))
        .filter(|point| point.starts_with(directory) && point != directory)
        .collect()
}

/// Only what the pod's own namespaces hold may be set: anything else is the host's.
fn sysctl(spec: &SandboxSpec, name: &str, value: &str) -> Result<(), String> {
    let namespaced = (name.starts_with("net.") && !spec.host_network)
        || (["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            && !spec.host_ipc);
    if !namespaced || name.contains("..") || name.contains('/') {
        return Err(format!(
            "sysctl {name:?} is not one of the pod's own namespaces"
        ));
    }
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    std::fs::write(&path, value).map_err(|e| format!("setting sysctl {name} to {value:?}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_directory() {
        let table = "1 0 0:1 / / rw - ext4 /dev/a rw\n\
            2 1 0:2 / /run/pods/u rw - tmpfs none rw\n\
            3 1 0:2 / /run/pods/u/shm rw - tmpfs none rw\n\
            4 1 0:3 / /run/pods/u\\040v/x rw - tmpfs none rw\n\
            5 1 0:4 / /run/pods/uv/x rw - tmpfs none rw\n";
        assert_eq!(
            mounts_below(table, Path::new("/run/pods/u")),
            [PathBuf::from("/run/pods/u/shm")]
        );
        assert_eq!(
            mounts_below(table, Path::new("/run/pods/u v")),
            [PathBuf::from("/run/pods/u v/x")]
        );
    }
}
