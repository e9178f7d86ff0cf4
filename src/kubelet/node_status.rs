//! The Node object of this machine: registered once, written again only when something changed.
//!
//! There are no heartbeats here (they would wear the disk); a node's liveness is the cluster's soft state.

use super::events::{Kind, Recorder};
use super::pod::status::time;
use super::spec::NodeFacts;
use crate::client::{Client, ClientError, PatchType};
use crate::image::Images;
use k8s_openapi::api::core::v1::{
    ContainerImage, Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The API level of the objects this binary speaks, with its own version behind the plus as other distributions do.
const KUBELET_VERSION: &str = concat!("v1.37.0+coracle", env!("CARGO_PKG_VERSION"));
const RUNTIME_VERSION: &str = concat!("coracle://", env!("CARGO_PKG_VERSION"));
/// Images reported, largest first (upstream's `nodeStatusMaxImages`).
const IMAGES_MAX: usize = 50;
/// Names reported per image (upstream's `MaxNamesPerImageInNodeStatus`).
const IMAGE_NAMES_MAX: usize = 5;
/// Memory kept back from pods: upstream's default hard eviction threshold.
const MEMORY_RESERVED_BYTES: i64 = 100 << 20;
/// How often the machine is looked at for a change.
const LOOK: Duration = Duration::from_mins(1);
/// Wait after a failed write.
const RETRY: Duration = Duration::from_secs(2);
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
    fn read(pods_dir: &Path) -> Pressure {
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

/// The node's status. Transition times are kept from `old` where the condition did not change. Pure.
pub fn node_status(
    fixed: &Fixed,
    pressure: &Pressure,
    images: &[crate::image::Image],
    old: &NodeStatus,
    now_ms: i64,
) -> NodeStatus {
    let quantity = |v: i64| Quantity(v.to_string());
    let amounts = |cpu_milli: i64, memory: i64, disk: i64| -> BTreeMap<String, Quantity> {
        let cpu = if cpu_milli % 1000 == 0 {
            quantity(cpu_milli / 1000)
        } else {
            Quantity(format!("{cpu_milli}m"))
        };
        BTreeMap::from([
            ("cpu".to_string(), cpu),
            (
                "memory".to_string(),
                Quantity(format!("{}Ki", memory / 1024)),
            ),
            ("ephemeral-storage".to_string(), quantity(disk)),
            ("pods".to_string(), Quantity(fixed.pods_max.to_string())),
        ])
    };
    let facts = fixed.facts();
    let address = |kind: &str, address: &str| NodeAddress {
        type_: kind.to_string(),
        address: address.to_string(),
    };
    NodeStatus {
        capacity: Some(amounts(
            fixed.cpu_milli,
            fixed.memory_bytes,
            fixed.disk_bytes,
        )),
        allocatable: Some(amounts(
            facts.cpu_milli,
            facts.memory_bytes,
            facts.ephemeral_storage_bytes,
        )),
        addresses: Some(vec![
            address("InternalIP", &fixed.ip),
            address("Hostname", &fixed.name),
        ]),
        node_info: Some(fixed.info.clone()),
        images: Some(image_list(images)),
        conditions: Some(conditions(pressure, old, now_ms)),
        ..old.clone()
    }
}

fn image_list(images: &[crate::image::Image]) -> Vec<ContainerImage> {
    let mut list: Vec<ContainerImage> = images
        .iter()
        .map(|image| ContainerImage {
            names: Some(
                image
                    .digests
                    .iter()
                    .chain(&image.tags)
                    .take(IMAGE_NAMES_MAX)
                    .cloned()
                    .collect(),
            ),
            size_bytes: Some(i64::try_from(image.size_bytes).unwrap_or(i64::MAX)),
        })
        .collect();
    list.sort_by(|a, b| {
        b.size_bytes
            .cmp(&a.size_bytes)
            .then_with(|| a.names.cmp(&b.names))
    });
    list.truncate(IMAGES_MAX);
    list
}

fn conditions(pressure: &Pressure, old: &NodeStatus, now_ms: i64) -> Vec<NodeCondition> {
    let mut list = old.conditions.clone().unwrap_or_default();
    let row = |holds: bool, yes: (&'static str, &'static str), no: (&'static str, &'static str)| {
        let (reason, message) = if holds { yes } else { no };
        (holds, reason, message)
    };
    for (kind, (holds, reason, message)) in [
        (
            "MemoryPressure",
            row(
                pressure.memory,
                (
                    "KubeletHasInsufficientMemory",
                    "kubelet has insufficient memory available",
                ),
                (
                    "KubeletHasSufficientMemory",
                    "kubelet has sufficient memory available",
                ),
            ),
        ),
        (
            "DiskPressure",
            row(
                pressure.disk,
                ("KubeletHasDiskPressure", "kubelet has disk pressure"),
                ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ),
        ),
        (
            "PIDPressure",
            row(
                pressure.pids,
                (
                    "KubeletHasInsufficientPID",
                    "kubelet has insufficient PID available",
                ),
                (
                    "KubeletHasSufficientPID",
                    "kubelet has sufficient PID available",
                ),
            ),
        ),
        (
            "Ready",
            (true, "KubeletReady", "kubelet is posting ready status"),
        ),
    ] {
        let status = if holds { "True" } else { "False" };
        let at = list.iter().position(|c| c.type_ == kind);
        let kept = at.map(|i| &list[i]).filter(|c| c.status == status);
        let condition = NodeCondition {
            type_: kind.to_string(),
            status: status.to_string(),
            reason: Some(reason.to_string()),
            message: Some(message.to_string()),
            last_transition_time: kept
                .and_then(|c| c.last_transition_time.clone())
                .or_else(|| Some(time(now_ms))),
            last_heartbeat_time: kept
                .and_then(|c| c.last_heartbeat_time.clone())
                .or_else(|| Some(time(now_ms))),
        };
        match at {
            Some(i) => list[i] = condition,
            None => list.push(condition),
        }
    }
    list
}

/// Registers the node and keeps its object true until `stop`. The object is read again at every look: reading costs
/// the disk nothing, and what others changed in it is seen.
pub async fn run(
    client: Client,
    fixed: Arc<Fixed>,
    images: Arc<Images>,
    pods_dir: std::path::PathBuf,
    recorder: Recorder,
    changed: Arc<tokio::sync::Notify>,
    stop: CancellationToken,
) {
    let mut is_first = true;
    loop {
        let look = async {
            let pressure = Pressure::read(&pods_dir);
            keep(&client, &fixed, &pressure, &images.list()).await
        };
        let Some(kept) = stop.run_until_cancelled(look).await else {
            return;
        };
        let wait = match kept {
            Ok(node) => {
                if std::mem::take(&mut is_first) {
                    recorder.node(
                        &node,
                        Kind::Normal,
                        "Starting",
                        "Starting kubelet.".to_string(),
                    );
                }
                LOOK
            }
            Err(error) => {
                tracing::warn!(node = fixed.name, %error, "node object not written; trying again");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn keep(
    client: &Client,
    fixed: &Fixed,
    pressure: &Pressure,
    images: &[crate::image::Image],
) -> Result<Node, ClientError> {
    let node = register(client, fixed).await?;
    let old = node.status.clone().unwrap_or_default();
    let new = node_status(fixed, pressure, images, &old, super::now_ms());
    if new == old {
        return Ok(node);
    }
    let patch = serde_json::json!({"status": new});
    client
        .patch(None, &fixed.name, Some("status"), PatchType::Merge, &patch)
        .await
}

/// Finds the node's object or creates it; labels and address range are set where they are not yet.
async fn register(client: &Client, fixed: &Fixed) -> Result<Node, ClientError> {
    let cidrs = vec![fixed.pod_cidr.clone()];
    match client.get::<Node>(None, &fixed.name).await {
        Ok(node) => {
            let labels = node.metadata.labels.clone().unwrap_or_default();
            let labelled = fixed.labels().iter().all(|(k, v)| labels.get(k) == Some(v));
            let ranged =
                node.spec.as_ref().and_then(|s| s.pod_cidr.as_ref()) == Some(&fixed.pod_cidr);
            if labelled && ranged {
                return Ok(node);
            }
            let patch = serde_json::json!({
                "metadata": {"labels": fixed.labels()},
                "spec": {"podCIDR": fixed.pod_cidr, "podCIDRs": cidrs},
            });
            client
                .patch(None, &fixed.name, None, PatchType::Merge, &patch)
                .await
        }
        Err(ClientError::Status { code: 404, .. }) => {
            let node = Node {
                metadata: ObjectMeta {
                    name: Some(fixed.name.clone()),
                    labels: Some(fixed.labels()),
                    ..ObjectMeta::default()
                },
                spec: Some(NodeSpec {
                    pod_cidr: Some(fixed.pod_cidr.clone()),
                    pod_cidrs: Some(cidrs),
                    ..NodeSpec::default()
                }),
                status: None,
            };
            client.create(None, &node).await
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn unchanged_machine_means_unchanged_status() {
        let fixed = Fixed::read("n", "10.0.0.1", "10.42.0.0/24", 30, Path::new("/"));
        let calm = Pressure::default();
        let first = node_status(&fixed, &calm, &[], &NodeStatus::default(), 1_000_000);
        let second = node_status(&fixed, &calm, &[], &first, 9_000_000);
        assert_eq!(first, second);
        let pressed = Pressure {
            memory: true,
            ..calm
        };
        let third = node_status(&fixed, &pressed, &[], &second, 9_000_000);
        let of = |s: &NodeStatus, kind: &str| {
            s.conditions
                .clone()
                .unwrap()
                .into_iter()
                .find(|c| c.type_ == kind)
                .unwrap()
        };
        assert_eq!(of(&third, "MemoryPressure").status, "True");
        assert_eq!(
            of(&third, "MemoryPressure").last_transition_time,
            Some(time(9_000_000))
        );
        assert_eq!(of(&third, "Ready"), of(&first, "Ready"));
    }

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
