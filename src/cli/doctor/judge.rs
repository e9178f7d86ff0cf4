//! From facts to checks: pure.

use super::cgroup;
use super::cmdline::{WANTED, with_memory_controller};
use super::facts::{Facts, Module, Port};
use super::isolation;
use super::system::API_PORT;
use super::{Check, Level};

const MIB: u64 = 1024 * 1024;
/// 2025-01-01: no node ran before, so an earlier clock is a board without a battery that has not asked the network.
const CLOCK_FLOOR_SECONDS: u64 = 1_735_689_600;
/// A store, its snapshot and one small image.
const DISK_FAIL_BYTES: u64 = 256 * MIB;
/// Room for a few ordinary images.
const DISK_WARN_BYTES: u64 = 2048 * MIB;
/// An unpacked distribution image has about ten thousand files.
const INODES_WARN: u64 = 50_000;
/// The node's own budget with the kernel's and system's usual share.
const MEMORY_BASE_BYTES: u64 = 96 * MIB;
/// A small container with its shim.
const MEMORY_PER_POD_BYTES: u64 = 3 * MIB;
/// overlayfs as the runtime uses it, and cgroup v2 complete.
const KERNEL_MIN: (u32, u32) = (5, 4);
/// Of `/proc/self/ns`.
const NAMESPACES: [&str; 6] = ["net", "pid", "mnt", "ipc", "uts", "user"];
/// File systems that cannot carry overlayfs' upper layer.
/// <https://docs.kernel.org/filesystems/overlayfs.html#upper-and-lower>
const NO_UPPER: [&str; 9] = [
    "overlay", "nfs", "nfs4", "vfat", "msdos", "exfat", "cifs", "9p", "squashfs",
];

/// Every check, in the order a reader mends them.
pub fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![root(facts), kernel(facts), namespaces(facts)];
    checks.extend(
        facts
            .modules
            .iter()
            .map(|(name, state)| module(name, *state)),
    );
    checks.extend([
        controllers(facts),
        nft(facts),
        firewall(facts),
        forwarding(facts),
        clock(facts),
        disk(facts),
        filesystem(facts),
        port(facts),
        memory(facts),
    ]);
    let filesystem = facts.disk.as_ref().and_then(|d| d.filesystem.as_deref());
    let kernel = facts.kernel.as_deref().map(version);
    checks.extend(isolation::judge(&facts.isolation, kernel, filesystem));
    checks
}

/// The first two numbers of a release such as `6.12.34-v8`.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn root(facts: &Facts) -> Check {
    if facts.is_root {
        Check::ok("root", "running as root")
    } else {
        let mend = "run `sudo coracle doctor`; `up` needs root too";
        Check::new(Level::Fail, "root", "not running as root", mend)
    }
}

fn kernel(facts: &Facts) -> Check {
    let Some(release) = &facts.kernel else {
        return Check::new(
            Level::Warn,
            "kernel",
            "version cannot be read",
            "is /proc mounted?",
        );
    };
    if version(release) >= KERNEL_MIN {
        Check::ok("kernel", release)
    } else {
        let mend = format!(
            "upgrade to Linux {}.{} or later",
            KERNEL_MIN.0, KERNEL_MIN.1
        );
        Check::new(Level::Fail, "kernel", format!("{release} is too old"), mend)
    }
}

fn namespaces(facts: &Facts) -> Check {
    let what = "namespaces";
    if facts.namespaces.is_empty() {
        return Check::new(Level::Warn, what, "cannot be read", "is /proc mounted?");
    }
    let lacking: Vec<_> = NAMESPACES
        .iter()
        .filter(|n| !facts.namespaces.contains(**n))
        .copied()
        .collect();
    // Only pods that ask for `hostUsers: false` need user namespaces.
    let level = match lacking.as_slice() {
        [] => return Check::ok(what, NAMESPACES.join(" ")),
        ["user"] => Level::Warn,
        _ => Level::Fail,
    };
    let how = format!("the kernel lacks {}", lacking.join(" "));
    Check::new(
        level,
        what,
        how,
        "use a kernel with CONFIG_NAMESPACES and all its kinds",
    )
}

fn module(name: &'static str, state: Module) -> Check {
    match state {
        Module::Present => Check::ok(name, "in the kernel"),
        Module::Loadable => {
            let mend = format!("`coracle doctor --fix`, or: modprobe {name}");
            Check::new(Level::Warn, name, "a module, not loaded", mend)
        }
        Module::Missing => {
            let mend = "install the kernel's modules (a reboot after a kernel upgrade may be due)";
            Check::new(Level::Fail, name, "the kernel does not have it", mend)
        }
        Module::Unknown => {
            let mend = "nothing to do if pods start; else use a kernel that has it";
            Check::new(Level::Warn, name, "the kernel does not tell", mend)
        }
    }
}

