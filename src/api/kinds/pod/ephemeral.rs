//! Debug containers: what they may have, and that they are only ever added.
//! <https://kubernetes.io/docs/concepts/workloads/pods/ephemeral-containers/>

use super::containers::validate_common;
use crate::api::kinds::FieldError;
use crate::api::kinds::errors::Errors;
use crate::api::kinds::status::put;
use crate::object::access::{list, present, text};
use crate::object::names;
use serde_json::Value;
use std::collections::HashSet;

/// Upstream's `allowedEphemeralContainerFields`, and the target.
const FIELDS: [&str; 17] = [
    "name",
    "image",
    "command",
    "args",
    "workingDir",
    "envFrom",
    "env",
    "volumeMounts",
    "volumeDevices",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "imagePullPolicy",
    "securityContext",
    "stdin",
    "stdinOnce",
    "tty",
    "targetContainerName",
];
const DETAIL: &str = "cannot be set for an Ephemeral Container";
const MIRROR: &str = "/metadata/annotations/kubernetes.io~1config.mirror";

pub fn validate(pod: &Value, volumes: &HashSet<&str>, errors: &mut Errors) {
    let named = |group: &str| {
        list(pod, group)
            .iter()
            .map(|c| text(c, "/name"))
            .collect::<Vec<_>>()
    };
    let others = [named("/spec/initContainers"), named("/spec/containers")].concat();
    let mut seen: HashSet<&str> = others.iter().copied().collect();
    for (index, container) in list(pod, "/spec/ephemeralContainers").iter().enumerate() {
        let at = format!("spec.ephemeralContainers[{index}]");
        let name = text(container, "/name");
        if name.is_empty() {
            errors.push(FieldError::required(format!("{at}.name"), ""));
        } else {
            errors.rule(format!("{at}.name"), name, names::check_label);
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(format!("{at}.name"), &name.into()));
            }
        }
        validate_common(container, &at, volumes, errors);
        let target = text(container, "/targetContainerName");
        if !target.is_empty() && !others.contains(&target) {
            errors.push(FieldError::not_found(
                format!("{at}.targetContainerName"),
                &target.into(),
            ));
        }
        for (field, value) in container.as_object().into_iter().flatten() {
            let empty = match value {
                Value::Null => true,
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                _ => false,
            };
            if !empty && !FIELDS.contains(&field.as_str()) {
                errors.push(FieldError::forbidden(format!("{at}.{field}"), DETAIL));
            }
        }
        for (number, mount) in list(container, "/volumeMounts").iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !text(mount, &format!("/{field}")).is_empty() {
                    let at = format!("{at}.volumeMounts[{number}].{field}");
                    errors.push(FieldError::forbidden(at, DETAIL));
                }
            }
        }
    }
}

/// Of `object` only the debug containers are taken.
pub fn only_containers(old: &Value, object: &mut Value) {
    let mut take = |pointer| object.pointer_mut(pointer).map_or(Value::Null, Value::take);
    // The client's precondition stays.
    let (wanted, revision) = (
        take("/spec/ephemeralContainers"),
        take("/metadata/resourceVersion"),
    );
    *object = old.clone();
    if let Some(metadata) = object.get_mut("metadata") {
        put(metadata, "resourceVersion", revision);
    }
    if let Some(spec) = object.get_mut("spec") {
        put(spec, "ephemeralContainers", wanted);
    }
}

/// Those that are there stay as they are.
pub fn validate_update(old: &Value, object: &Value) -> Vec<FieldError> {
    if present(old, MIRROR) {
        let detail = "static pods do not support ephemeral containers";
        return vec![FieldError::forbidden("spec.ephemeralContainers", detail)];
    }
    let now = list(object, "/spec/ephemeralContainers");
    let mut errors = Vec::new();
    for container in list(old, "/spec/ephemeralContainers") {
        let name = text(container, "/name");
        let problem = match now.iter().find(|c| text(c, "/name") == name) {
            None => "removed",
            Some(same) if same != container => "changed",
            Some(_) => continue,
        };
        let detail = format!("existing ephemeral containers {name:?} may not be {problem}");
        errors.push(FieldError::forbidden("spec.ephemeralContainers", detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn debug(change: Value) -> Value {
        let mut container = json!({"name": "d", "image": "b", "imagePullPolicy": "Always", "terminationMessagePolicy": "File", "resources": {}});
        json_patch::merge(&mut container, &change);
        container
    }

    #[test]
    fn fields() {
        for (change, want) in [
            (json!({}), ""),
            (
                json!({"targetContainerName": "a", "stdin": true, "tty": true}),
                "",
            ),
            (json!({"name": "a"}), "name"),
            (json!({"image": ""}), "image"),
            (json!({"targetContainerName": "x"}), "targetContainerName"),
            (json!({"ports": [{"containerPort": 80}]}), "ports"),
            (
                json!({"livenessProbe": {"exec": {"command": ["x"]}}}),
                "livenessProbe",
            ),
            (json!({"lifecycle": {"stopSignal": "SIGTERM"}}), "lifecycle"),
            (json!({"resources": {"limits": {"cpu": "1"}}}), "resources"),
            (json!({"restartPolicy": "Always"}), "restartPolicy"),
            (
                json!({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "x"}]}),
                "volumeMounts[0].subPath",
            ),
        ] {
            let pod = json!({"spec": {"containers": [{"name": "a"}], "ephemeralContainers": [debug(change.clone())]}});
            let mut errors = Errors::default();
            validate(&pod, &HashSet::from(["v"]), &mut errors);
            let found: Vec<String> = errors
                .list
                .into_iter()
                .map(|e| e.field.replace("spec.ephemeralContainers[0].", ""))
                .collect();
            assert_eq!(found.join(" "), want, "{change}");
        }
    }

    #[test]
    fn only_additions() {
        let pod = |containers: Value, more: Value| {
            let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [], "ephemeralContainers": containers}});
            json_patch::merge(&mut pod, &more);
            pod
        };
        let (d, e) = (debug(json!({})), debug(json!({"name": "e"})));
        let old = pod(json!([d]), json!({}));
        for (containers, count) in [
            (json!([d]), 0),
            (json!([e, d]), 0),
            (json!([]), 1),
            (json!([debug(json!({"image": "c"}))]), 1),
        ] {
            assert_eq!(
                validate_update(&old, &pod(containers, json!({}))).len(),
                count
            );
        }
        let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
        assert_eq!(
            validate_update(&pod(json!([]), mirror), &pod(json!([d]), json!({}))).len(),
            1
        );
        let mut sent = json!({"metadata": {"name": "p", "resourceVersion": "7", "labels": {"a": "b"}}, "spec": {"containers": [1], "ephemeralContainers": [d, e]}});
        only_containers(&old, &mut sent);
        assert_eq!(
            sent,
            json!({"metadata": {"name": "p", "resourceVersion": "7"}, "spec": {"containers": [], "ephemeralContainers": [d, e]}})
        );
    }
}
