//! Where a service's traffic goes: `Endpoints`, and `EndpointSlice` which took its place.
//! Rules and words: upstream's `ValidateEndpointsCreate` and `ValidateEndpointSlice`.

use super::errors::{Errors, IMMUTABLE};
use super::{FieldError, Strategy, metadata};
use crate::object::access::{list, map, text};
use crate::object::names;
use serde_json::Value;
use std::net::{Ipv4Addr, Ipv6Addr};

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

/// Upstream's `maxEndpoints`, `maxPorts` and `maxAddresses` of a slice.
const SLICE_ENDPOINTS_MAX: usize = 1000;
const SLICE_PORTS_MAX: usize = 20_000;
const SLICE_ADDRESSES_MAX: usize = 100;

pub struct Endpoints;

impl Strategy for Endpoints {
    fn default(&self, object: &mut Value) {
        let subsets = object.get_mut("subsets").and_then(Value::as_array_mut);
        for subset in subsets.into_iter().flatten() {
            default_protocols(subset);
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_subdomain),
        };
        for (index, subset) in list(object, "/subsets").iter().enumerate() {
            let at = format!("subsets[{index}]");
            let (ready, waiting) = (
                list(subset, "/addresses"),
                list(subset, "/notReadyAddresses"),
            );
            if ready.is_empty() && waiting.is_empty() {
                let detail = "must specify `addresses` or `notReadyAddresses`";
                errors.push(FieldError::required(at.clone(), detail));
            }
            for (field, addresses) in [("addresses", ready), ("notReadyAddresses", waiting)] {
                for (number, address) in addresses.iter().enumerate() {
                    let field = format!("{at}.{field}[{number}].ip");
                    let ip = text(address, "/ip");
                    if ip.parse::<std::net::IpAddr>().is_err() {
                        let detail =
                            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
                        errors.push(FieldError::invalid(field, &ip.into(), detail));
                    }
                }
            }
            validate_ports(subset, &format!("{at}.ports"), true, &mut errors);
        }
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        metadata::validate_update(old, object)
    }
}

pub struct EndpointSlice;

impl Strategy for EndpointSlice {
    fn default(&self, object: &mut Value) {
        default_protocols(object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_subdomain),
        };
        let family = text(object, "/addressType");
        if family.is_empty() {
            errors.push(FieldError::required("addressType", ""));
        } else {
            errors.one_of("addressType", family, &["FQDN", "IPv4", "IPv6"]);
        }
        let endpoints = list(object, "/endpoints");
        if endpoints.len() > SLICE_ENDPOINTS_MAX {
            errors.push(too_many("endpoints", endpoints.len(), SLICE_ENDPOINTS_MAX));
        }
        if list(object, "/ports").len() > SLICE_PORTS_MAX {
            errors.push(too_many(
                "ports",
                list(object, "/ports").len(),
                SLICE_PORTS_MAX,
            ));
        }
        for (index, endpoint) in endpoints.iter().enumerate() {
            let at = format!("endpoints[{index}].addresses");
            let addresses = list(endpoint, "/addresses");
            if addresses.is_empty() {
                let detail = "must contain at least 1 address";
                errors.push(FieldError::required(at.clone(), detail));
            }
            if addresses.len() > SLICE_ADDRESSES_MAX {
                errors.push(too_many(&at, addresses.len(), SLICE_ADDRESSES_MAX));
            }
            for (number, address) in addresses.iter().enumerate() {
                let word = address.as_str().unwrap_or_default();
                let problem = match family {
                    "IPv4" if word.parse::<Ipv4Addr>().is_err() => "must be an IPv4 address",
                    "IPv6" if word.parse::<Ipv6Addr>().is_err() => "must be an IPv6 address",
                    "FQDN" if names::check_subdomain(word).is_err() => "must be a DNS name",
                    _ => continue,
                };
                let at = format!("{at}[{number}]");
                errors.push(FieldError::invalid(at, address, problem));
            }
        }
        validate_ports(object, "ports", false, &mut errors);
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        if old["addressType"] != object["addressType"] {
            let family = &object["addressType"];
            errors.push(FieldError::invalid("addressType", family, IMMUTABLE));
        }
        errors
    }
}

fn default_protocols(object: &mut Value) {
    let ports = object.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        if text(port, "/protocol").is_empty() {
            super::status::put(port, "protocol", "TCP".into());
        }
    }
}

fn validate_ports(object: &Value, at: &str, number_needed: bool, errors: &mut Errors) {
    for (index, port) in list(object, "/ports").iter().enumerate() {
        let at = format!("{at}[{index}]");
        // A slice's port without a number means: all ports.
        if number_needed || map(port, "").contains_key("port") {
            errors.range(format!("{at}.port"), &port["port"], 1..=65_535);
        }
        let protocol = text(port, "/protocol");
        errors.one_of(format!("{at}.protocol"), protocol, PROTOCOLS);
        let name = text(port, "/name");
        if !name.is_empty() {
            errors.rule(format!("{at}.name"), name, names::check_label);
        }
    }
}

fn too_many(field: &str, found: usize, max: usize) -> FieldError {
    FieldError {
        field: field.to_owned(),
        reason: "FieldValueTooMany",
        message: format!("Too many: {found}: must have at most {max} items"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(strategy: &dyn Strategy, mut object: Value) -> String {
        json_patch::merge(&mut object, &json!({"metadata": {"name": "a"}}));
        strategy.default(&mut object);
        let errors = strategy.validate(&object);
        let fields: Vec<String> = errors.into_iter().map(|error| error.field).collect();
        fields.join(" ")
    }

    #[test]
    fn endpoints() {
        for (subset, field) in [
            (
                json!({"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}),
                "",
            ),
            (json!({"ports": [{"port": 80}]}), "subsets[0]"),
            (
                json!({"addresses": [{"ip": "x"}]}),
                "subsets[0].addresses[0].ip",
            ),
            (
                json!({"notReadyAddresses": [{"ip": "::1"}], "ports": [{"port": 0}]}),
                "subsets[0].ports[0].port",
            ),
        ] {
            assert_eq!(
                fields(&Endpoints, json!({"subsets": [subset]})),
                field,
                "{subset}"
            );
        }
        assert_eq!(fields(&Endpoints, json!({})), "");
    }

    #[test]
    fn slices() {
        for (slice, field) in [
            (
                json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"name": "https", "port": 6443}]}),
                "",
            ),
            (
                json!({"addressType": "IPv4", "endpoints": [], "ports": [{}]}),
                "",
            ),
            (json!({"endpoints": []}), "addressType"),
            (
                json!({"addressType": "IPv5", "endpoints": []}),
                "addressType",
            ),
            (
                json!({"addressType": "IPv6", "endpoints": [{"addresses": ["10.0.0.1"]}]}),
                "endpoints[0].addresses[0]",
            ),
            (
                json!({"addressType": "IPv4", "endpoints": [{"addresses": []}]}),
                "endpoints[0].addresses",
            ),
            (
                json!({"addressType": "IPv4", "endpoints": [], "ports": [{"protocol": "ICMP"}]}),
                "ports[0].protocol",
            ),
        ] {
            assert_eq!(fields(&EndpointSlice, slice.clone()), field, "{slice}");
        }
    }
}
