//! The node's bridge: every pod's link is a port of it, and its address is the pods' gateway.

use super::netlink::{Netlink, fail, is_errno};
use super::{NetworkConfig, NetworkError};
use rtnetlink::LinkBridge;
use std::net::Ipv4Addr;

/// Makes the bridge, or finds it there; gives it its address and brings it up. Returns its index.
pub async fn ensure(netlink: &Netlink, config: &NetworkConfig) -> Result<u32, NetworkError> {
    let name = &config.bridge;
    let gateway = config.pod_cidr.gateway();
    // A hardware address of its own: otherwise the bridge takes its lowest port's and changes as pods come and go.
    let made = netlink
        .handle
        .link()
        .add(
            LinkBridge::new(name)
                .address(hardware_address(gateway))
                .up()
                .build(),
        )
        .execute()
        .await;
    match made {
        Err(error) if !is_errno(&error, libc::EEXIST) => {
            return Err(fail("make bridge", name, error));
        }
        _ => {}
    }
    let index = netlink
        .index(name)
        .await?
        .ok_or_else(|| NetworkError::LinkGone(name.clone()))?;
    netlink
        .address(index, gateway, config.pod_cidr.prefix)
        .await?;
    netlink.up(name).await?;
    Ok(index)
}

/// A locally administered hardware address made from the IPv4 address, so that a neighbour's stale ARP entry
/// stays right when another pod gets the address (the prefix is the one CNI plugins use).
pub fn hardware_address(address: Ipv4Addr) -> Vec<u8> {
    let mut hardware = vec![0x0a, 0x58];
    hardware.extend(address.octets());
    hardware
}
