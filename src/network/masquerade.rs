//! Pods reach the outside under the node's address: one nftables table of our own.
//!
//! An `accept` in our table cannot overrule a drop in another one (every base chain of a hook is asked), so there
//! is no forward chain here; `coracle doctor` tells when a foreign forward policy drops.
//! <https://wiki.nftables.org/wiki-nftables/index.php/Configuring_chains>

use super::{NetworkError, PodCidr};
use nftables::helper::{DEFAULT_ARGS, NftablesError, apply_ruleset_raw};
use serde_json::{Value, json};
use std::path::Path;

/// Places of `nft` that are not on every user's PATH.
const NFT_PLACES: [&str; 3] = ["/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft"];

/// The whole table in one transaction: made if missing, replaced if there.
pub fn ruleset(table: &str, cidr: PodCidr) -> Value {
    let network = json!({"prefix": {"addr": cidr.network.to_string(), "len": cidr.prefix}});
    let field = |name: &str| json!({"payload": {"protocol": "ip", "field": name}});
    let this = json!({"table": {"family": "ip", "name": table}});
    json!({"nftables": [
        {"add": this}, {"delete": this}, {"add": this},
        {"add": {"chain": {
            "family": "ip", "table": table, "name": "postrouting",
            "type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"
        }}},
        {"add": {"rule": {
            "family": "ip", "table": table, "chain": "postrouting",
            "comment": "pods leave under the node's address",
            "expr": [
                {"match": {"op": "==", "left": field("saddr"), "right": network}},
                {"match": {"op": "!=", "left": field("daddr"), "right": network}},
                {"masquerade": null}
            ]
        }}},
    ]})
}

/// Puts the table in place.
pub fn install(table: &str, cidr: PodCidr) -> Result<(), NetworkError> {
    apply(&ruleset(table, cidr))
}

/// Takes the table away; it need not be there.
pub fn remove(table: &str) -> Result<(), NetworkError> {
    // `add` first: deleting a table that is not there would be an error.
    let this = json!({"table": {"family": "ip", "name": table}});
    apply(&json!({"nftables": [{"add": this}, {"delete": this}]}))
}

pub(super) fn apply(rules: &Value) -> Result<(), NetworkError> {
    let program = NFT_PLACES
        .iter()
        .find(|place| Path::new(place).exists())
        .copied()
        .unwrap_or("nft");
    match apply_ruleset_raw(&rules.to_string(), Some(program), DEFAULT_ARGS) {
        Ok(_) => Ok(()),
        Err(NftablesError::NftExecution { inner, .. })
            if inner.kind() == std::io::ErrorKind::NotFound =>
        {
            Err(NetworkError::NftMissing)
        }
        Err(NftablesError::NftFailed { stdout, stderr, .. }) => Err(NetworkError::Nft(
            format!("{stdout}{stderr}").trim().to_owned(),
        )),
        Err(other) => Err(NetworkError::Nft(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_table_is_replaced_in_one_transaction() {
        let rules = ruleset("t", "10.42.0.0/24".parse().unwrap());
        let steps = rules["nftables"].as_array().unwrap();
        assert!(steps[1].get("delete").is_some());
        assert_eq!(steps.len(), 5);
        assert_eq!(
            steps[4]["add"]["rule"]["expr"][0]["match"]["right"]["prefix"]["len"],
            24
        );
    }
}
