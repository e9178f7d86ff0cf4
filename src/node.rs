//! Composes the parts into a running node: the one place that knows them all.

use crate::network::PodCidr;
use crate::profile::Profile;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Everything one node is told at start.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// `/var/lib/coracle`.
    pub data_dir: PathBuf,
    /// `/run/coracle`, on tmpfs.
    pub run_dir: PathBuf,
    pub node_name: String,
    /// `0.0.0.0:6443`.
    pub listen: SocketAddr,
    /// Address written to the node's status and the admin kubeconfig.
    pub advertise: IpAddr,
    pub bridge: String,
    pub pod_cidr: PodCidr,
    pub cgroup_root: String,
    pub profile: Profile,
}

/// A started node.
pub struct Node {
    /// Path of the admin kubeconfig.
    pub kubeconfig: PathBuf,
}

impl Node {
    /// Starts every part; returns once the API answers.
    pub async fn start(_config: NodeConfig) -> Result<Node, anyhow::Error> {
        todo!()
    }
    /// Stops every part in order. Containers keep running.
    pub async fn stop(self) {
        todo!()
    }
}
