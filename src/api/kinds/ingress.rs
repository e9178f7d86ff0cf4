//! Ingresses and their classes: stored and validated here; what makes them work is a controller's.
//! <https://kubernetes.io/docs/concepts/services-networking/ingress/>

use super::errors::{Errors, IMMUTABLE};
use super::pod::check_port_name;
use super::status::{keep_status, only_status, put};
use super::{FieldError, Strategy, metadata};
use crate::object::access::{list, map, present, text};
use crate::object::names;
use serde_json::{Value, json};
use std::net::IpAddr;

/// The class in the days before `spec.ingressClassName`.
pub const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// Upstream's `maxLenIngressClassController`.
const CONTROLLER_BYTES_MAX: usize = 250;

const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

pub struct Ingress;

impl Strategy for Ingress {
    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({"loadBalancer": {}}));
    }

    fn prepare_update(&self, old: &Value, object: &mut Value) {
        keep_status(old, object);
    }

    fn prepare_status_update(&self, old: &Value, object: &mut Value) {
        only_status(old, object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_subdomain),
        };
        let spec = &object["spec"];
        let (rules, fallback) = (list(spec, "/rules"), &spec["defaultBackend"]);
        if rules.is_empty() && fallback.is_null() {
            let detail = "either `defaultBackend` or `rules` must be specified";
            errors.push(FieldError::invalid("spec", &spec["rules"], detail));
        }
        if !fallback.is_null() {
            backend(fallback, "spec.defaultBackend", &mut errors);
        }
        for (index, rule) in rules.iter().enumerate() {
            validate_rule(rule, &format!("spec.rules[{index}]"), &mut errors);
        }
        for (index, tls) in list(spec, "/tls").iter().enumerate() {
            let at = format!("spec.tls[{index}]");
            for (number, name) in list(tls, "/hosts").iter().enumerate() {
                let name = name.as_str().unwrap_or_default();
                errors.rule(format!("{at}.hosts[{number}]"), name, host);
            }
            let secret = text(tls, "/secretName");
            if !secret.is_empty() {
                errors.rule(format!("{at}.secretName"), secret, names::check_subdomain);
            }
        }
        if let Some(class) = spec["ingressClassName"].as_str() {
            errors.rule("spec.ingressClassName", class, names::check_subdomain);
        }
        errors.list
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let annotated = map(object, "/metadata/annotations").get(CLASS_ANNOTATION);
        let named = object.pointer("/spec/ingressClassName");
        match (annotated, named.filter(|name| !name.is_null())) {
            (Some(annotated), Some(named)) if annotated != named => {
                let detail = "must match `ingressClassName` when both are specified";
                let field = format!("annotations.{CLASS_ANNOTATION}");
                vec![FieldError::invalid(field, annotated, detail)]
            }
            _ => Vec::new(),
        }
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        metadata::validate_update(old, object)
    }
}

/// A host name, of which the first label may be `*`.
fn host(name: &str) -> Result<(), String> {
    match name.strip_prefix("*.") {
        Some(rest) => names::check_subdomain(rest).map_err(|_| WILDCARD.to_owned()),
        None if name.contains('*') => Err(WILDCARD.to_owned()),
        None => names::check_subdomain(name),
    }
}

fn validate_rule(rule: &Value, at: &str, errors: &mut Errors) {
    let name = text(rule, "/host");
    if !name.is_empty() {
        if name.parse::<IpAddr>().is_ok() {
            let detail = "must be a DNS name, not an IP address";
            errors.push(FieldError::invalid(
                format!("{at}.host"),
                &name.into(),
                detail,
            ));
        }
        errors.rule(format!("{at}.host"), name, host);
    }
    if !present(rule, "/http") {
        return;
    }
    let paths = list(rule, "/http/paths");
    if paths.is_empty() {
        errors.push(FieldError::required(format!("{at}.http.paths"), ""));
    }
    for (index, path) in paths.iter().enumerate() {
        validate_path(path, &format!("{at}.http.paths[{index}]"), errors);
    }
}

