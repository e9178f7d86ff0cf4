//! What pods ask of the kernel beyond running at all: seccomp, user namespaces, idmapped mounts, the device filter,
//! inotify, AppArmor. A node runs without any of them; the checks say which pods then do not.

use super::gather::built_in;
use super::{Check, Level};
use std::fs;
use std::path::Path;

/// First kernel whose ext4 mounts can be idmapped, mount_setattr(2); xfs came with 5.14, btrfs with 5.15, f2fs with 5.18.
const IDMAP_KERNELS: [(&str, (u32, u32)); 5] = [
    ("ext4", (5, 12)),
    ("xfs", (5, 14)),
    ("btrfs", (5, 15)),
    ("f2fs", (5, 18)),
    ("tmpfs", (6, 3)),
];
/// Root file systems of containers are overlays, which can stand on idmapped layers since then.
const OVERLAY_IDMAP_KERNEL: (u32, u32) = (5, 19);
/// Tails of logs and watching programs in pods take one each; the kernel's default is 128 for each user.
const INOTIFY_INSTANCES_WARN: u64 = 128;
/// Programs that watch whole trees (build tools, file servers) need more than kernels of small boards allow.
const INOTIFY_WATCHES_WARN: u64 = 8192;

/// How devices are kept from containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceFilter {
    /// The controller `devices` of cgroup v1.
    Controller,
    /// Programs at groups of cgroup v2.
    Programs,
    Missing,
    #[default]
    Unknown,
}

/// `None`: could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Isolation {
    pub seccomp: Option<bool>,
    /// `user.max_user_namespaces`; zero forbids them.
    pub user_namespaces_max: Option<u64>,
    pub device_filter: DeviceFilter,
    pub inotify_instances_max: Option<u64>,
    pub inotify_watches_max: Option<u64>,
    pub apparmor: bool,
}

/// From the tree at `root`; `mounts` is the text of `/proc/self/mounts`.
pub fn gather(root: &Path, mounts: &str) -> Isolation {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let number = |path: &str| read(path)?.trim().parse().ok();
    Isolation {
        // There from 4.14 on, where filters are built in.
        seccomp: match read("proc/sys/kernel/seccomp/actions_avail") {
            Some(actions) => Some(actions.split_whitespace().any(|action| action == "errno")),
            None => built_in(root, "CONFIG_SECCOMP_FILTER"),
        },
        user_namespaces_max: number("proc/sys/user/max_user_namespaces"),
        device_filter: device_filter(root, mounts),
        inotify_instances_max: number("proc/sys/fs/inotify/max_user_instances"),
        inotify_watches_max: number("proc/sys/fs/inotify/max_user_watches"),
        apparmor: read("sys/module/apparmor/parameters/enabled")
            .is_some_and(|text| text.starts_with('Y')),
    }
}

fn device_filter(root: &Path, mounts: &str) -> DeviceFilter {
    let controller = mounts.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next() == Some("cgroup")
            && fields
                .next()
                .is_some_and(|o| o.split(',').any(|o| o == "devices"))
    });
    if controller {
        return DeviceFilter::Controller;
    }
    match built_in(root, "CONFIG_CGROUP_BPF") {
        Some(true) => DeviceFilter::Programs,
        Some(false) => DeviceFilter::Missing,
        None => DeviceFilter::Unknown,
    }
}

/// `kernel` and `filesystem` are the machine's and the data directory's.
pub fn judge(
    facts: &Isolation,
    kernel: Option<(u32, u32)>,
    filesystem: Option<&str>,
) -> Vec<Check> {
    vec![
        seccomp(facts),
        user_namespaces(facts),
        idmapped_mounts(kernel, filesystem),
        devices(facts),
        inotify(facts),
        apparmor(facts),
    ]
}

fn seccomp(facts: &Isolation) -> Check {
    let what = "seccomp";
    match facts.seccomp {
        Some(true) => Check::ok(what, "filters system calls"),
        Some(false) => Check::new(
            Level::Fail,
            what,
            "the kernel has no filters: containers with a profile, RuntimeDefault too, do not start",
            "use a kernel with CONFIG_SECCOMP_FILTER",
        ),
        None => Check::new(
            Level::Warn,
            what,
            "the kernel does not tell whether it has filters",
            "nothing to do if pods start; else use a kernel with CONFIG_SECCOMP_FILTER",
        ),
    }
}

