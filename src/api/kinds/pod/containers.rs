//! Validation of containers and init containers.

use super::mounts;
use super::probes;
use super::resources;
use super::security;
use crate::api::kinds::FieldError;
use crate::api::kinds::errors::Errors;
use crate::object::access::{list, present, text, truth};
use crate::object::names;
use serde_json::Value;
use std::collections::HashSet;

/// What `fieldRef` may name, apart from one label or annotation.
const FIELD_PATHS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

pub fn validate(pod: &Value, volumes: &HashSet<&str>, errors: &mut Errors) {
    if list(pod, "/spec/containers").is_empty() {
        errors.push(FieldError::required("spec.containers", ""));
    }
    resources::validate_of_pod(pod, errors);
    let host_network = truth(pod, "/spec/hostNetwork");
    let mut seen = HashSet::new();
    for group in ["initContainers", "containers"] {
        for (index, container) in list(pod, &format!("/spec/{group}")).iter().enumerate() {
            let at = format!("spec.{group}[{index}]");
            let name = text(container, "/name");
            if name.is_empty() {
                errors.push(FieldError::required(format!("{at}.name"), ""));
            } else {
                errors.rule(format!("{at}.name"), name, names::check_label);
                if !seen.insert(name) {
                    errors.push(FieldError::duplicate(format!("{at}.name"), &name.into()));
                }
            }
            validate_ports(container, &at, host_network, errors);
            resources::validate(container, &at, errors);
            let policy = text(pod, "/spec/restartPolicy");
            resources::validate_policies(container, &at, policy, errors);
            validate_common(container, &at, volumes, errors);
            let keeps_running =
                group == "containers" || text(container, "/restartPolicy") == "Always";
            probes::validate(container, &at, keeps_running, errors);
        }
    }
}

/// What every container has, debug containers too.
pub fn validate_common(container: &Value, at: &str, volumes: &HashSet<&str>, errors: &mut Errors) {
    validate_container(container, at, errors);
    validate_environment(container, at, errors);
    mounts::validate(container, at, volumes, errors);
    security::validate_container(container, at, errors);
}

fn validate_container(container: &Value, at: &str, errors: &mut Errors) {
    let image = text(container, "/image");
    if image.is_empty() {
        errors.push(FieldError::required(format!("{at}.image"), ""));
    } else if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(
            format!("{at}.image"),
            &image.into(),
            detail,
        ));
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    errors.one_of(
        format!("{at}.imagePullPolicy"),
        text(container, "/imagePullPolicy"),
        &policies,
    );
    let policies = ["FallbackToLogsOnError", "File"];
    errors.one_of(
        format!("{at}.terminationMessagePolicy"),
        text(container, "/terminationMessagePolicy"),
        &policies,
    );
}

fn validate_ports(container: &Value, at: &str, host_network: bool, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, port) in list(container, "/ports").iter().enumerate() {
        let at = format!("{at}.ports[{index}]");
        if port["containerPort"].as_i64().unwrap_or_default() == 0 {
            errors.push(FieldError::required(format!("{at}.containerPort"), ""));
        } else {
            errors.range(
                format!("{at}.containerPort"),
                &port["containerPort"],
                1..=65535,
            );
        }
        if host_network && port["hostPort"] != port["containerPort"] {
            let detail = "must match `containerPort` when `hostNetwork` is true";
            errors.push(FieldError::invalid(
                format!("{at}.hostPort"),
                &port["hostPort"],
                detail,
            ));
        }
        errors.one_of(
            format!("{at}.protocol"),
            text(port, "/protocol"),
            &["SCTP", "TCP", "UDP"],
        );
        let name = text(port, "/name");
        if !name.is_empty() {
            if let Err(detail) = check_port_name(name) {
                errors.push(FieldError::invalid(
                    format!("{at}.name"),
                    &name.into(),
                    detail,
                ));
            }
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(format!("{at}.name"), &name.into()));
            }
        }
    }
}

