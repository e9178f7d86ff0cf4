//! Network policies: who may talk to whom.
//! <https://kubernetes.io/docs/concepts/services-networking/network-policies/>

use super::errors::Errors;
use super::pod::check_port_name;
use super::status::default_to;
use super::{FieldError, Strategy, metadata, selector};
use crate::object::access::{list, present, text};
use crate::object::names;
use serde_json::{Value, json};
use std::net::IpAddr;

pub struct NetworkPolicy;

impl Strategy for NetworkPolicy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else {
            return;
        };
        for direction in ["ingress", "egress"] {
            let rules = spec.get_mut(direction).and_then(Value::as_array_mut);
            for rule in rules.into_iter().flatten() {
                let ports = rule.get_mut("ports").and_then(Value::as_array_mut);
                for port in ports.into_iter().flatten() {
                    default_to(port, "protocol", "TCP");
                }
            }
        }
        default_to(spec, "podSelector", json!({}));
        if list(spec, "/policyTypes").is_empty() {
            let both = !list(spec, "/egress").is_empty();
            spec["policyTypes"] = if both {
                json!(["Ingress", "Egress"])
            } else {
                json!(["Ingress"])
            };
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_subdomain),
        };
        let spec = &object["spec"];
        selector::validate(&spec["podSelector"], "spec.podSelector", &mut errors);
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            for (index, rule) in list(spec, &format!("/{direction}")).iter().enumerate() {
                let at = format!("spec.{direction}[{index}]");
                for (number, item) in list(rule, "/ports").iter().enumerate() {
                    port(item, &format!("{at}.ports[{number}]"), &mut errors);
                }
                for (number, item) in list(rule, &format!("/{peers}")).iter().enumerate() {
                    peer(item, &format!("{at}.{peers}[{number}]"), &mut errors);
                }
            }
        }
        let types = list(spec, "/policyTypes");
        if types.len() > 2 {
            let detail = "may not specify more than two policyTypes";
            let value = &spec["policyTypes"];
            errors.push(FieldError::invalid("spec.policyTypes", value, detail));
            return errors.list;
        }
        for (index, one) in types.iter().enumerate() {
            let field = format!("spec.policyTypes[{index}]");
            errors.one_of(
                field,
                one.as_str().unwrap_or_default(),
                &["Ingress", "Egress"],
            );
        }
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        metadata::validate_update(old, object)
    }
}

fn port(port: &Value, at: &str, errors: &mut Errors) {
    let protocols = ["TCP", "UDP", "SCTP"];
    errors.one_of(
        format!("{at}.protocol"),
        text(port, "/protocol"),
        &protocols,
    );
    let (end, field) = (&port["endPort"], format!("{at}.endPort"));
    match &port["port"] {
        Value::Number(_) => {
            errors.range(format!("{at}.port"), &port["port"], 1..=65535);
            if end.is_null() {
                return;
            }
            if end.as_i64() < port["port"].as_i64() {
                let detail = "must be greater than or equal to `port`";
                errors.push(FieldError::invalid(&field, end, detail));
            }
            errors.range(field, end, 1..=65535);
        }
        Value::String(name) => {
            if !end.is_null() {
                let detail = "may not be specified when `port` is non-numeric";
                errors.push(FieldError::invalid(field, end, detail));
            }
            if let Err(detail) = check_port_name(name) {
                let field = format!("{at}.port");
                errors.push(FieldError::invalid(field, &port["port"], detail));
            }
        }
        _ if !end.is_null() => {
            let detail = "may not be specified when `port` is not specified";
            errors.push(FieldError::invalid(field, end, detail));
        }
        _ => {}
    }
}

fn peer(peer: &Value, at: &str, errors: &mut Errors) {
    let mut others = 0;
    for name in ["podSelector", "namespaceSelector"] {
        if present(peer, &format!("/{name}")) {
            others += 1;
            selector::validate(&peer[name], &format!("{at}.{name}"), errors);
        }
    }
    let block = &peer["ipBlock"];
    match (block.is_null(), others) {
        (true, 0) => errors.push(FieldError::required(at, "must specify a peer")),
        (true, _) => {}
        (false, others) => {
            addresses(block, &format!("{at}.ipBlock"), errors);
            if others > 0 {
                let detail = "may not specify both ipBlock and another peer";
                errors.push(FieldError::forbidden(at, detail));
            }
        }
    }
}

fn addresses(block: &Value, at: &str, errors: &mut Errors) {
    const RULE: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let whole = text(block, "/cidr");
    if whole.is_empty() {
        return errors.push(FieldError::required(format!("{at}.cidr"), ""));
    }
    let Some((network, bits)) = cidr(whole) else {
        return errors.push(FieldError::invalid(
            format!("{at}.cidr"),
            &whole.into(),
            RULE,
        ));
    };
    for (index, except) in list(block, "/except").iter().enumerate() {
        let field = format!("{at}.except[{index}]");
        let Some((inner, inner_bits)) = except.as_str().and_then(cidr) else {
            errors.push(FieldError::invalid(field, except, RULE));
            continue;
        };
        if inner_bits <= bits || !within(network, bits, inner) {
            let detail = "must be a strict subset of `cidr`";
            errors.push(FieldError::invalid(field, except, detail));
        }
    }
}

fn cidr(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (IpAddr, u32) = (address.parse().ok()?, bits.parse().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some((address, bits))
}

fn within(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let ((network, width), (address, other)) = (number(network), number(address));
    let differs = (network ^ address).checked_shr(width - bits).unwrap_or(0);
    width == other && differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        for (spec, want) in [
            (json!({}), ""),
            (
                json!({"ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80, "endPort": 90}, {"port": "http"}]}]}),
                "",
            ),
            (
                json!({"ingress": [{"from": [{}]}]}),
                "spec.ingress[0].from[0]",
            ),
            (
                json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}]}),
                "",
            ),
            (
                json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16", "x", "10.0.0.0/8"]}}]}]}),
                "spec.egress[0].to[0].ipBlock.except[0] spec.egress[0].to[0].ipBlock.except[1] spec.egress[0].to[0].ipBlock.except[2]",
            ),
            (
                json!({"egress": [{"to": [{"ipBlock": {"cidr": "::/0", "except": ["10.0.0.0/8"]}}]}]}),
                "spec.egress[0].to[0].ipBlock.except[0]",
            ),
            (
                json!({"egress": [{"to": [{"ipBlock": {"cidr": "x"}, "podSelector": {}}]}]}),
                "spec.egress[0].to[0].ipBlock.cidr spec.egress[0].to[0]",
            ),
            (
                json!({"ingress": [{"ports": [{"port": 0}, {"endPort": 3}, {"port": 9, "endPort": 3}, {"protocol": "X"}]}]}),
                "spec.ingress[0].ports[0].port spec.ingress[0].ports[1].endPort spec.ingress[0].ports[2].endPort spec.ingress[0].ports[3].protocol",
            ),
            (json!({"policyTypes": ["Both"]}), "spec.policyTypes[0]"),
        ] {
            let mut object = json!({"metadata": {"name": "a"}, "spec": spec});
            NetworkPolicy.default(&mut object);
            let errors = NetworkPolicy.validate(&object);
            let found: Vec<String> = errors.into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{object}");
        }
        let mut object = json!({"spec": {"egress": [{}]}});
        NetworkPolicy.default(&mut object);
        assert_eq!(object["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    }
}