fn validate_path(path: &Value, at: &str, errors: &mut Errors) {
    let (given, value, field) = (text(path, "/path"), &path["path"], format!("{at}.path"));
    match path["pathType"].as_str() {
        None => {
            let detail = "pathType must be specified";
            return errors.push(FieldError::required(format!("{at}.pathType"), detail));
        }
        Some("Exact" | "Prefix") => {
            if !given.starts_with('/') {
                let detail = "must be an absolute path";
                errors.push(FieldError::invalid(&field, value, detail));
            }
            for inner in ["//", "/./", "/../", "%2f", "%2F"] {
                if given.contains(inner) {
                    let detail = format!("must not contain '{inner}'");
                    errors.push(FieldError::invalid(&field, value, detail));
                }
            }
            for end in ["/..", "/."] {
                if given.ends_with(end) {
                    let detail = format!("cannot end with '{end}'");
                    errors.push(FieldError::invalid(&field, value, detail));
                }
            }
        }
        Some("ImplementationSpecific") => {
            if !given.is_empty() && !given.starts_with('/') {
                let detail = "must be an absolute path";
                errors.push(FieldError::invalid(field, value, detail));
            }
        }
        Some(other) => {
            let all = ["Exact", "ImplementationSpecific", "Prefix"];
            let field = format!("{at}.pathType");
            errors.push(FieldError::not_supported(field, other, &all));
        }
    }
    backend(&path["backend"], &format!("{at}.backend"), errors);
}

fn backend(backend: &Value, at: &str, errors: &mut Errors) {
    let invalid = |detail| FieldError::invalid(at, &"".into(), detail);
    let (resource, service) = (&backend["resource"], &backend["service"]);
    match (resource.is_null(), service.is_null()) {
        (false, false) => {
            errors.push(invalid("cannot set both resource and service backends"));
        }
        (true, true) => errors.push(invalid("resource or service backend is required")),
        (false, true) => reference(resource, &format!("{at}.resource"), errors),
        (true, false) => {
            match text(service, "/name") {
                "" => errors.push(FieldError::required(format!("{at}.service.name"), "")),
                name => {
                    errors.rule(format!("{at}.service.name"), name, names::check_label_1035);
                }
            }
            let (name, number) = (text(service, "/port/name"), &service["port"]["number"]);
            match (name.is_empty(), number.as_i64().unwrap_or_default() != 0) {
                (false, true) => errors.push(invalid("cannot set both port name & port number")),
                (false, false) => {
                    if let Err(detail) = check_port_name(name) {
                        let field = format!("{at}.service.port.name");
                        errors.push(FieldError::invalid(field, &name.into(), detail));
                    }
                }
                (true, true) => {
                    errors.range(format!("{at}.service.port.number"), number, 1..=65535);
                }
                (true, false) => {
                    errors.push(FieldError::required(at, "port name or number is required"));
                }
            }
        }
    }
}

fn reference(reference: &Value, at: &str, errors: &mut Errors) {
    if let Some(group) = reference["apiGroup"].as_str() {
        errors.rule(format!("{at}.apiGroup"), group, names::check_subdomain);
    }
    for part in ["kind", "name"] {
        let field = format!("{at}.{part}");
        match text(reference, &format!("/{part}")) {
            "" => errors.push(FieldError::required(field, "")),
            name => errors.rule(field, name, names::check_path_segment),
        }
    }
}

pub struct IngressClass;

impl Strategy for IngressClass {
    fn default(&self, object: &mut Value) {
        let parameters = object.pointer_mut("/spec/parameters");
        if let Some(parameters) = parameters.filter(|parameters| parameters.is_object()) {
            super::status::default_to(parameters, "scope", "Cluster");
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_subdomain),
        };
        let controller = text(object, "/spec/controller");
        if controller.is_empty() {
            errors.push(FieldError::required("spec.controller", ""));
        } else {
            if controller.len() > CONTROLLER_BYTES_MAX {
                errors.push(FieldError::too_long(
                    "spec.controller",
                    CONTROLLER_BYTES_MAX,
                ));
            }
            errors.rule("spec.controller", controller, domain_prefixed);
        }
        let parameters = &object["spec"]["parameters"];
        if !parameters.is_null() {
            let at = "spec.parameters";
            reference(parameters, at, &mut errors);
            let scope = text(parameters, "/scope");
            errors.one_of(format!("{at}.scope"), scope, &["Cluster", "Namespace"]);
            let (field, namespace) = (format!("{at}.namespace"), parameters["namespace"].as_str());
            match (scope, namespace) {
                ("Namespace", None) => {
                    let detail = "`parameters.scope` is set to 'Namespace'";
                    errors.push(FieldError::required(field, detail));
                }
                ("Namespace", Some(name)) => errors.rule(field, name, names::check_label),
                ("Cluster", Some(_)) => {
                    let detail = "`parameters.scope` is set to 'Cluster'";
                    errors.push(FieldError::forbidden(field, detail));
                }
                _ => {}
            }
        }
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        let controller = &object["spec"]["controller"];
        if old["spec"]["controller"] != *controller {
            errors.push(FieldError::invalid(
                "spec.controller",
                controller,
                IMMUTABLE,
            ));
        }
        errors
    }
}

