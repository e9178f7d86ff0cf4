//! Composes the parts into a running node: the one place that knows them all.
//!
//! What comes in: a [`NodeConfig`]. What goes out: a node that serves the API and runs pods until it is stopped.
//! Parts are made from the ground floor up, each is handed what it works with, and they stop in the opposite order.
//! Containers are not parts: they belong to their shims and outlive the node.

use crate::api::{self, Api, NodeDoor, User};
use crate::client::Client;
use crate::image::Images;
use crate::kubelet::{Kubelet, KubeletConfig, Parts};
use crate::mesh::identity;
use crate::network::{Network, NetworkConfig, PodCidr};
use crate::profile::Profile;
use crate::raft::Raft;
use crate::runtime::{Runtime, RuntimeConfig};
use anyhow::{Context, bail};
use axum::body::Body;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

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

impl NodeConfig {
    fn pods_dir(&self) -> PathBuf {
        self.data_dir.join("pods")
    }

    fn host_record(&self) -> HostRecord {
        HostRecord {
            run_dir: self.run_dir.clone(),
            cgroup_root: self.cgroup_root.clone(),
            network: NetworkConfig {
                bridge: self.bridge.clone(),
                pod_cidr: self.pod_cidr,
                // The default bridge gives the table its plain name; another node on the same host gets its own.
                table: match self.bridge.as_str() {
                    "cor0" => "coracle".to_owned(),
                    other => format!("coracle-{other}"),
                },
                leases_dir: self.run_dir.join("leases"),
            },
        }
    }
}

/// What a node puts on its host outside its directories, written before anything is put there,
/// so that `coracle reset` finds all of it whatever happened since.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostRecord {
    pub run_dir: PathBuf,
    pub cgroup_root: String,
    pub network: NetworkConfig,
}

impl HostRecord {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("host.json")
    }

    /// The record in `data_dir`; `None` where no node ever started on it.
    pub fn read(data_dir: &Path) -> Result<Option<HostRecord>, anyhow::Error> {
        let path = HostRecord::path(data_dir);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{}: cannot read", path.display())),
        };
        let record = serde_json::from_slice(&text).with_context(|| format!("{}: not a host record", path.display()))?;
        Ok(Some(record))
    }

    fn write(&self, data_dir: &Path) -> Result<(), anyhow::Error> {
        let path = HostRecord::path(data_dir);
        let text = serde_json::to_vec_pretty(self)?;
        if std::fs::read(&path).is_ok_and(|present| present == text) {
            return Ok(());
        }
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, text)
            .and_then(|()| std::fs::File::open(&fresh)?.sync_all())
            .and_then(|()| std::fs::rename(&fresh, &path))
            .with_context(|| format!("{}: cannot write", path.display()))
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

/// The way from the API to the kubelet of this node; set once both exist.
#[derive(Clone)]
struct OwnKubelet {
    node_name: String,
    kubelet: Arc<OnceLock<Kubelet>>,
}

impl NodeDoor for OwnKubelet {
    fn call(&self, node: &str, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let kubelet = (node == self.node_name).then(|| self.kubelet.get().cloned()).flatten();
        let node = node.to_owned();
        Box::pin(async move {
            match kubelet {
                Some(kubelet) => kubelet.handle(request).await,
                None => {
                    let mut response = Response::new(Body::from(format!("node {node} is not connected")));
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    response
                }
            }
        })
    }
}

/// A started node.
pub struct Node {
    /// Path of the admin kubeconfig.
    pub kubeconfig: PathBuf,
    raft: Raft,
    /// Told first: no new requests, no new pods.
    stop: CancellationToken,
    /// Named, to say which one does not end.
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}
