//! The doctor at a made-up Raspberry Pi.
#![allow(clippy::unwrap_used)]

use super::facts::{Disk, Facts, Module, Port};
use super::{Check, Level, fix, gather, judge};
use std::fs;
use std::path::Path;

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A Pi 4 as it comes from the imager.
fn fresh_pi() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    put(
        root,
        "proc/device-tree/model",
        "Raspberry Pi 4 Model B Rev 1.4\0",
    );
    put(root, "proc/sys/kernel/osrelease", "6.12.34-v8\n");
    put(
        root,
        "proc/self/mounts",
        "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n/dev/root / ext4 rw 0 0\n",
    );
    put(
        root,
        "sys/fs/cgroup/cgroup.controllers",
        "cpuset cpu io pids\n",
    );
    put(
        root,
        "boot/firmware/cmdline.txt",
        "console=tty1 root=PARTUUID=1-02 rootwait\n",
    );
    put(
        root,
        "lib/modules/6.12.34-v8/modules.builtin",
        "kernel/net/bridge/bridge.ko\n",
    );
    put(
        root,
        "lib/modules/6.12.34-v8/modules.dep",
        "kernel/drivers/net/veth.ko.xz:\n",
    );
    put(root, "proc/meminfo", "MemTotal: 1900000 kB\n");
    put(root, "usr/sbin/nft", "");
    for name in ["net", "pid", "mnt", "ipc", "uts", "user"] {
        put(root, &format!("proc/self/ns/{name}"), "");
    }
    dir
}

fn find(checks: &[Check], what: &str) -> Check {
    checks.iter().find(|c| c.what == what).unwrap().clone()
}

#[test]
fn the_memory_controller_of_a_fresh_pi_is_found_and_mended() {
    let dir = fresh_pi();
    let root = dir.path();
    let mut facts = gather::gather(root, root);
    facts.is_root = true;
    facts.modules.clear();
    let check = find(&judge::judge(&facts), "cgroups");
    assert_eq!(check.level, Level::Fail);
    assert!(
        check.mend.contains("cgroup_enable=memory cgroup_memory=1"),
        "{}",
        check.mend
    );
    assert!(check.mend.contains("boot/firmware/cmdline.txt"));

    let said = fix::mend(root, &facts);
    assert!(said.iter().any(|line| line.contains("reboot")), "{said:?}");
    let line = fs::read_to_string(root.join("boot/firmware/cmdline.txt")).unwrap();
    assert_eq!(
        line,
        "console=tty1 root=PARTUUID=1-02 rootwait cgroup_enable=memory cgroup_memory=1\n"
    );
    let backup = fs::read_to_string(root.join("boot/firmware/cmdline.txt.before-coracle")).unwrap();
    assert_eq!(backup, "console=tty1 root=PARTUUID=1-02 rootwait\n");
    assert_eq!(fs::read_dir(root.join("boot/firmware")).unwrap().count(), 2);

    let mut again = gather::gather(root, root);
    again.is_root = true;
    again.modules.clear();
    assert!(fix::mend(root, &again).is_empty());
    assert!(
        find(&judge::judge(&again), "cgroups")
            .mend
            .contains("reboot")
    );
}

#[test]
fn modules_profile_and_memory_of_the_pi_are_read() {
    let dir = fresh_pi();
    let facts = gather::gather(dir.path(), dir.path());
    let state = |name| facts.modules.iter().find(|(n, _)| *n == name).unwrap().1;
    assert_eq!(state("bridge"), Module::Present);
    assert_eq!(state("veth"), Module::Loadable);
    assert_eq!(state("nf_tables"), Module::Missing);
    assert_eq!(facts.profile_name, "pi-4");
    assert_eq!(find(&judge::judge(&facts), "memory").level, Level::Ok);
    assert_eq!(find(&judge::judge(&facts), "kernel").level, Level::Ok);
}

#[test]
fn an_empty_tree_is_judged_without_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let facts = gather::gather(dir.path(), Path::new("relative/nowhere"));
    let checks = judge::judge(&facts);
    assert_eq!(find(&checks, "cgroups").level, Level::Fail);
    assert_eq!(find(&checks, "kernel").level, Level::Warn);
    assert!(
        checks
            .iter()
            .all(|c| c.level == Level::Ok || !c.mend.is_empty())
    );
}

#[test]
fn each_ill_has_its_line() {
    let dir = fresh_pi();
    let good = Facts {
        is_root: true,
        disk: Some(Disk {
            filesystem: Some("ext4".to_owned()),
            free_bytes: 1 << 34,
            free_inodes: 1 << 20,
            inodes: 1 << 21,
        }),
        ..gather::gather(dir.path(), dir.path())
    };
    let disk = good.disk.clone().unwrap();
    let ills: Vec<(&str, Level, Facts)> = vec![
        (
            "root",
            Level::Fail,
            Facts {
                is_root: false,
                ..good.clone()
            },
        ),
        (
            "kernel",
            Level::Fail,
            Facts {
                kernel: Some("4.19.0".to_owned()),
                ..good.clone()
            },
        ),
        (
            "nft",
            Level::Fail,
            Facts {
                nft: None,
                ..good.clone()
            },
        ),
        (
            "firewall",
            Level::Warn,
            Facts {
                dropping_chains: Some(vec!["ip filter FORWARD".to_owned()]),
                ..good.clone()
            },
        ),
        (
            "ip_forward",
            Level::Warn,
            Facts {
                ip_forward: Some(false),
                ..good.clone()
            },
        ),
        (
            "clock",
            Level::Warn,
            Facts {
                now_seconds: 0,
                ..good.clone()
            },
        ),
        (
            "disk",
            Level::Fail,
            Facts {
                disk: Some(Disk {
                    free_bytes: 1,
                    ..disk.clone()
                }),
                ..good.clone()
            },
        ),
        (
            "disk",
            Level::Warn,
            Facts {
                disk: Some(Disk {
                    free_inodes: 1,
                    ..disk.clone()
                }),
                ..good.clone()
            },
        ),
        (
            "file system",
            Level::Fail,
            Facts {
                disk: Some(Disk {
                    filesystem: Some("vfat".to_owned()),
                    ..disk
                }),
                ..good.clone()
            },
        ),
        (
            "API port",
            Level::Warn,
            Facts {
                api_port: Port::InUse,
                ..good.clone()
            },
        ),
        (
            "memory",
            Level::Warn,
            Facts {
                memory_bytes: Some(1 << 27),
                ..good.clone()
            },
        ),
    ];
    for (what, level, facts) in ills {
        let check = find(&judge::judge(&facts), what);
        assert_eq!(check.level, level, "{}", check.line());
        assert!(check.line().contains(" - "), "{}", check.line());
    }
    assert_eq!(find(&judge::judge(&good), "disk").level, Level::Ok);
}