/// `example.com/controller`.
fn domain_prefixed(name: &str) -> Result<(), String> {
    let (domain, path) = name
        .split_once('/')
        .filter(|(domain, path)| !domain.is_empty() && !path.is_empty())
        .ok_or("must be a domain-prefixed path (such as \"acme.io/foo\")")?;
    names::check_subdomain(domain)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
    if path.chars().all(legal) {
        Ok(())
    } else {
        Err("Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(errors: Vec<FieldError>) -> String {
        let found: Vec<String> = errors.into_iter().map(|e| e.field).collect();
        found.join(" ")
    }

    #[test]
    fn ingresses() {
        let service = json!({"service": {"name": "web", "port": {"number": 80}}});
        let rule =
            |host: &str, path: Value| json!({"rules": [{"host": host, "http": {"paths": [path]}}]});
        for (spec, want) in [
            (json!({"defaultBackend": service}), ""),
            (json!({}), "spec"),
            (
                rule(
                    "*.example.com",
                    json!({"path": "/", "pathType": "Prefix", "backend": service}),
                ),
                "",
            ),
            (
                rule(
                    "a.*.com",
                    json!({"path": "/", "pathType": "Prefix", "backend": service}),
                ),
                "spec.rules[0].host",
            ),
            (
                rule(
                    "10.0.0.1",
                    json!({"pathType": "ImplementationSpecific", "backend": service}),
                ),
                "spec.rules[0].host",
            ),
            (
                rule(
                    "a.com",
                    json!({"path": "x/..", "pathType": "Exact", "backend": service}),
                ),
                "spec.rules[0].http.paths[0].path spec.rules[0].http.paths[0].path",
            ),
            (
                rule("a.com", json!({"path": "/", "backend": service})),
                "spec.rules[0].http.paths[0].pathType",
            ),
            (
                rule(
                    "a.com",
                    json!({"path": "/", "pathType": "Odd", "backend": {}}),
                ),
                "spec.rules[0].http.paths[0].pathType spec.rules[0].http.paths[0].backend",
            ),
            (
                json!({"defaultBackend": {"service": {"name": "web", "port": {"number": 80, "name": "x"}}}}),
                "spec.defaultBackend",
            ),
            (
                json!({"defaultBackend": {"service": {"name": "web"}}}),
                "spec.defaultBackend",
            ),
            (
                json!({"defaultBackend": {"resource": {"kind": "Bucket"}}}),
                "spec.defaultBackend.resource.name",
            ),
            (
                json!({"defaultBackend": service, "tls": [{"hosts": ["*"], "secretName": "A"}]}),
                "spec.tls[0].hosts[0] spec.tls[0].secretName",
            ),
        ] {
            let object = json!({"metadata": {"name": "a"}, "spec": spec});
            assert_eq!(fields(Ingress.validate(&object)), want, "{spec}");
        }
    }

    #[test]
    fn classes() {
        for (spec, want) in [
            (json!({"controller": "example.com/ingress"}), ""),
            (json!({}), "spec.controller"),
            (json!({"controller": "x"}), "spec.controller"),
            (
                json!({"controller": "a.b/c", "parameters": {"kind": "K", "name": "n", "scope": "Namespace"}}),
                "spec.parameters.namespace",
            ),
            (
                json!({"controller": "a.b/c", "parameters": {"kind": "K", "name": "n", "namespace": "x"}}),
                "spec.parameters.namespace",
            ),
        ] {
            let mut object = json!({"metadata": {"name": "a"}, "spec": spec});
            IngressClass.default(&mut object);
            assert_eq!(fields(IngressClass.validate(&object)), want, "{spec}");
        }
    }
}
