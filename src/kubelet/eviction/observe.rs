//! What is available now.

use super::threshold::Signal;
use crate::kubelet::stats::{NodeFiles, filesystem};
use std::collections::BTreeMap;
use std::path::Path;

/// One signal's present value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    pub available: u64,
    pub capacity: u64,
}

pub type Observations = BTreeMap<Signal, Observation>;

/// Looks at the machine: three files of /proc and one statvfs. A signal that cannot be read is not there.
pub fn observe(files: &mut NodeFiles, pods_dir: &Path) -> Observations {
    let mut found = Observations::new();
    let mut add = |signal, available, capacity| {
        if capacity > 0 {
            let observation = Observation {
                available,
                capacity,
            };
            found.insert(signal, observation);
        }
    };
    let memory = files.memory();
    add(Signal::MemoryAvailable, memory.available(), memory.total);
    let (pids, pids_max) = files.pids();
    add(
        Signal::PidAvailable,
        pids_max.saturating_sub(pids),
        pids_max,
    );
    if let Some(disk) = filesystem(pods_dir) {
        // Images and pods share a filesystem here, so both signals see the same one.
        for signal in [Signal::NodefsAvailable, Signal::ImagefsAvailable] {
            add(signal, disk.available_bytes, disk.capacity_bytes);
        }
        // Some filesystems (btrfs) make inodes as they go and count none.
        for signal in [Signal::NodefsInodesFree, Signal::ImagefsInodesFree] {
            add(signal, disk.inodes_free, disk.inodes);
        }
    }
    found
}