fn controllers(facts: &Facts) -> Check {
    let what = "cgroups";
    if facts.cgroup_controllers.is_empty() {
        let mend = "mount cgroup2 at /sys/fs/cgroup (systemd does)";
        return Check::new(Level::Fail, what, "no controller found", mend);
    }
    let has = |name: &&&str| facts.cgroup_controllers.contains(**name);
    let lacking: Vec<_> = cgroup::NEEDED.iter().filter(|n| !has(n)).copied().collect();
    if lacking.is_empty() {
        return Check::ok(what, cgroup::NEEDED.join(" "));
    }
    let mend = match &facts.boot_line {
        Some(line) if lacking.contains(&"memory") => match with_memory_controller(&line.text) {
            Ok(None) => "it is switched on in the boot line: reboot".to_owned(),
            Ok(Some(_)) => format!(
                "add `{}` to the end of the one line in {} and reboot; `coracle doctor --fix` does the first",
                WANTED.join(" "),
                line.path.display()
            ),
            Err(error) => format!("{}: {error}", line.path.display()),
        },
        _ => "boot a kernel with these controllers, without cgroup_disable= on its command line"
            .to_owned(),
    };
    Check::new(
        Level::Fail,
        what,
        format!("missing {}", lacking.join(" ")),
        mend,
    )
}

fn nft(facts: &Facts) -> Check {
    match &facts.nft {
        Some(path) => Check::ok("nft", path.display().to_string()),
        None => Check::new(
            Level::Fail,
            "nft",
            "the program is missing",
            "apt install nftables",
        ),
    }
}

fn firewall(facts: &Facts) -> Check {
    let what = "firewall";
    match facts.dropping_chains.as_deref() {
        None => Check::new(
            Level::Warn,
            what,
            "could not be asked",
            "run as root with nft installed",
        ),
        Some([]) => Check::ok(what, "forwards"),
        Some(chains) => Check::new(
            Level::Warn,
            what,
            format!(
                "{} drops what is forwarded: pods may not reach the outside",
                chains.join(", ")
            ),
            "let it accept from and to the bridge: iptables -I FORWARD -i cor0 -j ACCEPT; iptables -I FORWARD -o cor0 -j ACCEPT",
        ),
    }
}

fn forwarding(facts: &Facts) -> Check {
    let what = "ip_forward";
    match facts.ip_forward {
        Some(true) => Check::ok(what, "on"),
        Some(false) => Check::new(
            Level::Warn,
            what,
            "off",
            "`up` switches it on; `coracle doctor --fix` does it now",
        ),
        None => Check::new(Level::Warn, what, "cannot be read", "is /proc mounted?"),
    }
}

fn clock(facts: &Facts) -> Check {
    if facts.now_seconds >= CLOCK_FLOOR_SECONDS {
        return Check::ok("clock", "plausible");
    }
    let mend = "the board has no clock battery or it is empty: connect it to a time server (systemd-timesyncd), or set it with `date -s`";
    Check::new(Level::Warn, "clock", "stands before 2025", mend)
}

fn disk(facts: &Facts) -> Check {
    let Some(disk) = &facts.disk else {
        return Check::new(
            Level::Warn,
            "disk",
            "cannot be read",
            "does the data directory's parent exist?",
        );
    };
    let how = format!(
        "{} MiB free, {} inodes free",
        disk.free_bytes / MIB,
        disk.free_inodes
    );
    let mend = "remove files, or put the data directory on a larger disk (--data-dir)";
    if disk.free_bytes < DISK_FAIL_BYTES {
        Check::new(Level::Fail, "disk", how, mend)
    } else if disk.free_bytes < DISK_WARN_BYTES
        || (disk.inodes > 0 && disk.free_inodes < INODES_WARN)
    {
        Check::new(Level::Warn, "disk", how, mend)
    } else {
        Check::ok("disk", how)
    }
}

fn filesystem(facts: &Facts) -> Check {
    let what = "file system";
    match facts
        .disk
        .as_ref()
        .and_then(|disk| disk.filesystem.as_deref())
    {
        None => Check::new(
            Level::Warn,
            what,
            "unknown",
            "use ext4, xfs, btrfs or f2fs for the data directory",
        ),
        Some(kind) if NO_UPPER.contains(&kind) || kind.starts_with("fuse") => Check::new(
            Level::Fail,
            what,
            format!("{kind} cannot carry containers' writable layers"),
            "put the data directory on ext4, xfs, btrfs or f2fs (--data-dir)",
        ),
        Some(kind) => Check::ok(what, kind),
    }
}

fn port(facts: &Facts) -> Check {
    let what = "API port";
    match &facts.api_port {
        Port::Free => Check::ok(what, format!("{API_PORT} is free")),
        Port::InUse => Check::new(
            Level::Warn,
            what,
            format!("{API_PORT} is in use"),
            format!(
                "fine if this node is running; else find who has it: ss -ltnp sport = :{API_PORT}"
            ),
        ),
        Port::Unknown(cause) => Check::new(Level::Warn, what, cause, "is the network up?"),
    }
}

fn memory(facts: &Facts) -> Check {
    let Some(bytes) = facts.memory_bytes else {
        return Check::new(Level::Warn, "memory", "cannot be read", "is /proc mounted?");
    };
    let wanted = MEMORY_BASE_BYTES + MEMORY_PER_POD_BYTES * u64::from(facts.pods_max);
    let how = format!("{} MiB, profile {}", bytes / MIB, facts.profile_name);
    if bytes >= wanted {
        return Check::ok("memory", how);
    }
    let mend = format!(
        "the profile's {} pods want {} MiB: choose a smaller one with --profile (pi-zero-2-w)",
        facts.pods_max,
        wanted / MIB
    );
    Check::new(Level::Warn, "memory", how, mend)
}
