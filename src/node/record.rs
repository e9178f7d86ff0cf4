//! What a node puts on its host outside its directories (`<data_dir>/host.json`): written before anything is put
//! there, so that `coracle reset` finds all of it whatever happened since.

use crate::network::{NetworkConfig, PodCidr};
use crate::runtime::RuntimeConfig;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Where a node keeps sockets and locks: on tmpfs, gone after a reboot as they should be.
pub const RUN_DIR: &str = "/run/coracle";
/// Names a node uses unless told otherwise.
pub const BRIDGE: &str = "cor0";
pub const CGROUP_ROOT: &str = "coracle";
pub const POD_CIDR: PodCidr = PodCidr {
    network: Ipv4Addr::new(10, 42, 0, 0),
    prefix: 24,
};

/// Everything outside the data directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostRecord {
    pub run_dir: PathBuf,
    pub cgroup_root: String,
    pub network: NetworkConfig,
}

impl HostRecord {
    /// The record in `data_dir`; `None` where no node ever started on it.
    pub fn read(data_dir: &Path) -> Result<Option<HostRecord>, anyhow::Error> {
        let path = data_dir.join("host.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
        };
        serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("{} is not a host record", path.display()))
    }

    /// Durable before it returns: what comes after may leave traces.
    pub fn write(&self, data_dir: &Path) -> Result<(), anyhow::Error> {
        let path = data_dir.join("host.json");
        let text = serde_json::to_vec_pretty(self)?;
        if std::fs::read(&path).is_ok_and(|present| present == text) {
            return Ok(());
        }
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, text)
            .and_then(|()| std::fs::File::open(&fresh)?.sync_all())
            .and_then(|()| std::fs::rename(&fresh, &path))
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// What a node with default names would have noted.
    pub fn assumed(run_dir: Option<&Path>) -> HostRecord {
        let run_dir = run_dir.map_or_else(|| PathBuf::from(RUN_DIR), Path::to_owned);
        HostRecord {
            cgroup_root: CGROUP_ROOT.to_owned(),
            network: NetworkConfig {
                bridge: BRIDGE.to_owned(),
                pod_cidr: POD_CIDR,
                table: "coracle".to_owned(),
                leases_dir: run_dir.join("leases"),
            },
            run_dir,
        }
    }

    /// The runtime's settings, with `executable` as the shim's binary.
    pub fn runtime(&self, data_dir: &Path, executable: PathBuf) -> RuntimeConfig {
        RuntimeConfig {
            state_dir: data_dir.join("pods"),
            run_dir: self.run_dir.join("pods"),
            cgroup_root: self.cgroup_root.clone(),
            executable,
        }
    }
}