/// RFC 6335, section 5.1.
pub fn check_port_name(name: &str) -> Result<(), &'static str> {
    if name.len() > 15 {
        return Err("must be no more than 15 characters");
    }
    if !name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        return Err("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    if !name.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err("must contain at least one letter (a-z)");
    }
    if name.contains("--") {
        return Err("must not contain consecutive hyphens");
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err("must not begin or end with a hyphen");
    }
    Ok(())
}

fn validate_environment(container: &Value, at: &str, errors: &mut Errors) {
    for (index, variable) in list(container, "/env").iter().enumerate() {
        let at = format!("{at}.env[{index}]");
        let name = text(variable, "/name");
        if name.is_empty() {
            errors.push(FieldError::required(format!("{at}.name"), ""));
        } else {
            errors.rule(format!("{at}.name"), name, names::check_environment_name);
        }
        if present(variable, "/valueFrom") {
            validate_value_source(variable, &format!("{at}.valueFrom"), errors);
        }
    }
    for (index, source) in list(container, "/envFrom").iter().enumerate() {
        let at = format!("{at}.envFrom[{index}]");
        let kinds =
            ["configMapRef", "secretRef"].map(|kind| (kind, present(source, &format!("/{kind}"))));
        match kinds.iter().filter(|(_, given)| *given).count() {
            0 => errors.push(FieldError::invalid(
                &at,
                source,
                "must specify one of: `configMapRef` or `secretRef`",
            )),
            1 => {}
            _ => errors.push(FieldError::invalid(
                &at,
                source,
                "may not have more than one field specified at a time",
            )),
        }
        for (kind, _) in kinds.iter().filter(|(_, given)| *given) {
            if text(source, &format!("/{kind}/name")).is_empty() {
                errors.push(FieldError::required(format!("{at}.{kind}.name"), ""));
            }
        }
    }
}

fn validate_value_source(variable: &Value, at: &str, errors: &mut Errors) {
    let source = &variable["valueFrom"];
    if !text(variable, "/value").is_empty() {
        errors.push(FieldError::invalid(
            at,
            source,
            "may not be specified when `value` is not empty",
        ));
    }
    let given: Vec<&String> = source
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
        .map(|(kind, _)| kind)
        .collect();
    match given.as_slice() {
        [] => {
            let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            errors.push(FieldError::invalid(at, source, detail));
        }
        [kind] if *kind == "fieldRef" => {
            let path = text(source, "/fieldRef/fieldPath");
            let one_of_map = ["metadata.labels['", "metadata.annotations['"]
                .iter()
                .filter_map(|start| path.strip_prefix(start)?.strip_suffix("']"))
                .any(|key| names::check_qualified(key).is_ok());
            if path.is_empty() {
                errors.push(FieldError::required(format!("{at}.fieldRef.fieldPath"), ""));
            } else if !one_of_map {
                errors.one_of(format!("{at}.fieldRef.fieldPath"), path, &FIELD_PATHS);
            }
        }
        [kind] if *kind == "configMapKeyRef" || *kind == "secretKeyRef" => {
            for field in ["name", "key"] {
                if text(source, &format!("/{kind}/{field}")).is_empty() {
                    errors.push(FieldError::required(format!("{at}.{kind}.{field}"), ""));
                }
            }
        }
        [kind] if *kind == "resourceFieldRef" => {
            resource_reference(&source[*kind], &format!("{at}.{kind}"), errors);
        }
        [kind] if *kind == "fileKeyRef" => {
            for field in ["volumeName", "path", "key"] {
                if text(source, &format!("/{kind}/{field}")).is_empty() {
                    errors.push(FieldError::required(format!("{at}.{kind}.{field}"), ""));
                }
            }
            let path = text(source, "/fileKeyRef/path");
            let climbs = path.split('/').any(|part| part == "..");
            if path.starts_with('/') || climbs {
                let detail = "must be a relative path without '..'";
                errors.push(FieldError::invalid(
                    format!("{at}.{kind}.path"),
                    &path.into(),
                    detail,
                ));
            }
        }
        [_] => {}
        _ => errors.push(FieldError::invalid(
            at,
            source,
            "may not have more than one field specified at a time",
        )),
    }
}