fn user_namespaces(facts: &Isolation) -> Check {
    let what = "user namespaces";
    match facts.user_namespaces_max {
        Some(0) => Check::new(
            Level::Warn,
            what,
            "forbidden: pods with hostUsers: false do not start",
            "sysctl -w user.max_user_namespaces=15000, and the same in /etc/sysctl.d",
        ),
        Some(max) => Check::ok(what, format!("up to {max}")),
        None => Check::new(
            Level::Warn,
            what,
            "the kernel has none: pods with hostUsers: false do not start",
            "use a kernel with CONFIG_USER_NS if you need such pods",
        ),
    }
}

fn idmapped_mounts(kernel: Option<(u32, u32)>, filesystem: Option<&str>) -> Check {
    let what = "idmapped mounts";
    let (Some(kernel), Some(filesystem)) = (kernel, filesystem) else {
        return Check::new(
            Level::Warn,
            what,
            "unknown: kernel or file system cannot be read",
            "is /proc mounted?",
        );
    };
    let Some((_, first)) = IDMAP_KERNELS.iter().find(|(name, _)| *name == filesystem) else {
        return Check::new(
            Level::Warn,
            what,
            format!("not known of {filesystem}: pods with hostUsers: false may not start"),
            "put the data directory on ext4, xfs, btrfs or f2fs (--data-dir) if you need such pods",
        );
    };
    let needed = (*first).max(OVERLAY_IDMAP_KERNEL);
    if kernel >= needed {
        return Check::ok(what, format!("on {filesystem}"));
    }
    Check::new(
        Level::Warn,
        what,
        format!("not with this kernel on {filesystem}: pods with hostUsers: false do not start"),
        format!(
            "upgrade to Linux {}.{} or later if you need such pods",
            needed.0, needed.1
        ),
    )
}

fn devices(facts: &Isolation) -> Check {
    let what = "device filter";
    match facts.device_filter {
        DeviceFilter::Controller => Check::ok(what, "controller of cgroup v1"),
        DeviceFilter::Programs => Check::ok(what, "programs of cgroup v2"),
        DeviceFilter::Missing => Check::new(
            Level::Warn,
            what,
            "the kernel has none: only file modes keep containers from devices, and none may make device nodes",
            "use a kernel with CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL",
        ),
        DeviceFilter::Unknown => Check::new(
            Level::Warn,
            what,
            "the kernel does not tell whether cgroup v2 has one",
            "nothing to do if `mknod` works in a container; else use a kernel with CONFIG_CGROUP_BPF",
        ),
    }
}

fn inotify(facts: &Isolation) -> Check {
    let what = "inotify";
    let (Some(instances), Some(watches)) = (facts.inotify_instances_max, facts.inotify_watches_max)
    else {
        return Check::new(
            Level::Warn,
            what,
            "the kernel has none: followed logs come a little later",
            "use a kernel with CONFIG_INOTIFY_USER",
        );
    };
    let how = format!("{instances} instances and {watches} watches for each user");
    if instances >= INOTIFY_INSTANCES_WARN && watches >= INOTIFY_WATCHES_WARN {
        return Check::ok(what, how);
    }
    Check::new(
        Level::Warn,
        what,
        format!(
            "{how}: programs in pods may fail with \"too many open files\" or \"no space left on device\""
        ),
        "sysctl -w fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=65536, and the same in /etc/sysctl.d",
    )
}

