//! Pod networking on this node: bridge, veth pairs, addresses, masquerade.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

/// An IPv4 network such as `10.42.0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PodCidr {
    pub network: Ipv4Addr,
    pub prefix: u8,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct NetworkConfig {
    /// Bridge device, at most 15 bytes: `cor0`.
    pub bridge: String,
    /// This node's share of the pod network; its first address is the bridge's.
    pub pod_cidr: PodCidr,
    /// nftables table (family ip): `coracle`.
    pub table: String,
    /// Where address leases are kept (on tmpfs: they die with the links at a reboot).
    pub leases_dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("{0}")]
    Other(String),
}

#[derive(Debug)]
pub struct Network {}

impl Network {
    /// Makes the bridge, forwarding and masquerade as `config` says; finds them already there after a restart.
    pub async fn open(_config: NetworkConfig) -> Result<Arc<Network>, NetworkError> {
        todo!()
    }
    /// Gives the network namespace of process `pid` an `eth0` with an address of this node's range, a default
    /// route and a loopback that is up. Called again for the same pod it returns the same address.
    pub async fn attach(&self, _pod_uid: &str, _pid: i32) -> Result<Ipv4Addr, NetworkError> {
        todo!()
    }
    /// Removes the pod's link and frees its address. A pod that is not attached is no error.
    pub async fn detach(&self, _pod_uid: &str) -> Result<(), NetworkError> {
        todo!()
    }
    /// Frees every lease whose pod is not in `alive`.
    pub async fn retain(&self, _alive: &[String]) -> Result<(), NetworkError> {
        todo!()
    }
    /// Removes bridge, links, tables and leases, and gives back kernel settings it changed.
    pub async fn remove_all(_config: &NetworkConfig) -> Result<(), NetworkError> {
        todo!()
    }
}
