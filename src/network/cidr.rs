//! The node's share of the pod network, as a value that cannot be wrong once parsed.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Widest and narrowest range a node may own: /8 is the largest private network (RFC 1918), a /30 is the
/// narrowest that still has an address beside the bridge's.
const PREFIX_MIN: u8 = 8;
const PREFIX_MAX: u8 = 30;

/// An IPv4 network such as `10.42.0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PodCidr {
    pub network: Ipv4Addr,
    pub prefix: u8,
}

/// Why a text is no pod network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    #[error("{0:?} is no IPv4 network: write it as address/prefix, for example 10.42.0.0/24")]
    Syntax(String),
    #[error("{0:?}: the prefix must be between {PREFIX_MIN} and {PREFIX_MAX}")]
    Prefix(String),
    #[error("{given:?} has host bits set: did you mean {network}/{prefix}?")]
    HostBits {
        given: String,
        network: Ipv4Addr,
        prefix: u8,
    },
}

impl PodCidr {
    /// The first address of the range: the bridge's, and the pods' gateway.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network).saturating_add(1))
    }

    /// The last address of the range.
    pub fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network) | !mask(self.prefix))
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == u32::from(self.network)
    }

    /// Addresses a pod may have, ascending: not the network's, the gateway's or the broadcast address.
    pub fn pod_addresses(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let first = u32::from(self.gateway()).saturating_add(1);
        let end = u32::from(self.broadcast());
        (first..end).map(Ipv4Addr::from)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0)
}

impl FromStr for PodCidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<PodCidr, CidrError> {
        let syntax = || CidrError::Syntax(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(syntax)?;
        let address: Ipv4Addr = address.parse().map_err(|_| syntax())?;
        let prefix: u8 = prefix.parse().map_err(|_| syntax())?;
        if !(PREFIX_MIN..=PREFIX_MAX).contains(&prefix) {
            return Err(CidrError::Prefix(text.to_owned()));
        }
        let network = Ipv4Addr::from(u32::from(address) & mask(prefix));
        if network != address {
            return Err(CidrError::HostBits {
                given: text.to_owned(),
                network,
                prefix,
            });
        }
        Ok(PodCidr { network, prefix })
    }
}

impl fmt::Display for PodCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl TryFrom<String> for PodCidr {
    type Error = CidrError;
    fn try_from(text: String) -> Result<PodCidr, CidrError> {
        text.parse()
    }
}

impl From<PodCidr> for String {
    fn from(cidr: PodCidr) -> String {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn texts_that_are_networks() {
        for text in ["10.42.0.0/24", "10.0.0.0/8", "192.168.7.4/30"] {
            assert_eq!(text.parse::<PodCidr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn texts_that_are_not() {
        for text in [
            "",
            "10.42.0.0",
            "10.42.0.0/",
            "10.42.0.0/33",
            "10.42.0.0/31",
            "0.0.0.0/0",
            "10.42.0.1/24",
            "fd00::/64",
            "10.42.0.0/-1",
            "10.42.0.0/24/3",
        ] {
            assert!(text.parse::<PodCidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_narrowest_range_has_one_pod_address() {
        let cidr: PodCidr = "10.0.0.4/30".parse().unwrap();
        let pods: Vec<_> = cidr.pod_addresses().collect();
        assert_eq!(pods, [Ipv4Addr::new(10, 0, 0, 6)]);
        assert_eq!(cidr.gateway(), Ipv4Addr::new(10, 0, 0, 5));
    }

    #[test]
    fn serde_uses_the_text() {
        let cidr: PodCidr = serde_json::from_str("\"10.42.0.0/24\"").unwrap();
        assert_eq!(serde_json::to_string(&cidr).unwrap(), "\"10.42.0.0/24\"");
        assert!(serde_json::from_str::<PodCidr>("\"10.42.0.9/24\"").is_err());
    }
}
