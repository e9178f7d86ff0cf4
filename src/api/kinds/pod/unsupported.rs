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
fn not_none(value: &Value) -> bool {
    given(value) && value != "None"
}
fn not_disabled(value: &Value) -> bool {
    given(value) && value != "Disabled"
}
fn not_linux(value: &Value) -> bool {
    given(value) && value != "linux"
}
fn not_system_class(value: &Value) -> bool {
    given(value) && value != "system-cluster-critical" && value != "system-node-critical"
}

/// Path (`[]`: every item; `a|b`: either field) and what asks for it.
const FIELDS: &[(&str, Asked)] = &[
    ("spec.activeDeadlineSeconds", named),
    ("spec.affinity", given),
    ("spec.ephemeralContainers", given),
    ("spec.os.name", not_linux),
    ("spec.overhead", given),
    ("spec.priorityClassName", not_system_class),
    ("spec.readinessGates", given),
    ("spec.resourceClaims", given),
    ("spec.resources", given),
    ("spec.runtimeClassName", given),
    ("spec.schedulingGates", given),
    ("spec.schedulingGroup", given),
    ("spec.topologySpreadConstraints", given),
    ("spec.workloadRef", given),
    ("spec.securityContext.fsGroup", named),
    ("spec.securityContext.fsGroupChangePolicy", given),
    ("spec.securityContext.seLinuxChangePolicy", given),
    ("spec.securityContext.seLinuxOptions", given),
    ("spec.securityContext.windowsOptions", given),
    ("spec.initContainers|containers[].lifecycle", given),
    ("spec.initContainers|containers[].livenessProbe", named),
    ("spec.initContainers|containers[].readinessProbe", named),
    ("spec.initContainers|containers[].resizePolicy", given),
    ("spec.initContainers|containers[].resources.claims", given),
    ("spec.initContainers|containers[].restartPolicy", given),
    ("spec.initContainers|containers[].restartPolicyRules", given),
    (
        "spec.initContainers|containers[].securityContext.seLinuxOptions",
        given,
    ),
    (
        "spec.initContainers|containers[].securityContext.windowsOptions",
        given,
    ),
    ("spec.initContainers|containers[].startupProbe", named),
    ("spec.initContainers|containers[].stdinOnce", given),
    ("spec.initContainers|containers[].volumeDevices", given),
    (
        "spec.initContainers|containers[].volumeMounts[].mountPropagation",
        not_none,
    ),
    (
        "spec.initContainers|containers[].volumeMounts[].recursiveReadOnly",
        not_disabled,
    ),
    (
        "spec.initContainers|containers[].volumeMounts[].subPath",
        given,
    ),
    (
        "spec.initContainers|containers[].volumeMounts[].subPathExpr",
        given,
    ),
    ("spec.volumes[].awsElasticBlockStore", named),
    ("spec.volumes[].azureDisk", named),
    ("spec.volumes[].azureFile", named),
    ("spec.volumes[].cephfs", named),
    ("spec.volumes[].cinder", named),
    ("spec.volumes[].csi", named),
    ("spec.volumes[].downwardAPI", named),
    ("spec.volumes[].emptyDir.medium", given),
    ("spec.volumes[].emptyDir.sizeLimit", named),
    ("spec.volumes[].ephemeral", named),
    ("spec.volumes[].fc", named),
    ("spec.volumes[].flexVolume", named),
    ("spec.volumes[].flocker", named),
    ("spec.volumes[].gcePersistentDisk", named),
    ("spec.volumes[].gitRepo", named),
    ("spec.volumes[].glusterfs", named),
    ("spec.volumes[].image", named),
    ("spec.volumes[].iscsi", named),
    ("spec.volumes[].nfs", named),
    ("spec.volumes[].persistentVolumeClaim", named),
    ("spec.volumes[].photonPersistentDisk", named),
    ("spec.volumes[].portworxVolume", named),
    ("spec.volumes[].projected", named),
    ("spec.volumes[].quobyte", named),
    ("spec.volumes[].rbd", named),
    ("spec.volumes[].scaleIO", named),
    ("spec.volumes[].storageos", named),
    ("spec.volumes[].vsphereVolume", named),
];

const DETAIL: &str = "not supported by this version of Coracle";

/// Every use of a field that is not acted on.
pub fn find(pod: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (path, asked) in FIELDS {
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
            "topologySpreadConstraints": [{}],
            "securityContext": {"fsGroup": 0, "seLinuxOptions": {"level": "x"}},
            "initContainers": [{"restartPolicy": "Always"}],
            "containers": [{"ports": [{"hostPort": 80}]}, {"livenessProbe": {}, "volumeMounts": [{"subPath": ""}, {"subPath": "x"}]}],
            "volumes": [{"emptyDir": {}}, {"persistentVolumeClaim": {}}],
        }});
        let errors = find(&pod);
        let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.topologySpreadConstraints",
                "spec.securityContext.fsGroup",
                "spec.securityContext.seLinuxOptions",
                "spec.containers[1].livenessProbe",
                "spec.initContainers[0].restartPolicy",
                "spec.containers[1].volumeMounts[1].subPath",
                "spec.volumes[1].persistentVolumeClaim",
                "spec.containers[0].ports[0].hostPort",
            ]
        );
        assert_eq!(
            errors[0].message,
            "Forbidden: not supported by this version of Coracle"
        );
    }
}
