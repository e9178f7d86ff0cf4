//! Links, addresses and routes over rtnetlink: the few calls bridge and veth need.

use super::NetworkError;
use futures::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr};
use tokio::task::JoinHandle;

/// An open netlink socket of one network namespace: that of the thread which opened it.
#[derive(Debug)]
pub struct Netlink {
    pub handle: Handle,
    connection: JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Netlink {
    pub fn open() -> Result<Netlink, NetworkError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(NetworkError::Socket)?;
        Ok(Netlink {
            handle,
            connection: tokio::spawn(connection),
        })
    }

    /// The link's index, `None` if there is no such link.
    pub async fn index(&self, name: &str) -> Result<Option<u32>, NetworkError> {
        let mut links = self.handle.link().get().match_name(name).execute();
        match links.try_next().await {
            Ok(link) => Ok(link.map(|link| link.header.index)),
            Err(error) if is_errno(&error, libc::ENODEV) => Ok(None),
            Err(error) => Err(fail("look up link", name, error)),
        }
    }

    pub async fn up(&self, name: &str) -> Result<(), NetworkError> {
        self.handle
            .link()
            .set(LinkUnspec::new_with_name(name).up().build())
            .execute()
            .await
            .map_err(|error| fail("set up link", name, error))
    }

    /// Adds the address, or finds it there.
    pub async fn address(
        &self,
        index: u32,
        address: Ipv4Addr,
        prefix: u8,
    ) -> Result<(), NetworkError> {
        self.handle
            .address()
            .add(index, IpAddr::V4(address), prefix)
            .replace()
            .execute()
            .await
            .map_err(|error| fail("give address", &address.to_string(), error))
    }

    /// A default route through `gateway`, or finds one there.
    pub async fn default_route(&self, gateway: Ipv4Addr) -> Result<(), NetworkError> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(gateway)
            .build();
        self.handle
            .route()
            .add(route)
            .replace()
            .execute()
            .await
            .map_err(|error| fail("set default route via", &gateway.to_string(), error))
    }

    /// Deletes the link; it need not be there.
    pub async fn delete(&self, name: &str) -> Result<(), NetworkError> {
        match self.index(name).await? {
            Some(index) => self.delete_index(index, name).await,
            None => Ok(()),
        }
    }

    async fn delete_index(&self, index: u32, name: &str) -> Result<(), NetworkError> {
        match self.handle.link().del(index).execute().await {
            Err(error) if !is_errno(&error, libc::ENODEV) => Err(fail("delete link", name, error)),
            _ => Ok(()),
        }
    }

    /// Deletes every link that is a port of bridge `index`.
    pub async fn delete_ports(&self, index: u32) -> Result<(), NetworkError> {
        let links: Vec<_> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(|error| fail("list ports of bridge", &index.to_string(), error))?;
        for link in links {
            let is_port = link
                .attributes
                .iter()
                .any(|a| matches!(a, LinkAttribute::Controller(c) if *c == index));
            if is_port {
                self.delete_index(link.header.index, "of a pod").await?;
            }
        }
        Ok(())
    }

    /// MTU of the link the default route leaves by: a pod's packet must fit there. `None` without a default route.
    pub async fn uplink_mtu(&self) -> Result<Option<u32>, NetworkError> {
        let mut routes = self
            .handle
            .route()
            .get(RouteMessageBuilder::<Ipv4Addr>::new().build())
            .execute();
        let mut uplink = None;
        while let Some(route) = routes
            .try_next()
            .await
            .map_err(|error| fail("list", "routes", error))?
        {
            uplink = uplink.or_else(|| default_output(&route));
        }
        let Some(uplink) = uplink else {
            return Ok(None);
        };
        let link = self
            .handle
            .link()
            .get()
            .match_index(uplink)
            .execute()
            .try_next()
            .await
            .map_err(|error| fail("look up link", &uplink.to_string(), error))?;
        Ok(link.and_then(|link| {
            link.attributes.iter().find_map(|a| match a {
                LinkAttribute::Mtu(mtu) => Some(*mtu),
                _ => None,
            })
        }))
    }
}

/// The output link of a default route of the main table.
fn default_output(route: &RouteMessage) -> Option<u32> {
    let is_default = route.header.address_family == AddressFamily::Inet
        && route.header.destination_prefix_length == 0
        && u32::from(route.header.table) == u32::from(libc::RT_TABLE_MAIN);
    is_default
        .then(|| {
            route.attributes.iter().find_map(|a| match a {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            })
        })
        .flatten()
}

pub fn is_errno(error: &rtnetlink::Error, errno: i32) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == -errno)
}

pub fn fail(step: &'static str, what: &str, cause: rtnetlink::Error) -> NetworkError {
    NetworkError::Netlink {
        step,
        what: what.to_owned(),
        cause,
    }
}
