//! What this machine has, as the node's object shows it.

use super::spec::NodeFacts;
use k8s_openapi::api::core::v1::NodeSystemInfo;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The API level of the objects this binary speaks, with its own version behind the plus as other distributions do.
const KUBELET_VERSION: &str = concat!("v1.37.0+coracle", env!("CARGO_PKG_VERSION"));
const RUNTIME_VERSION: &str = concat!("coracle://", env!("CARGO_PKG_VERSION"));
/// Memory kept back from pods: upstream's default hard eviction threshold.
const MEMORY_RESERVED_BYTES: i64 = 100 << 20;
/// Below these the node has the pressure condition (upstream's hard eviction thresholds).
const MEMORY_AVAILABLE_MIN_BYTES: i64 = 100 << 20;
const DISK_AVAILABLE_MIN_PERCENT: u64 = 10;
const PIDS_AVAILABLE_MIN_PERCENT: i64 = 10;

/// What does not change while the node runs.
#[derive(Debug, Clone)]
pub struct Fixed {
    pub name: String,
    pub ip: String,
    pub pod_cidr: String,
    pub pods_max: u32,
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub disk_bytes: i64,
    pub info: NodeSystemInfo,
}

impl Fixed {
    /// Looks at the machine. What cannot be read stays empty or 0.
    pub fn read(name: &str, ip: &str, pod_cidr: &str, pods_max: u32, pods_dir: &Path) -> Fixed {
        let line = |path: &str| {
            fs::read_to_string(path)
                .map(|t| t.trim().to_string())
                .unwrap_or_default()
        };
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let machine_id = line("/etc/machine-id");
        let system_uuid = match line("/sys/class/dmi/id/product_uuid") {
            uuid if uuid.is_empty() => machine_id.clone(),
            uuid => uuid,
        };
        Fixed {
            name: name.to_string(),
            ip: ip.to_string(),
            pod_cidr: pod_cidr.to_string(),
            pods_max,
            cpu_milli: i64::try_from(cpus).unwrap_or(1).saturating_mul(1000),
            memory_bytes: meminfo(&line("/proc/meminfo"), "MemTotal"),
            disk_bytes: disk(pods_dir).map_or(0, |d| i64::try_from(d.total).unwrap_or(i64::MAX)),
            info: NodeSystemInfo {
                architecture: go_arch(std::env::consts::ARCH).to_string(),
                boot_id: line("/proc/sys/kernel/random/boot_id"),
                container_runtime_version: RUNTIME_VERSION.to_string(),
                kernel_version: line("/proc/sys/kernel/osrelease"),
                kube_proxy_version: String::new(),
                kubelet_version: KUBELET_VERSION.to_string(),
                machine_id,
                operating_system: "linux".to_string(),
                os_image: os_image(&line("/etc/os-release")),
                system_uuid,
                ..NodeSystemInfo::default()
            },
        }
    }

    fn allocatable_memory(&self) -> i64 {
        (self.memory_bytes - MEMORY_RESERVED_BYTES).max(0)
    }

    /// What pods may ask of this node.
    pub fn facts(&self) -> NodeFacts {
        NodeFacts {
            name: self.name.clone(),
            ip: self.ip.clone(),
            cpu_milli: self.cpu_milli,
            memory_bytes: self.allocatable_memory(),
            // Upstream keeps a tenth of the disk back (its `nodefs.available` threshold).
            ephemeral_storage_bytes: self.disk_bytes - self.disk_bytes / 10,
        }
    }

    pub fn labels(&self) -> BTreeMap<String, String> {
        [
            ("kubernetes.io/hostname", self.name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", &self.info.architecture),
            ("node-role.kubernetes.io/control-plane", "true"),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect()
    }
}

/// What is looked at again and again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pressure {
    pub memory: bool,
    pub disk: bool,
    pub pids: bool,
}

impl Pressure {
    pub fn read(pods_dir: &Path) -> Pressure {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let available = meminfo(&text("/proc/meminfo"), "MemAvailable");
        let pid_max: i64 = text("/proc/sys/kernel/pid_max").trim().parse().unwrap_or(0);
        // `/proc/loadavg`: the fourth field is `running/all`.
        let tasks: i64 = text("/proc/loadavg")
            .split_whitespace()
            .nth(3)
            .and_then(|f| f.split_once('/'))
            .and_then(|(_, all)| all.parse().ok())
            .unwrap_or(0);
        Pressure {
            memory: available > 0 && available < MEMORY_AVAILABLE_MIN_BYTES,
            disk: disk(pods_dir).is_some_and(|d| {
                d.available.saturating_mul(100) < d.total.saturating_mul(DISK_AVAILABLE_MIN_PERCENT)
            }),
            pids: pid_max > 0
                && (pid_max - tasks).saturating_mul(100)
                    < pid_max.saturating_mul(PIDS_AVAILABLE_MIN_PERCENT),
        }
    }
}

struct Disk {
    total: u64,
    available: u64,
}

fn disk(path: &Path) -> Option<Disk> {
    // The directory may not be there yet: its nearest parent is on the same disk.
    let at = path.ancestors().find(|p| p.exists())?;
    let stat = nix::sys::statvfs::statvfs(at).ok()?;
    #[allow(
        clippy::useless_conversion,
        reason = "32-bit targets have narrower fields"
    )]
    let (size, blocks, free) = (
        u64::from(stat.fragment_size()),
        u64::from(stat.blocks()),
        u64::from(stat.blocks_available()),
    );
    Some(Disk {
        total: blocks.saturating_mul(size),
        available: free.saturating_mul(size),
    })
}

/// A line of /proc/meminfo, bytes; 0 where it is not there.
fn meminfo(text: &str, name: &str) -> i64 {
    text.lines()
        .filter_map(|l| l.split_once(':'))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.split_whitespace().next()?.parse::<i64>().ok())
        .map_or(0, |kib| kib.saturating_mul(1024))
}

/// `PRETTY_NAME` of os-release(5).
fn os_image(text: &str) -> String {
    text.lines()
        .find_map(|l| l.strip_prefix("PRETTY_NAME="))
        .map_or_else(|| "Linux".to_string(), |v| v.trim_matches('"').to_string())
}

/// Architecture names as images and node labels have them.
fn go_arch(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_machine() {
        assert_eq!(
            meminfo("MemTotal:  2048 kB\nMemAvailable: 3 kB\n", "MemAvailable"),
            3072
        );
        assert_eq!(
            os_image("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 13\"\n"),
            "Debian GNU/Linux 13"
        );
    }
}
