//! Reads the facts from a file tree. Everything may be missing: emulators and containers show half a `/proc`.

use super::cgroup;
use super::facts::{BootLine, Disk, Facts, Module, Port};
use super::isolation;
use super::system;
use crate::profile::detect;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Kernel features that may be modules, and the option that builds each in.
const MODULES: [(&str, &str); 4] = [
    ("overlay", "CONFIG_OVERLAY_FS"),
    ("veth", "CONFIG_VETH"),
    ("bridge", "CONFIG_BRIDGE"),
    ("nf_tables", "CONFIG_NF_TABLES"),
];
/// Bookworm and later, then earlier releases of Raspberry Pi OS.
const BOOT_LINES: [&str; 2] = ["boot/firmware/cmdline.txt", "boot/cmdline.txt"];
const NFT_PLACES: [&str; 4] = [
    "usr/sbin/nft",
    "sbin/nft",
    "usr/local/sbin/nft",
    "usr/bin/nft",
];

/// Everything `judge` wants to know about the tree at `root`.
pub fn gather(root: &Path, data_dir: &Path) -> Facts {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let kernel =
        Some(read("proc/sys/kernel/osrelease").trim().to_owned()).filter(|k| !k.is_empty());
    let mounts = read("proc/self/mounts");
    let v2 = read("sys/fs/cgroup/cgroup.controllers")
        + " "
        + &read("sys/fs/cgroup/unified/cgroup.controllers");
    let nft = NFT_PLACES
        .iter()
        .map(|place| root.join(place))
        .find(|path| path.exists());
    let is_root = nix::unistd::geteuid().is_root();
    // A board in a directory has neither ports nor firewalls.
    let is_here = root == Path::new("/");
    let profile = detect(root).ok();
    Facts {
        is_root,
        namespaces: fs::read_dir(root.join("proc/self/ns"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect(),
        modules: MODULES
            .iter()
            .map(|(name, option)| (*name, module(root, kernel.as_deref(), name, option)))
            .collect(),
        cgroup_controllers: cgroup::controllers(&mounts, &v2),
        boot_line: BOOT_LINES.iter().find_map(|place| {
            let path = root.join(place);
            fs::read_to_string(&path)
                .ok()
                .map(|text| BootLine { path, text })
        }),
        dropping_chains: nft
            .as_deref()
            .filter(|_| is_here && is_root)
            .and_then(system::dropping_chains),
        nft,
        ip_forward: match read("proc/sys/net/ipv4/ip_forward").trim() {
            "" => None,
            value => Some(value == "1"),
        },
        now_seconds: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        disk: disk(data_dir, &mounts),
        isolation: isolation::gather(root, &mounts),
        api_port: if is_here {
            system::api_port()
        } else {
            Port::Free
        },
        memory_bytes: memory_bytes(&read("proc/meminfo")),
        profile_name: profile
            .as_ref()
            .map_or_else(String::new, |p| p.name.clone()),
        pods_max: profile.map_or(0, |p| p.pods_max),
        kernel,
    }
}

fn module(root: &Path, kernel: Option<&str>, name: &str, option: &str) -> Module {
    let lists = kernel.map(|kernel| root.join("lib/modules").join(kernel));
    let listed = |file: &str| {
        let text = lists
            .as_ref()
            .and_then(|dir| fs::read_to_string(dir.join(file)).ok());
        text.map(|text| names_module(&text, name))
    };
    let filesystem = fs::read_to_string(root.join("proc/filesystems")).unwrap_or_default();
    if root.join("sys/module").join(name).exists()
        || filesystem
            .lines()
            .any(|line| line.trim_start_matches("nodev").trim() == name)
        || listed("modules.builtin") == Some(true)
    {
        return Module::Present;
    }
    match (listed("modules.dep"), built_in(root, option)) {
        (_, Some(true)) => Module::Present,
        (Some(true), _) => Module::Loadable,
        (Some(false), _) | (None, Some(false)) => Module::Missing,
        (None, None) => Module::Unknown,
    }
}

/// Whether a list of module files (`kernel/net/bridge/bridge.ko.xz: …`) has `name`.
fn names_module(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let file = line.split(':').next().unwrap_or_default();
        let file = file.rsplit('/').next().unwrap_or_default();
        let stem = file.split(".ko").next().unwrap_or_default();
        stem.replace('-', "_") == name
    })
}

/// Whether the running kernel's own configuration builds `option` in; `None`: it does not tell.
pub(super) fn built_in(root: &Path, option: &str) -> Option<bool> {
    use std::io::Read;
    /// Kernel configurations are about 300 KiB.
    const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;
    let file = fs::File::open(root.join("proc/config.gz")).ok()?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .take(CONFIG_BYTES_MAX)
        .read_to_string(&mut text)
        .ok()?;
    let wanted = format!("{option}=y");
    Some(text.lines().any(|line| line == wanted))
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// Of the nearest directory that exists: the data directory itself is made by `up`.
fn disk(data_dir: &Path, mounts: &str) -> Option<Disk> {
    let existing = data_dir.ancestors().find(|dir| dir.exists())?;
    let stat = nix::sys::statvfs::statvfs(existing).ok()?;
    let absolute = existing
        .canonicalize()
        .unwrap_or_else(|_| PathBuf::from(existing));
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    // 32-bit targets have narrower types
    Some(Disk {
        filesystem: filesystem(mounts, &absolute),
        free_bytes: (stat.blocks_available() as u64).saturating_mul(stat.fragment_size() as u64),
        free_inodes: stat.files_available() as u64,
        inodes: stat.files() as u64,
    })
}

/// Type of the file system `path` is on: the last mount with the longest matching mount point.
fn filesystem(mounts: &str, path: &Path) -> Option<String> {
    let fields = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        Some((Path::new(fields.next()?), fields.next()?))
    });
    fields
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.components().count())
        .map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_counts() {
        let mounts = "a / ext4 rw 0 0\nb /var tmpfs rw 0 0\nc /var/lib btrfs rw 0 0\nhalf\n";
        for (path, kind) in [
            ("/", "ext4"),
            ("/var/x", "tmpfs"),
            ("/var/lib/c", "btrfs"),
            ("/variety", "ext4"),
        ] {
            assert_eq!(
                filesystem(mounts, Path::new(path)).as_deref(),
                Some(kind),
                "{path}"
            );
        }
        assert_eq!(filesystem("", Path::new("/")), None);
    }

    #[test]
    fn module_lists_and_memory_are_read() {
        assert!(names_module(
            "kernel/net/bridge/bridge.ko.xz: kernel/x.ko\n",
            "bridge"
        ));
        assert!(names_module("kernel/net/nf-tables.ko\n", "nf_tables"));
        assert!(!names_module(
            "kernel/net/br_netfilter.ko: kernel/net/bridge.ko\n",
            "bridge"
        ));
        assert_eq!(memory_bytes("MemTotal:  1024 kB\n"), Some(1 << 20));
        assert_eq!(memory_bytes("MemTotal: much"), None);
    }
}
