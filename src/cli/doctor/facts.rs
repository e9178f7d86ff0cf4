//! What the doctor knows about a machine. `None` and empty mean: could not be read.

use super::isolation::Isolation;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Whether the kernel has a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// Loaded, or built in.
    Present,
    /// On the disk; loaded when asked for.
    Loadable,
    Missing,
    Unknown,
}

/// Where the data directory stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    pub filesystem: Option<String>,
    pub free_bytes: u64,
    pub free_inodes: u64,
    /// Zero on file systems without a fixed number.
    pub inodes: u64,
}

/// The firmware's kernel command line on a Raspberry Pi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootLine {
    pub path: PathBuf,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    Free,
    InUse,
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub is_root: bool,
    pub kernel: Option<String>,
    /// Of `/proc/self/ns`.
    pub namespaces: BTreeSet<String>,
    pub modules: Vec<(&'static str, Module)>,
    /// Controllers of cgroup v1 hierarchies and of the v2 tree together.
    pub cgroup_controllers: BTreeSet<String>,
    pub boot_line: Option<BootLine>,
    pub nft: Option<PathBuf>,
    /// `table/chain` of firewalls whose forward policy is drop; `None`: could not be asked.
    pub dropping_chains: Option<Vec<String>>,
    pub ip_forward: Option<bool>,
    /// Seconds since 1970.
    pub now_seconds: u64,
    pub disk: Option<Disk>,
    pub api_port: Port,
    pub memory_bytes: Option<u64>,
    pub profile_name: String,
    pub pods_max: u32,
    /// What pods may ask of the kernel beyond running at all.
    pub isolation: Isolation,
}