/// Boards rarely have it, and nothing but pods that name a profile needs it: no reason to worry anybody.
fn apparmor(facts: &Isolation) -> Check {
    let how = if facts.apparmor {
        "on"
    } else {
        "off: pods that name a profile are rejected, all others run without one"
    };
    Check::ok("AppArmor", how)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn complete() -> Isolation {
        Isolation {
            seccomp: Some(true),
            user_namespaces_max: Some(96_000),
            device_filter: DeviceFilter::Programs,
            inotify_instances_max: Some(128),
            inotify_watches_max: Some(8192),
            apparmor: true,
        }
    }

    #[test]
    fn each_lack_has_its_meaning_and_remedy() {
        let new = Some((6, 12));
        let good = complete();
        assert!(
            judge(&good, new, Some("ext4"))
                .iter()
                .all(|check| check.level == Level::Ok)
        );
        let cases: [(&str, Level, &str, Isolation); 8] = [
            (
                "seccomp",
                Level::Fail,
                "CONFIG_SECCOMP_FILTER",
                Isolation {
                    seccomp: Some(false),
                    ..good.clone()
                },
            ),
            (
                "seccomp",
                Level::Warn,
                "nothing to do",
                Isolation {
                    seccomp: None,
                    ..good.clone()
                },
            ),
            (
                "user namespaces",
                Level::Warn,
                "user.max_user_namespaces",
                Isolation {
                    user_namespaces_max: Some(0),
                    ..good.clone()
                },
            ),
            (
                "user namespaces",
                Level::Warn,
                "CONFIG_USER_NS",
                Isolation {
                    user_namespaces_max: None,
                    ..good.clone()
                },
            ),
            (
                "device filter",
                Level::Warn,
                "CONFIG_CGROUP_BPF",
                Isolation {
                    device_filter: DeviceFilter::Missing,
                    ..good.clone()
                },
            ),
            (
                "inotify",
                Level::Warn,
                "max_user_instances=512",
                Isolation {
                    inotify_instances_max: Some(16),
                    ..good.clone()
                },
            ),
            (
                "inotify",
                Level::Warn,
                "max_user_watches=65536",
                Isolation {
                    inotify_watches_max: Some(1024),
                    ..good.clone()
                },
            ),
            (
                "AppArmor",
                Level::Ok,
                "",
                Isolation {
                    apparmor: false,
                    ..good.clone()
                },
            ),
        ];
        for (what, level, mend, facts) in cases {
            let checks = judge(&facts, new, Some("ext4"));
            let check = checks.iter().find(|c| c.what == what).unwrap();
            assert_eq!(check.level, level, "{}", check.line());
            assert!(check.mend.contains(mend), "{}", check.line());
        }
    }

    #[test]
    fn idmapped_mounts_need_kernel_and_file_system() {
        for (kernel, filesystem, level) in [
            (Some((5, 19)), Some("ext4"), Level::Ok),
            (Some((5, 15)), Some("ext4"), Level::Warn),
            (Some((6, 1)), Some("tmpfs"), Level::Warn),
            (Some((6, 3)), Some("tmpfs"), Level::Ok),
            (Some((6, 12)), Some("zfs"), Level::Warn),
            (None, Some("ext4"), Level::Warn),
            (Some((6, 12)), None, Level::Warn),
        ] {
            let check = idmapped_mounts(kernel, filesystem);
            assert_eq!(check.level, level, "{kernel:?} {filesystem:?}");
            assert_eq!(check.mend.is_empty(), level == Level::Ok);
        }
    }

    #[test]
    fn facts_are_read_from_a_tree() {
        let dir = tempfile::tempdir().unwrap();
        let nothing = gather(dir.path(), "");
        assert_eq!(nothing, Isolation::default());
        for (path, text) in [
            (
                "proc/sys/kernel/seccomp/actions_avail",
                "kill errno allow\n",
            ),
            ("proc/sys/user/max_user_namespaces", "5\n"),
            ("proc/sys/fs/inotify/max_user_instances", "128\n"),
            ("proc/sys/fs/inotify/max_user_watches", "much\n"),
            ("sys/module/apparmor/parameters/enabled", "Y\n"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mounts = "cgroup /sys/fs/cgroup/devices cgroup rw,relatime,devices 0 0\n";
        let found = gather(dir.path(), mounts);
        assert_eq!(
            found,
            Isolation {
                seccomp: Some(true),
                user_namespaces_max: Some(5),
                device_filter: DeviceFilter::Controller,
                inotify_instances_max: Some(128),
                inotify_watches_max: None,
                apparmor: true,
            }
        );
    }
}
