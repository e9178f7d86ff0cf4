//! What the command line says about a node, as types that cannot be wrong.

use super::host;
use crate::network::PodCidr;
use crate::profile::{self, Profile};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

/// Narrowest pod network: four addresses, of which network, bridge and broadcast are three.
const PREFIX_MAX: u8 = 30;
/// Widest: one node needs no more than the whole cluster's range.
const PREFIX_MIN: u8 = 8;
/// A link's name is at most this long (IFNAMSIZ less its end).
const LINK_NAME_BYTES_MAX: usize = 15;

/// Leases are renewed every 10 seconds and looked at every 5: a shorter grace would take nodes that are well for lost.
const GRACE_PERIOD_MIN: Duration = Duration::from_secs(15);
/// A day: who waits longer for a node does not want to know.
const GRACE_PERIOD_MAX: Duration = Duration::from_hours(24);

/// `40s`, `1m30s`.
pub fn parse_grace_period(text: &str) -> Result<Duration, String> {
    let millis = crate::object::duration::parse_span_ms(text)?;
    let period = Duration::from_millis(millis.unsigned_abs());
    if (GRACE_PERIOD_MIN..=GRACE_PERIOD_MAX).contains(&period) {
        Ok(period)
    } else {
        Err(format!(
            "{text:?}: nodes renew their leases every 10s; the grace period must be 15s to 24h"
        ))
    }
}

/// `10.42.0.0/24`; bits behind the prefix must be 0.
pub fn parse_pod_cidr(text: &str) -> Result<PodCidr, String> {
    let wrong = || format!("{text:?} is no IPv4 network such as 10.42.0.0/24");
    let (network, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let network: Ipv4Addr = network.parse().map_err(|_| wrong())?;
    let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
    if !(PREFIX_MIN..=PREFIX_MAX).contains(&prefix) {
        return Err(format!(
            "{text:?}: the prefix must be {PREFIX_MIN} to {PREFIX_MAX}"
        ));
    }
    let first = Ipv4Addr::from(u32::from(network) & (u32::MAX << (32 - prefix)));
    if first != network {
        return Err(format!(
            "{text:?} is an address inside a network; the network is {first}/{prefix}"
        ));
    }
    Ok(PodCidr { network, prefix })
}

/// A link's name as the kernel takes it.
pub fn parse_bridge(text: &str) -> Result<String, String> {
    let fits = !text.is_empty()
        && text.len() <= LINK_NAME_BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is no name for a bridge: 1 to {LINK_NAME_BYTES_MAX} letters, digits, - and _"
        ))
    }
}

/// One directory's name.
pub fn parse_cgroup_root(text: &str) -> Result<String, String> {
    let fits = text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.len() <= 63
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is no name for a cgroup: at most 63 letters, digits, -, _ and ."
        ))
    }
}

/// A sysctl that the kernel keeps per namespace, or the beginning of some with a `*`. Upstream's `NewAllowlist`.
pub fn parse_sysctl(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('*').unwrap_or(text);
    let namespaced = [
        "net.",
        "kernel.shm",
        "kernel.msg",
        "kernel.sem",
        "fs.mqueue.",
    ]
    .iter()
    .any(|start| name.starts_with(start));
    let fits = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte));
    if namespaced && fits && !name.contains("..") {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is no sysctl that a pod can have for itself: those of net., kernel.shm, kernel.msg, kernel.sem and fs.mqueue."
        ))
    }
}

/// The node's name: as given, or the host's in lower case.
pub fn node_name(given: Option<String>) -> Result<String, anyhow::Error> {
    let name = match given {
        Some(name) => name,
        None => host::name()?,
    };
    crate::object::names::check_subdomain(&name).map_err(|rule| {
        anyhow::anyhow!("{name:?} cannot be a node's name: {rule}; choose one with --node-name")
    })?;
    Ok(name)
}

/// The profile named, or the one that fits this board.
pub fn profile(named: Option<&str>) -> Result<Profile, anyhow::Error> {
    Ok(match named {
        Some(name) => profile::named(name)?,
        None => profile::detect(Path::new("/"))?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pod_networks_are_checked() {
        for (text, expected) in [
            ("10.42.0.0/24", Some((Ipv4Addr::new(10, 42, 0, 0), 24))),
            ("10.0.0.0/8", Some((Ipv4Addr::new(10, 0, 0, 0), 8))),
            ("10.42.0.1/24", None),
            ("10.1.2.3.4/99", None),
            ("10.42.0.0/31", None),
            ("10.42.0.0/0", None),
            ("10.42.0.0", None),
            ("fd00::/64", None),
            ("", None),
        ] {
            let found = parse_pod_cidr(text).ok();
            assert_eq!(found.map(|cidr| (cidr.network, cidr.prefix)), expected);
        }
        let inside = parse_pod_cidr("10.42.0.1/24").unwrap_err();
        assert!(inside.contains("the network is 10.42.0.0/24"));
    }

    #[test]
    fn sysctls_are_checked() {
        for (text, fine) in [
            ("kernel.msgmax", true),
            ("net.core.*", true),
            ("kernel.*", false),
            ("vm.swappiness", false),
            ("net../x", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(parse_sysctl(text).is_ok(), fine, "{text}");
        }
    }

    #[test]
    fn names_of_links_and_cgroups_are_checked() {
        assert!(parse_bridge("cor0").is_ok() && parse_cgroup_root("coracle-a.b").is_ok());
        for text in ["", "a/b", "a b", "..", &"x".repeat(64)] {
            assert!(
                parse_bridge(text).is_err() && parse_cgroup_root(text).is_err(),
                "{text}"
            );
        }
    }
}
