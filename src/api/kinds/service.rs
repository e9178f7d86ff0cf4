//! Services. The cluster address and node ports are the registry's to allocate; here is what needs no allocator.

use super::errors::{Errors, IMMUTABLE};
use super::status::{default_to, keep_status, only_status, put};
use super::{FieldError, Strategy, metadata};
use crate::object::access::{list, map, present, text};
use crate::object::names;
use serde_json::{Value, json};
use std::collections::HashSet;

/// Client affinity's default, seconds: three hours.
const AFFINITY_TIMEOUT_SECONDS: i64 = 10800;

pub struct Service;

impl Strategy for Service {
    fn default(&self, object: &mut Value) {
        default_to(object, "spec", json!({}));
        let spec = &mut object["spec"];
        default_to(spec, "type", "ClusterIP");
        default_to(spec, "sessionAffinity", "None");
        let kind = text(spec, "/type").to_owned();
        if text(spec, "/sessionAffinity") == "ClientIP" {
            default_to(
                spec,
                "sessionAffinityConfig",
                json!({"clientIP": {"timeoutSeconds": AFFINITY_TIMEOUT_SECONDS}}),
            );
        }
        if kind != "ExternalName" {
            default_to(spec, "internalTrafficPolicy", "Cluster");
            // One family until dual stack.
            default_to(spec, "ipFamilies", json!(["IPv4"]));
            default_to(spec, "ipFamilyPolicy", "SingleStack");
        }
        if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
            default_to(spec, "externalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            default_to(spec, "allocateLoadBalancerNodePorts", true);
        }
        if let Some(Value::Array(ports)) = spec.get_mut("ports") {
            for port in ports {
                default_to(port, "protocol", "TCP");
                // Go's JSON cannot leave this field out: its zero means that it is not set (upstream's defaulting).
                if port["targetPort"] == 0 || port["targetPort"] == "" {
                    put(port, "targetPort", Value::Null);
                }
                let number = port["port"].clone();
                if !number.is_null() {
                    default_to(port, "targetPort", number);
                }
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({"loadBalancer": {}}));
    }

    /// What the allocator gave stays where an update leaves it out.
    fn prepare_update(&self, old: &Value, object: &mut Value) {
        keep_status(old, object);
        let both_addressed = [old, &*object]
            .iter()
            .all(|s| text(s, "/spec/type") != "ExternalName");
        if both_addressed {
            for field in ["clusterIP", "clusterIPs"] {
                let before = old["spec"][field].clone();
                if let Some(spec) = object.get_mut("spec").filter(|_| !before.is_null()) {
                    if spec[field] == "" || spec[field] == json!([]) {
                        put(spec, field, Value::Null);
                    }
                    default_to(spec, field, before);
                }
            }
        }
    }

    fn prepare_status_update(&self, old: &Value, object: &mut Value) {
        only_status(old, object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_label_1035),
        };
        let kind = text(object, "/spec/type");
        errors.one_of(
            "spec.type",
            kind,
            &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
        );
        errors.one_of(
            "spec.sessionAffinity",
            text(object, "/spec/sessionAffinity"),
            &["ClientIP", "None"],
        );
        for field in ["internalTrafficPolicy", "externalTrafficPolicy"] {
            let pointer = format!("/spec/{field}");
            if present(object, &pointer) {
                errors.one_of(
                    format!("spec.{field}"),
                    text(object, &pointer),
                    &["Cluster", "Local"],
                );
            }
        }
        for (key, value) in map(object, "/spec/selector") {
            errors.rule("spec.selector", key, names::check_qualified);
            errors.rule(
                "spec.selector",
                value.as_str().unwrap_or_default(),
                names::check_label_value,
            );
        }
        validate_address(object, kind, &mut errors);
        validate_ports(object, kind, &mut errors);
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        let addressed = |s: &Value| text(s, "/spec/type") != "ExternalName";
        let before = text(old, "/spec/clusterIP");
        if addressed(old)
            && addressed(object)
            && !before.is_empty()
            && before != text(object, "/spec/clusterIP")
        {
            errors.push(FieldError::invalid(
                "spec.clusterIPs[0]",
                &object["spec"]["clusterIP"],
                IMMUTABLE,
            ));
        }
        errors
    }
}

