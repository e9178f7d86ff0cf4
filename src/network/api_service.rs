//! The way from pods to the API: its service address leads to this node's own server.
//!
//! One rule, until Services in general have theirs. It stands in this node's table, and goes with it.

use super::masquerade::apply;
use super::{NetworkConfig, NetworkError};
use serde_json::{Value, json};
use std::net::SocketAddrV4;

/// Chains and rules: packets for `service` from this node's pods, and from the node itself, go to `server`.
///
/// Of pods only those behind our bridge: several nodes may share a host, and each pod is to find its own. What the host
/// itself sends has no such mark.
pub fn ruleset(config: &NetworkConfig, service: SocketAddrV4, server: SocketAddrV4) -> Value {
    let chain = |name: &str, priority: i32| {
        json!({
            "family": "ip", "table": config.table, "name": name,
            "type": "nat", "hook": name, "prio": priority, "policy": "accept",
        })
    };
    let rule = |chain: &str, from: Option<Value>| {
        let equal = |left: Value, right: Value| json!({"match": {"op": "==", "left": left, "right": right}});
        let field = |protocol: &str, field: &str| json!({"payload": {"protocol": protocol, "field": field}});
        let mut steps: Vec<Value> = from.into_iter().collect();
        steps.push(equal(field("ip", "daddr"), json!(service.ip().to_string())));
        steps.push(equal(field("tcp", "dport"), json!(service.port())));
        steps.push(json!({"dnat": {"addr": server.ip().to_string(), "port": server.port()}}));
        json!({"add": {"rule": {
            "family": "ip", "table": config.table, "chain": chain,
            "comment": "the API's service address", "expr": steps,
        }}})
    };
    let from_pods = json!({"match": {
        "op": "==", "left": {"meta": {"key": "iifname"}}, "right": config.bridge,
    }});
    // The priorities of destination NAT: nft(8), "Standard priority names".
    let (prerouting, output) = (chain("prerouting", -100), chain("output", -100));
    json!({"nftables": [
        {"add": {"table": {"family": "ip", "name": config.table}}},
        {"add": {"chain": prerouting}}, {"flush": {"chain": prerouting}},
        {"add": {"chain": output}}, {"flush": {"chain": output}},
        rule("prerouting", Some(from_pods)),
        rule("output", None),
    ]})
}

pub fn install(
    config: &NetworkConfig,
    service: SocketAddrV4,
    server: SocketAddrV4,
) -> Result<(), NetworkError> {
    apply(&ruleset(config, service, server))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pods_are_told_apart_by_their_bridge() {
        let config = NetworkConfig {
            bridge: "b0".into(),
            pod_cidr: "10.42.0.0/24".parse().unwrap(),
            table: "t".into(),
            leases_dir: "/run/x".into(),
        };
        let rules = ruleset(
            &config,
            "10.43.0.1:443".parse().unwrap(),
            "10.42.0.1:6443".parse().unwrap(),
        );
        let steps = rules["nftables"].as_array().unwrap();
        let rule = &steps[5]["add"]["rule"]["expr"];
        assert_eq!(rule[0]["match"]["right"], "b0");
        assert_eq!(rule[1]["match"]["right"], "10.43.0.1");
        assert_eq!(rule[3]["dnat"], json!({"addr": "10.42.0.1", "port": 6443}));
        assert_eq!(steps[6]["add"]["rule"]["expr"].as_array().unwrap().len(), 3);
    }
}
