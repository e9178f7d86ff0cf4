//! Pod networking on this node: bridge, veth pairs, addresses, masquerade.
//!
//! What comes in: the node's range at `open`, then a pod's uid and a process in its network namespace, from the
//! kubelet. What goes out: the pod's address; links, routes and an nftables table in the kernel.
//!
//! Invariants: every call can be repeated; an address has one holder; a pod keeps its address over a restart of the
//! node process; `remove_all` leaves the host as it was before `open`.
//!
//! It never knows about pods' objects, containers or the API: a uid and a pid are all it is told.

mod api_service;
mod bridge;
mod cidr;
mod lease;
mod masquerade;
mod netlink;
mod settings;
mod veth;

pub use cidr::{CidrError, PodCidr};

use lease::Leases;
use netlink::Netlink;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use veth::Veth;

/// Ethernet's MTU: what links get when no default route tells better.
const MTU_DEFAULT: u32 = 1500;
/// Longest name of a link: Linux' IFNAMSIZ less the final zero byte.
const LINK_NAME_BYTES_MAX: usize = 15;

/// Names and ranges of one node's pod network.
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

/// What can go wrong with the pod network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("{0:?} cannot be a bridge's name: 1 to 15 bytes of letters, digits, '-', '_' and '.'")]
    BridgeName(String),
    #[error("cannot open a netlink socket: {0}; is the kernel built with networking?")]
    Socket(#[source] std::io::Error),
    #[error("cannot {step} {what}: {cause}; run as root, and see `coracle doctor`")]
    Netlink {
        step: &'static str,
        what: String,
        #[source]
        cause: rtnetlink::Error,
    },
    #[error("link {0} was removed by someone else while it was being set up; try again")]
    LinkGone(String),
    #[error("cannot open the pod's network namespace {path}: {cause}; did its sandbox end?")]
    Namespace {
        path: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot enter the network namespace behind {link}: {cause}; run as root")]
    Enter {
        link: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot run the thread that configures a pod's network: {0}")]
    Thread(#[source] std::io::Error),
    #[error("address lease {path}: {cause}; is the run directory writable?", path = path.display())]
    Leases {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error(
        "no free address in {cidr}: {leases} are taken; delete pods or give the node a wider range"
    )]
    Exhausted { cidr: PodCidr, leases: usize },
    #[error("kernel setting {path}: {cause}; run as root", path = path.display())]
    Setting {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("the program `nft` is missing: install it (Debian: apt install nftables)")]
    NftMissing,
    #[error(
        "`nft` refused the rules: {0}; see `coracle doctor` for the kernel's nf_tables support"
    )]
    Nft(String),
}

/// The pod network of this node, set up.
#[derive(Debug)]
pub struct Network {
    config: NetworkConfig,
    netlink: Netlink,
    bridge: u32,
    mtu: u32,
    /// Held for file operations on tmpfs only, never over an await.
    leases: Mutex<Leases>,
}

impl Network {
    /// Makes the bridge, forwarding and masquerade as `config` says; finds them already there after a restart.
    pub async fn open(config: NetworkConfig) -> Result<Arc<Network>, NetworkError> {
        check_bridge_name(&config.bridge)?;
        let leases = Leases::open(&config.leases_dir, config.pod_cidr)?;
        let netlink = Netlink::open()?;
        let mtu = netlink.uplink_mtu().await?.unwrap_or(MTU_DEFAULT);
        let bridge = bridge::ensure(&netlink, &config).await?;
        settings::enable_forwarding(&config.leases_dir)?;
        let (table, cidr) = (config.table.clone(), config.pod_cidr);
        blocking(move || masquerade::install(&table, cidr)).await?;
        Ok(Arc::new(Network {
            config,
            netlink,
            bridge,
            mtu,
            leases: Mutex::new(leases),
        }))
    }

    /// The node's address on its pods' network.
    pub fn gateway(&self) -> Ipv4Addr {
        self.config.pod_cidr.gateway()
    }

    /// Leads what pods, and this node, send to `service` to the API server at `server`.
    pub async fn lead_to_api(
        &self,
        service: SocketAddrV4,
        server: SocketAddrV4,
    ) -> Result<(), NetworkError> {
        let config = self.config.clone();
        blocking(move || api_service::install(&config, service, server)).await
    }

    /// Gives the network namespace of process `pid` an `eth0` with an address of this node's range, a default
    /// route and a loopback that is up. Called again for the same pod it returns the same address.
    pub async fn attach(&self, pod_uid: &str, pid: i32) -> Result<Ipv4Addr, NetworkError> {
        let namespace = veth::namespace_of(pid)?;
        let address = self.leases().take(pod_uid)?;
        let veth = Veth {
            host_name: veth::host_name(pod_uid),
            address,
            cidr: self.config.pod_cidr,
            mtu: self.mtu,
        };
        veth.ensure(&self.netlink, self.bridge, namespace).await?;
        Ok(address)
    }

    /// Removes the pod's link and frees its address. A pod that is not attached is no error.
    pub async fn detach(&self, pod_uid: &str) -> Result<(), NetworkError> {
        // The link goes first: an address is free only once nobody answers to it.
        self.netlink.delete(&veth::host_name(pod_uid)).await?;
        self.leases().free(pod_uid)
    }

    /// Frees every lease whose pod is not in `alive`.
    pub async fn retain(&self, alive: &[String]) -> Result<(), NetworkError> {
        let holders = self.leases().holders();
        for uid in holders.iter().filter(|uid| !alive.contains(uid)) {
            self.detach(uid).await?;
        }
        Ok(())
    }

    /// Removes bridge, links, tables and leases, and gives back kernel settings it changed.
    pub async fn remove_all(config: &NetworkConfig) -> Result<(), NetworkError> {
        let netlink = Netlink::open()?;
        if let Some(bridge) = netlink.index(&config.bridge).await? {
            netlink.delete_ports(bridge).await?;
            netlink.delete(&config.bridge).await?;
        }
        let table = config.table.clone();
        blocking(move || masquerade::remove(&table)).await?;
        if config.leases_dir.exists() {
            settings::restore_forwarding(&config.leases_dir)?;
            std::fs::remove_dir_all(&config.leases_dir).map_err(|cause| NetworkError::Leases {
                path: config.leases_dir.clone(),
                cause,
            })?;
        }
        Ok(())
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        // A panic in between cannot have left half a lease: the map changes in one step, after the file.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a program's wait away from the runtime's workers.
async fn blocking(
    work: impl FnOnce() -> Result<(), NetworkError> + Send + 'static,
) -> Result<(), NetworkError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| NetworkError::Thread(std::io::Error::other(error)))?
}

fn check_bridge_name(name: &str) -> Result<(), NetworkError> {
    let good = !name.is_empty()
        && name.len() <= LINK_NAME_BYTES_MAX
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if good {
        Ok(())
    } else {
        Err(NetworkError::BridgeName(name.to_owned()))
    }
}