/// Upstream's `validateContainerResourceFieldSelector` for variables.
fn resource_reference(reference: &Value, at: &str, errors: &mut Errors) {
    const CPU: [&str; 2] = ["1m", "1"];
    const BYTES: [&str; 13] = [
        "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
    ];
    let resource = text(reference, "/resource");
    let (kind, name) = resource.split_once('.').unwrap_or_default();
    let huge_pages = name.starts_with("hugepages-");
    if resource.is_empty() {
        errors.push(FieldError::required(format!("{at}.resource"), ""));
    } else if !matches!(kind, "limits" | "requests")
        || !(huge_pages || matches!(name, "cpu" | "memory" | "ephemeral-storage"))
    {
        let known = [
            "limits.cpu",
            "limits.ephemeral-storage",
            "limits.memory",
            "requests.cpu",
            "requests.ephemeral-storage",
            "requests.memory",
        ];
        errors.one_of(format!("{at}.resource"), resource, &known);
    }
    // 0 is what Go's JSON writes where nothing was said.
    let divisor = match &reference["divisor"] {
        Value::Null => return,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let known: &[&str] = if name == "cpu" { &CPU } else { &BYTES };
    if !known.contains(&divisor.as_str()) && divisor != "0" {
        let detail = format!(
            "only divisor's values {} are supported with this resource",
            known.join(", ")
        );
        errors.push(FieldError::invalid(
            format!("{at}.divisor"),
            &divisor.into(),
            detail,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields() {
        for (change, want) in [
            (json!({}), ""),
            (json!({"name": null}), "name"),
            (json!({"name": "a.b"}), "name"),
            (json!({"image": ""}), "image"),
            (json!({"imagePullPolicy": "Maybe"}), "imagePullPolicy"),
            (
                json!({"ports": [{"containerPort": 70000, "protocol": "TCP"}]}),
                "ports[0].containerPort",
            ),
            (
                json!({"ports": [{"containerPort": 1, "protocol": "TCP", "name": "1"}]}),
                "ports[0].name",
            ),
            (json!({"env": [{"name": "A=B"}]}), "env[0].name"),
            (
                json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]}),
                "env[0].valueFrom.fieldRef.fieldPath",
            ),
            (
                json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}}]}),
                "",
            ),
            (
                json!({"env": [{"name": "A", "valueFrom": {}}]}),
                "env[0].valueFrom",
            ),
            (
                json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a"}}}]}),
                "env[0].valueFrom.secretKeyRef.key",
            ),
            (
                json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}}]}),
                "",
            ),
            (
                json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.disk"}}}]}),
                "env[0].valueFrom.resourceFieldRef.resource",
            ),
            (
                json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1m"}}}]}),
                "env[0].valueFrom.resourceFieldRef.divisor",
            ),
            (
                json!({"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "a/../b", "key": "K"}}}]}),
                "env[0].valueFrom.fileKeyRef.path",
            ),
            (json!({"envFrom": [{"prefix": "A"}]}), "envFrom[0]"),
            (
                json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}]}),
                "",
            ),
            (
                json!({"volumeMounts": [{"name": "w", "mountPath": "/a"}]}),
                "volumeMounts[0].name",
            ),
            (
                json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]}),
                "volumeMounts[1].mountPath",
            ),
            (
                json!({"resources": {"limits": {"cpu": "1x"}}}),
                "resources.limits[cpu]",
            ),
            (
                json!({"resources": {"limits": {"cpu": "-1"}}}),
                "resources.limits[cpu]",
            ),
            (
                json!({"resources": {"limits": {"disk": "1"}}}),
                "resources.limits[disk]",
            ),
            (
                json!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}),
                "resources.requests",
            ),
            (
                json!({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false}}),
                "securityContext",
            ),
        ] {
            let mut container = json!({"name": "a", "image": "b", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"});
            json_patch::merge(&mut container, &change);
            let mut errors = Errors::default();
            validate(
                &json!({"spec": {"containers": [container]}}),
                &HashSet::from(["v"]),
                &mut errors,
            );
            let found: Vec<&str> = errors
                .list
                .iter()
                .filter_map(|e| e.field.strip_prefix("spec.containers[0]."))
                .collect();
            assert_eq!(found.join(" "), want, "{change}");
        }
    }
}
