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

/// Looks at the machine: four files of /proc and two statvfs. A signal that cannot be read is not there.
pub fn observe(files: &mut NodeFiles, pods_dir: &Path, images_dir: &Path) -> Observations {
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
    for (directory, available, inodes_free) in [
        (pods_dir, Signal::NodefsAvailable, Signal::NodefsInodesFree),
        (
            images_dir,
            Signal::ImagefsAvailable,
            Signal::ImagefsInodesFree,
        ),
    ] {
        if let Some(disk) = filesystem(directory) {
            add(available, disk.available_bytes, disk.capacity_bytes);
            // Some filesystems (btrfs) make inodes as they go and count none.
            add(inodes_free, disk.inodes_free, disk.inodes);
        }
    }
    found
}
