//! What only the running machine can tell: the network port and foreign firewalls.

use super::facts::Port;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

/// Kubernetes' API port, `up`'s default.
pub const API_PORT: u16 = 6443;

pub fn api_port() -> Port {
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, API_PORT)) {
        Ok(_) => Port::Free,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Port::InUse,
        Err(error) => Port::Unknown(error.to_string()),
    }
}

/// Chains that drop what is forwarded unless another rule of theirs accepts it.
pub fn dropping_chains(nft: &Path) -> Option<Vec<String>> {
    let out = Command::new(nft).args(["list", "chains"]).output().ok()?;
    out.status
        .success()
        .then(|| forward_drops(&String::from_utf8_lossy(&out.stdout)))
}

/// From the text of `nft list chains`.
fn forward_drops(text: &str) -> Vec<String> {
    let (mut table, mut chain) = ("", "");
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("table ") {
            table = name.trim_end_matches('{').trim();
        } else if let Some(name) = line.strip_prefix("chain ") {
            chain = name.trim_end_matches('{').trim();
        } else if line.contains("hook forward") && line.contains("policy drop") {
            found.push(format!("{table} {chain}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropping_forward_policy_is_found() {
        let text = "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n\
                    \tchain INPUT {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n";
        assert_eq!(forward_drops(text), ["ip filter FORWARD"]);
        assert!(forward_drops("").is_empty());
    }
}
