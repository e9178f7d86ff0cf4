//! Pod fields this version does not act on, in one table: implementing one deletes its row.

use crate::api::kinds::FieldError;
use crate::object::access::{list, truth};
use serde_json::Value;

/// Whether a value would change behaviour.
type Asked = fn(&Value) -> bool;

/// There, and neither empty nor false: an empty list or object asks for nothing.
fn given(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}
/// There at all: the presence of the field already chooses something.
fn named(value: &Value) -> bool {
    !value.is_null()
}
fn not_linux(value: &Value) -> bool {
    given(value) && value != "linux"
}
fn not_system_class(value: &Value) -> bool {
    given(value) && value != "system-cluster-critical" && value != "system-node-critical"
}

/// Path (`[]`: every item; `a|b`: either field) and what asks for it.
const FIELDS: &[(&str, Asked)] = &[
    ("spec.os.name", not_linux),
    ("spec.overhead", given),
    ("spec.priorityClassName", not_system_class),
    ("spec.resourceClaims", given),
    ("spec.runtimeClassName", given),
    ("spec.schedulingGroup", given),
    ("spec.workloadRef", given),
    ("spec.securityContext.seLinuxChangePolicy", given),
    ("spec.securityContext.seLinuxOptions", given),
    ("spec.securityContext.windowsOptions", given),
    ("spec.initContainers|containers[].resources.claims", given),
    (
        "spec.initContainers|containers[].securityContext.seLinuxOptions",
        given,
    ),
    (
        "spec.initContainers|containers[].securityContext.windowsOptions",
        given,
    ),
    ("spec.initContainers|containers[].volumeDevices", given),
    ("spec.volumes[].awsElasticBlockStore", named),
    ("spec.volumes[].azureDisk", named),
    ("spec.volumes[].azureFile", named),
    ("spec.volumes[].cephfs", named),
    ("spec.volumes[].cinder", named),
    ("spec.volumes[].csi", named),
    ("spec.volumes[].fc", named),
    ("spec.volumes[].flexVolume", named),
    ("spec.volumes[].flocker", named),
    ("spec.volumes[].gcePersistentDisk", named),
    ("spec.volumes[].gitRepo", named),
    ("spec.volumes[].glusterfs", named),
    ("spec.volumes[].iscsi", named),
    ("spec.volumes[].nfs", named),
    ("spec.volumes[].photonPersistentDisk", named),
    ("spec.volumes[].portworxVolume", named),
    (
        "spec.volumes[].projected.sources[].clusterTrustBundle",
        named,
    ),
    ("spec.volumes[].projected.sources[].podCertificate", named),
    ("spec.volumes[].quobyte", named),
    ("spec.volumes[].rbd", named),
    ("spec.volumes[].scaleIO", named),
    ("spec.volumes[].storageos", named),
    ("spec.volumes[].vsphereVolume", named),
];

const DETAIL: &str = "not supported by this version of Coracle";

/// Whether `path` stands in the table.
pub fn is_listed(path: &str) -> bool {
    FIELDS.iter().any(|(listed, _)| *listed == path)
}

/// Every use of a field that is not acted on.
pub fn find(pod: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (path, asked) in FIELDS {
        // What no other container has, a debug container has not either.
        let path = path.replace(
            "initContainers|containers[]",
            "initContainers|containers|ephemeralContainers[]",
        );
        let segments: Vec<&str> = path.split('.').collect();
        walk(pod, &segments, String::new(), *asked, &mut errors);
    }
    host_ports(pod, &mut errors);
    errors
}

fn walk(value: &Value, segments: &[&str], at: String, asked: Asked, errors: &mut Vec<FieldError>) {
    let Some((segment, rest)) = segments.split_first() else {
        if asked(value) {
            errors.push(FieldError::forbidden(at, DETAIL));
        }
        return;
    };
    let (names, each) = match segment.strip_suffix("[]") {
        Some(names) => (names, true),
        None => (*segment, false),
    };
    for name in names.split('|') {
        let Some(field) = value.get(name) else {
            continue;
        };
        let path = if at.is_empty() {
            name.to_owned()
        } else {
            format!("{at}.{name}")
        };
        if each {
            for (index, item) in field.as_array().into_iter().flatten().enumerate() {
                walk(item, rest, format!("{path}[{index}]"), asked, errors);
            }
        } else {
            walk(field, rest, path, asked, errors);
        }
    }
}

/// Host ports need port mapping, except in the host's own network, where they map to themselves.
fn host_ports(pod: &Value, errors: &mut Vec<FieldError>) {
    if truth(pod, "/spec/hostNetwork") {
        return;
    }
    for group in ["initContainers", "containers"] {
        for (index, container) in list(pod, &format!("/spec/{group}")).iter().enumerate() {
            for (number, port) in list(container, "/ports").iter().enumerate() {
                if port["hostPort"].as_i64().unwrap_or_default() != 0 {
                    let field = format!("spec.{group}[{index}].ports[{number}].hostPort");
                    errors.push(FieldError::forbidden(field, DETAIL));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_each_use() {
        let pod = json!({"spec": {
            "affinity": {}, "hostUsers": true, "shareProcessNamespace": false,
            "resourceClaims": [{}],
            "securityContext": {"seLinuxOptions": {"level": "x"}},
            "initContainers": [{"volumeDevices": [1]}],
            "containers": [{"ports": [{"hostPort": 80}]}, {"volumeDevices": [{}]}],
            "volumes": [{"emptyDir": {}}, {"nfs": {}}],
        }});
        let errors = find(&pod);
        let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.resourceClaims",
                "spec.securityContext.seLinuxOptions",
                "spec.initContainers[0].volumeDevices",
                "spec.containers[1].volumeDevices",
                "spec.volumes[1].nfs",
                "spec.containers[0].ports[0].hostPort",
            ]
        );
        assert_eq!(
            errors[0].message,
            "Forbidden: not supported by this version of Coracle"
        );
    }
}
