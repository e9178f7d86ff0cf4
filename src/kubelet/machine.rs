//! What this machine has, as the node's object shows it.

use super::eviction::{Settings, Signal};
use super::spec::NodeFacts;
use super::stats::{filesystem, meminfo};
use k8s_openapi::api::core::v1::NodeSystemInfo;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The API level of the objects this binary speaks, with its own version behind the plus as other distributions do.
const KUBELET_VERSION: &str = concat!("v1.37.0+coracle", env!("CARGO_PKG_VERSION"));
const RUNTIME_VERSION: &str = concat!("coracle://", env!("CARGO_PKG_VERSION"));
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
    /// Huge pages the kernel holds, bytes by resource name (`hugepages-2Mi`).
    pub huge_pages: BTreeMap<String, i64>,
    pub settings: Arc<Settings>,
}

impl Fixed {
    /// Looks at the machine. What cannot be read stays empty or 0.
    pub fn read(
        name: &str,
        ip: &str,
        pod_cidr: &str,
        pods_max: u32,
        pods_dir: &Path,
        settings: Arc<Settings>,
    ) -> Fixed {
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
            memory_bytes: signed(meminfo(&line("/proc/meminfo"), "MemTotal")),
            disk_bytes: filesystem(pods_dir).map_or(0, |disk| signed(disk.capacity_bytes)),
            huge_pages: huge_pages(Path::new("/sys/kernel/mm/hugepages")),
            settings,
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

    /// What pods may ask of this node: all there is, less what is reserved, less what the hard thresholds keep.
    /// <https://kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources/#node-allocatable>
    pub fn facts(&self) -> NodeFacts {
        let reserved = &self.settings.reserved;
        let huge: i64 = self.huge_pages.values().sum();
        let kept = |signal, capacity| self.settings.hard_bytes(signal, capacity);
        let left = |capacity: i64, parts: &[i64]| {
            let taken = |rest: i64, part: &i64| rest.saturating_sub(*part);
            parts.iter().fold(capacity, taken).max(0)
        };
        NodeFacts {
            name: self.name.clone(),
            ip: self.ip.clone(),
            cpu_milli: left(self.cpu_milli, &[reserved.cpu_milli]),
            memory_bytes: left(
                self.memory_bytes,
                &[
                    reserved.memory_bytes,
                    huge,
                    kept(Signal::MemoryAvailable, self.memory_bytes),
                ],
            ),
            ephemeral_storage_bytes: left(
                self.disk_bytes,
                &[
                    reserved.ephemeral_storage_bytes,
                    kept(Signal::NodefsAvailable, self.disk_bytes),
                ],
            ),
            memory_capacity_bytes: self.memory_bytes,
            huge_pages: self.huge_pages.clone(),
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

/// Processes and threads this machine can have at once: proc(5).
pub fn pids_max() -> Option<i64> {
    let read = |file: &str| -> Option<i64> { fs::read_to_string(file).ok()?.trim().parse().ok() };
    let ids = read("/proc/sys/kernel/pid_max");
    [ids, read("/proc/sys/kernel/threads-max")]
        .into_iter()
        .flatten()
        .min()
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// `hugepages-2048kB/nr_hugepages` and its like; a kernel without huge pages has none.
fn huge_pages(directory: &Path) -> BTreeMap<String, i64> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let kib: i64 = name
                .strip_prefix("hugepages-")?
                .strip_suffix("kB")?
                .parse()
                .ok()?;
            let count: i64 = fs::read_to_string(entry.path().join("nr_hugepages"))
                .ok()?
                .trim()
                .parse()
                .ok()?;
            let size =
                crate::kubelet::eviction::binary(u64::try_from(kib).ok()?.checked_mul(1024)?);
            let bytes = kib.saturating_mul(1024).saturating_mul(count);
            Some((format!("hugepages-{size}"), bytes))
        })
        .collect()
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
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::kubelet::eviction::Flags;

    #[test]
    fn files_of_the_machine() {
        assert_eq!(
            os_image("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 13\"\n"),
            "Debian GNU/Linux 13"
        );
        let root = tempfile::tempdir().unwrap();
        for (size, count) in [("2048kB", "3\n"), ("1048576kB", "0\n"), ("odd", "1")] {
            let directory = root.path().join(format!("hugepages-{size}"));
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("nr_hugepages"), count).unwrap();
        }
        let expected = [
            ("hugepages-1Gi".to_string(), 0),
            ("hugepages-2Mi".to_string(), 6 << 20),
        ];
        assert_eq!(huge_pages(root.path()), BTreeMap::from(expected));
    }

    #[test]
    fn allocatable_is_what_is_left() {
        let flags = Flags {
            eviction_hard: Some("memory.available<100,nodefs.available<10%".into()),
            system_reserved: Some("cpu=100m,memory=50".into()),
            kube_reserved: Some("cpu=100m,ephemeral-storage=100".into()),
            ..Flags::default()
        };
        let settings = Settings::new(&crate::profile::named("pi-4").unwrap(), &flags).unwrap();
        let mut fixed = Fixed::read("n", "", "", 1, Path::new("/"), Arc::new(settings));
        fixed.cpu_milli = 1000;
        fixed.memory_bytes = 1000;
        fixed.disk_bytes = 1000;
        fixed.huge_pages = BTreeMap::from([("hugepages-2Mi".to_string(), 200)]);
        let facts = fixed.facts();
        assert_eq!(facts.cpu_milli, 800);
        assert_eq!(facts.memory_bytes, 1000 - 50 - 100 - 200);
        assert_eq!(facts.ephemeral_storage_bytes, 1000 - 100 - 100);
    }
}