fn validate_address(object: &Value, kind: &str, errors: &mut Errors) {
    let address = text(object, "/spec/clusterIP");
    match kind {
        "ExternalName" => {
            if !address.is_empty() && address != "None" {
                errors.push(FieldError::forbidden(
                    "spec.clusterIPs[0]",
                    "may not be set when `type` is 'ExternalName'",
                ));
            }
            match text(object, "/spec/externalName").trim_end_matches('.') {
                "" => errors.push(FieldError::required("spec.externalName", "")),
                name => errors.rule("spec.externalName", name, names::check_subdomain),
            }
        }
        "NodePort" | "LoadBalancer" if address == "None" => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid(
                "spec.clusterIPs[0]",
                &address.into(),
                detail,
            ));
        }
        _ if address.is_empty() || address == "None" => {}
        _ if address.parse::<std::net::IpAddr>().is_err() => {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(
                "spec.clusterIPs[0]",
                &address.into(),
                detail,
            ));
        }
        _ => {}
    }
}

fn validate_ports(object: &Value, kind: &str, errors: &mut Errors) {
    let ports = list(object, "/spec/ports");
    let headless = text(object, "/spec/clusterIP") == "None";
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    let (mut port_names, mut numbers) = (HashSet::new(), HashSet::new());
    for (index, port) in ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        let name = text(port, "/name");
        if name.is_empty() {
            if ports.len() > 1 {
                errors.push(FieldError::required(format!("{at}.name"), ""));
            }
        } else {
            errors.rule(format!("{at}.name"), name, names::check_label);
            if !port_names.insert(name) {
                errors.push(FieldError::duplicate(format!("{at}.name"), &name.into()));
            }
        }
        errors.range(format!("{at}.port"), &port["port"], 1..=65535);
        errors.one_of(
            format!("{at}.protocol"),
            text(port, "/protocol"),
            &["SCTP", "TCP", "UDP"],
        );
        match &port["targetPort"] {
            Value::String(name) => {
                errors.rule(format!("{at}.targetPort"), name, names::check_label);
            }
            Value::Null => {}
            number => errors.range(format!("{at}.targetPort"), number, 1..=65535),
        }
        if port["nodePort"].as_i64().unwrap_or_default() != 0 {
            if kind == "ClusterIP" || kind == "ExternalName" {
                errors.push(FieldError::forbidden(
                    format!("{at}.nodePort"),
                    format!("may not be used when `type` is '{kind}'"),
                ));
            } else {
                errors.range(format!("{at}.nodePort"), &port["nodePort"], 1..=65535);
            }
        }
        if !numbers.insert((port["port"].to_string(), text(port, "/protocol"))) {
            errors.push(FieldError::duplicate(at, port));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Value {
        let mut service = json!({"metadata": {"name": "web"}, "spec": spec});
        Service.default(&mut service);
        service
    }
    fn fields(spec: Value) -> Vec<String> {
        Service
            .validate(&service(spec))
            .into_iter()
            .map(|e| e.field)
            .collect()
    }

    #[test]
    fn defaults() {
        let spec = service(json!({"ports": [{"port": 80}]}))["spec"].clone();
        assert_eq!(
            spec["ports"][0],
            json!({"port": 80, "protocol": "TCP", "targetPort": 80})
        );
        assert_eq!(
            (&spec["type"], &spec["ipFamilies"]),
            (&json!("ClusterIP"), &json!(["IPv4"]))
        );
    }

    #[test]
    fn validation() {
        assert!(fields(json!({"ports": [{"port": 80, "targetPort": "http"}]})).is_empty());
        assert!(fields(json!({"clusterIP": "None"})).is_empty());
        assert_eq!(fields(json!({})), ["spec.ports"]);
        assert_eq!(
            fields(json!({"ports": [{"port": 0, "targetPort": 1}]})),
            ["spec.ports[0].port"]
        );
        assert_eq!(
            fields(json!({"ports": [{"port": 1, "nodePort": 30000}]})),
            ["spec.ports[0].nodePort"]
        );
        assert_eq!(
            fields(json!({"ports": [{"port": 1}, {"port": 2, "name": "a"}]})),
            ["spec.ports[0].name"]
        );
        assert_eq!(
            fields(json!({"type": "ExternalName"})),
            ["spec.externalName"]
        );
        assert_eq!(
            fields(json!({"type": "x", "ports": [{"port": 1}]})),
            ["spec.type"]
        );
    }

    #[test]
    fn the_address_stays() {
        let old = service(
            json!({"clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9"], "ports": [{"port": 1}]}),
        );
        let mut update = service(json!({"ports": [{"port": 2}]}));
        Service.prepare_update(&old, &mut update);
        assert_eq!(update["spec"]["clusterIP"], "10.43.0.9");
        assert_eq!(Service.validate_update(&old, &update), []);
        let moved = service(json!({"clusterIP": "10.43.0.8", "ports": [{"port": 2}]}));
        assert_eq!(
            Service.validate_update(&old, &moved)[0].field,
            "spec.clusterIPs[0]"
        );
    }
}
