//! A pod's link: one end is a port of the bridge, the other is `eth0` in the pod's network namespace.

use super::bridge::hardware_address;
use super::netlink::{Netlink, fail, is_errno};
use super::{NetworkError, PodCidr};
use nix::sched::{CloneFlags, setns};
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{LinkBridgePort, LinkUnspec, LinkVeth};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The pod's end.
const POD_LINK: &str = "eth0";

/// One pod's link as it shall be.
#[derive(Debug, Clone)]
pub struct Veth {
    pub host_name: String,
    pub address: Ipv4Addr,
    pub cidr: PodCidr,
    pub mtu: u32,
}

/// Name of the host's end: 12 bytes, of the 15 that Linux allows.
pub fn host_name(pod_uid: &str) -> String {
    let hash = Sha256::digest(pod_uid.as_bytes());
    hash.iter()
        .take(4)
        .fold(String::from("veth"), |name, byte| {
            name + &format!("{byte:02x}")
        })
}

/// The network namespace of a process.
pub fn namespace_of(pid: i32) -> Result<Arc<File>, NetworkError> {
    let path = format!("/proc/{pid}/ns/net");
    File::open(&path)
        .map(Arc::new)
        .map_err(|cause| NetworkError::Namespace { path, cause })
}

impl Veth {
    /// Makes the pair and configures both ends, or finds them there.
    pub async fn ensure(
        &self,
        netlink: &Netlink,
        bridge: u32,
        namespace: Arc<File>,
    ) -> Result<(), NetworkError> {
        // A host end whose pod end is elsewhere belongs to a sandbox that died: the pair is made anew.
        // Two tries: the second after the stale pair was removed.
        let mut made = self.make(netlink, bridge, &namespace).await;
        if matches!(&made, Err(error) if is_errno(error, libc::EEXIST)) {
            if netlink.index(&self.host_name).await?.is_some()
                && self.configure_pod(namespace.clone()).await?
            {
                return self.set_port(netlink).await;
            }
            netlink.delete(&self.host_name).await?;
            made = self.make(netlink, bridge, &namespace).await;
        }
        made.map_err(|error| fail("make link", &self.host_name, error))?;
        self.set_port(netlink).await?;
        if self.configure_pod(namespace).await? {
            Ok(())
        } else {
            Err(NetworkError::LinkGone(POD_LINK.to_owned()))
        }
    }

    async fn make(
        &self,
        netlink: &Netlink,
        bridge: u32,
        namespace: &File,
    ) -> Result<(), rtnetlink::Error> {
        let peer = LinkUnspec::new_with_name(POD_LINK)
            .mtu(self.mtu)
            .address(hardware_address(self.address))
            .setns_by_fd(namespace.as_raw_fd())
            .build();
        let pair = LinkVeth::new(&self.host_name, POD_LINK)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .mtu(self.mtu)
            .controller(bridge)
            .up()
            .build();
        netlink.handle.link().add(pair).execute().await
    }

    /// Hairpin: a pod that asks its own Service may be answered by itself, through the port it came from.
    async fn set_port(&self, netlink: &Netlink) -> Result<(), NetworkError> {
        let index = netlink
            .index(&self.host_name)
            .await?
            .ok_or_else(|| NetworkError::LinkGone(self.host_name.clone()))?;
        netlink
            .handle
            .link()
            .set_port(LinkBridgePort::new(index).hairpin(true).build())
            .execute()
            .await
            .map_err(|error| fail("set hairpin on", &self.host_name, error))
    }

    /// Configures the pod's end; `false` if there is no `eth0` in that namespace.
    ///
    /// On a thread of its own: entering a namespace changes the calling thread for good, which must never be one
    /// of the runtime's.
    async fn configure_pod(&self, namespace: Arc<File>) -> Result<bool, NetworkError> {
        let (answer, result) = oneshot::channel();
        let veth = self.clone();
        std::thread::Builder::new()
            .name("pod-network".to_owned())
            .spawn(move || {
                // A receiver that is gone means the caller was cancelled: nothing is left to tell.
                drop(answer.send(veth.configure_inside(&namespace)));
            })
            .map_err(NetworkError::Thread)?;
        result.await.map_err(|_| {
            NetworkError::Thread(std::io::Error::other("it ended without an answer"))
        })?
    }

    fn configure_inside(&self, namespace: &File) -> Result<bool, NetworkError> {
        setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| NetworkError::Enter {
            link: self.host_name.clone(),
            cause: errno.into(),
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(NetworkError::Thread)?;
        runtime.block_on(async {
            let netlink = Netlink::open()?;
            netlink.up("lo").await?;
            let Some(index) = netlink.index(POD_LINK).await? else {
                return Ok(false);
            };
            netlink
                .address(index, self.address, self.cidr.prefix)
                .await?;
            netlink.up(POD_LINK).await?;
            netlink.default_route(self.cidr.gateway()).await?;
            Ok(true)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_fit_the_kernel_and_differ() {
        let name = host_name("6c1f0d2e-0000-4000-8000-000000000001");
        assert!(name.len() <= 15 && name.starts_with("veth"));
        assert_ne!(name, host_name("6c1f0d2e-0000-4000-8000-000000000002"));
    }
}
