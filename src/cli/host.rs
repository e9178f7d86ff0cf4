//! What this host says about itself: its name, its address, where a node's files can live.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The host's name as a node's: lower case.
pub fn name() -> Result<String, anyhow::Error> {
    let name = nix::unistd::gethostname()?;
    Ok(name.to_string_lossy().to_lowercase())
}

/// The address others reach this host at: that of the interface with the default route, else 127.0.0.1.
pub fn address() -> IpAddr {
    // Connecting a datagram socket asks the routing table and sends nothing. The targets are documentation
    // addresses (RFC 5737, RFC 3849), which only a default route covers.
    let v4 = (
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    );
    let v6 = (
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    );
    [v4, v6]
        .into_iter()
        .find_map(|(from, to)| source_address(from, to))
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn source_address(from: IpAddr, to: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::new(from, 0)).ok()?;
    socket.connect(SocketAddr::new(to, 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

/// `what` needs root; says why and how.
pub fn require_root(what: &str) -> Result<(), anyhow::Error> {
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "`coracle {what}` must run as root, because it makes namespaces, mounts, cgroups and network links: try `sudo coracle {what}`"
    );
    Ok(())
}

/// Networks of the main routing table that have a /24 or wider inside 10.0.0.0/8 taken.
pub fn route_taken(network: Ipv4Addr) -> bool {
    std::fs::read_to_string("/proc/net/route").is_ok_and(|routes| route_listed(&routes, network))
}

/// Whether a route other than the default one covers `network`; `routes` is `/proc/net/route`.
fn route_listed(routes: &str, network: Ipv4Addr) -> bool {
    routes.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Both are hexadecimal in the host's byte order.
        let number = |index: usize| {
            fields
                .get(index)
                .and_then(|text| u32::from_str_radix(text, 16).ok())
                .map(|number| u32::from_be_bytes(number.to_ne_bytes()))
        };
        match (number(1), number(7)) {
            (Some(destination), Some(mask)) if mask != 0 => {
                u32::from(network) & mask == destination
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read() {
        let hexadecimal = |address: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(address));
        let routes = format!(
            "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
             eth0 00000000 01020304 0003 0 0 0 00000000 0 0 0\n\
             cor0 {} 00000000 0001 0 0 0 {} 0 0 0\n",
            hexadecimal([10, 42, 200, 0]),
            hexadecimal([255, 255, 255, 0]),
        );
        assert!(route_listed(&routes, Ipv4Addr::new(10, 42, 200, 0)));
        assert!(!route_listed(&routes, Ipv4Addr::new(10, 42, 201, 0)));
        assert!(!route_listed("", Ipv4Addr::new(10, 42, 200, 0)));
    }

    #[test]
    fn this_host_has_an_address() {
        assert!(!address().is_unspecified());
    }
}
