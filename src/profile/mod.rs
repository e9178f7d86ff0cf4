//! Firmware profiles: how much of everything a board can afford.
//!
//! One TOML file per board in `firmware-profiles/`, compiled in; the board is recognised by
//! `/proc/device-tree/model` and can be overridden (`--profile`).

//!
//! What comes in: a name from the command line, or the root of the file tree to look at. What goes out: a `Profile`
//! whose sizes make sense (a test holds every file against its bounds). It knows nothing of those who use the sizes.

mod detect;

pub use detect::{ProfileError, all, detect, named};

use serde::Deserialize;

/// Everything a node sizes by its board.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Name as given to `--profile`, for example `pi-4`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Rust target triple of the binary for this board.
    pub target: String,
    /// Prefixes of `/proc/device-tree/model` that select this profile; empty for generic ones.
    pub models: Vec<String>,
    /// Most pods this node takes (node status `capacity.pods`).
    pub pods_max: u32,
    /// Most processes and threads of one pod (`--pod-max-pids`, the kubelet's podPidsLimit).
    pub pod_pids_max: i64,
    /// Store and watch sizes.
    pub store: StoreProfile,
    /// Thread counts.
    pub threads: ThreadProfile,
    /// Container log rotation.
    pub logs: LogProfile,
    /// Image downloads.
    pub images: ImageProfile,
    /// What is kept back from pods and when they are given up.
    pub eviction: EvictionProfile,
}

/// Sizes of the store.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct StoreProfile {
    /// sled's page cache, bytes.
    pub cache_bytes: u64,
    /// Most changes kept in memory for watches and for lists at an older revision.
    pub history_entries: usize,
    /// Most bytes those changes may hold.
    pub history_bytes: usize,
    /// Raft log entries kept before the log is purged behind a snapshot.
    pub log_entries: u64,
    /// Longest time that state already durable in the raft log may wait to be flushed in place, milliseconds.
    pub flush_ms: u64,
}

/// Thread counts.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ThreadProfile {
    /// Worker threads of the asynchronous runtime.
    pub workers: usize,
    /// Most threads for blocking work (disk, unpacking).
    pub blocking_max: usize,
}

/// Container log rotation (kubelet's `containerLogMaxSize` and `containerLogMaxFiles`).
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct LogProfile {
    /// Size at which a log file is rotated, bytes.
    pub file_bytes_max: u64,
    /// Files kept per container, the current one included.
    pub files_max: u32,
}

/// Node-pressure eviction, reservation and image garbage collection; each has its flag of `coracle up`.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct EvictionProfile {
    /// Hard thresholds (`--eviction-hard`): `memory.available<100Mi,nodefs.available<10%`.
    pub hard: String,
    /// For the system (`--system-reserved`): `cpu=100m,memory=64Mi`; empty: nothing.
    pub system_reserved: String,
    /// Percent of the disk in use above which unused images go (`--image-gc-high-threshold`).
    pub image_gc_high_percent: u8,
    /// Down to this (`--image-gc-low-threshold`).
    pub image_gc_low_percent: u8,
}

/// Image downloads.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ImageProfile {
    /// Layers fetched and unpacked at the same time, of all images together: each holds some hundred KiB.
    pub layers_parallel: usize,
    /// Images pulled at the same time.
    #[serde(default = "ImageProfile::pulls_parallel")]
    pub pulls_parallel: usize,
    /// Longest silence of a registry before the connection is given up and made anew, milliseconds.
    #[serde(default = "ImageProfile::stall_ms")]
    pub stall_ms: u64,
}

impl ImageProfile {
    /// One slow registry must not hold up another; more would only share a slow link.
    fn pulls_parallel() -> usize {
        2
    }

    fn stall_ms() -> u64 {
        30_000
    }
}

impl Default for ImageProfile {
    fn default() -> ImageProfile {
        ImageProfile {
            layers_parallel: 1,
            pulls_parallel: ImageProfile::pulls_parallel(),
            stall_ms: ImageProfile::stall_ms(),
        }
    }
}
