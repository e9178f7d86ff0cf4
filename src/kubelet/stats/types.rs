//! Samples: what everything used at one moment.

use super::disk::DiskUse;
use crate::runtime::CgroupUsage;
use std::collections::BTreeMap;

/// Everything of one node at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Unix milliseconds.
    pub at_ms: i64,
    /// Milliseconds of a clock that only goes forward.
    pub monotonic_ms: u64,
    /// The time rates are the mean of, milliseconds; 0: there are none.
    pub window_ms: u64,
    pub node: NodeUsage,
    pub pods: Vec<PodUsage>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeUsage {
    /// Unix milliseconds; when the machine came up.
    pub started_ms: i64,
    pub cpu_ns: u64,
    /// Billionths of one CPU, since the sample before.
    pub cpu_rate: Option<u64>,
    pub memory: NodeMemory,
    pub page_faults: u64,
    pub major_page_faults: u64,
    /// Processes and threads, and how many there can be.
    pub pids: u64,
    pub pids_max: u64,
    pub interfaces: Vec<Interface>,
    /// All pods together.
    pub pods: CgroupUsage,
    pub pods_cpu_rate: Option<u64>,
}

/// The node's memory, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeMemory {
    pub total: u64,
    pub free: u64,
    pub inactive_file: u64,
    /// Anonymous pages.
    pub rss: u64,
    pub swap_total: u64,
    pub swap_free: u64,
}

impl NodeMemory {
    pub fn usage(&self) -> u64 {
        self.total.saturating_sub(self.free)
    }
    /// What cannot be taken back without harm.
    pub fn working_set(&self) -> u64 {
        self.usage().saturating_sub(self.inactive_file)
    }
    /// The signal `memory.available`: upstream counts capacity less working set, not MemAvailable.
    pub fn available(&self) -> u64 {
        self.total.saturating_sub(self.working_set())
    }
    pub fn swap_usage(&self) -> u64 {
        self.swap_total.saturating_sub(self.swap_free)
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodUsage {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    /// Unix milliseconds.
    pub started_ms: i64,
    /// The pod's cgroup, with a leading `/`.
    pub cgroup: String,
    pub usage: CgroupUsage,
    pub cpu_rate: Option<u64>,
    /// Empty for a pod on the host's network.
    pub interfaces: Vec<Interface>,
    /// Those that run.
    pub containers: Vec<ContainerUsage>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerUsage {
    pub name: String,
    pub id: String,
    /// As the pod's status names it.
    pub image: String,
    pub attempt: u32,
    /// Unix milliseconds.
    pub started_ms: i64,
    pub usage: CgroupUsage,
    pub cpu_rate: Option<u64>,
}

/// One network interface's counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

/// What a pod has on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodDisk {
    /// Writable layers by container, all runs that are still there.
    pub root_fs: BTreeMap<String, DiskUse>,
    pub logs: BTreeMap<String, DiskUse>,
    /// emptyDir volumes on disk, by name.
    pub volumes: BTreeMap<String, DiskUse>,
    /// Those in memory: held to their own sizes only.
    pub memory_volumes: BTreeMap<String, DiskUse>,
}

impl PodDisk {
    /// A container's writable layer and logs.
    pub fn of_container(&self, name: &str) -> DiskUse {
        let of = |list: &BTreeMap<String, DiskUse>| list.get(name).copied().unwrap_or_default();
        of(&self.root_fs).and(of(&self.logs))
    }

    /// Everything that counts as ephemeral storage.
    pub fn total(&self) -> DiskUse {
        self.root_fs
            .values()
            .chain(self.logs.values())
            .chain(self.volumes.values())
            .fold(DiskUse::default(), |sum, one| sum.and(*one))
    }
}
