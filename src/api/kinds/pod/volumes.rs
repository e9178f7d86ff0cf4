//! Validation of a pod's volumes.

use super::files;
use crate::api::kinds::errors::Errors;
use crate::api::kinds::{FieldError, persistent_volume_claim};
use crate::object::access::{list, present, text};
use crate::object::names;
use crate::object::quantity::Quantity;
use serde_json::Value;
use std::collections::HashSet;

pub const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// Checks the volumes; their names, for the mounts to refer to.
pub fn validate<'a>(pod: &'a Value, errors: &mut Errors) -> HashSet<&'a str> {
    group(pod, errors);
    let mut seen = HashSet::new();
    for (index, volume) in list(pod, "/spec/volumes").iter().enumerate() {
        let at = format!("spec.volumes[{index}]");
        let name = text(volume, "/name");
        if name.is_empty() {
            errors.push(FieldError::required(format!("{at}.name"), ""));
        } else {
            errors.rule(format!("{at}.name"), name, names::check_label);
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(format!("{at}.name"), &name.into()));
            }
        }
        let sources: Vec<&String> = volume
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, value)| *key != "name" && !value.is_null())
            .map(|(key, _)| key)
            .collect();
        match sources.as_slice() {
            [] => errors.push(FieldError::required(at, "must specify a volume type")),
            [source] => validate_source(volume, source, &at, errors),
            [_, rest @ ..] => {
                for source in rest {
                    let detail = "may not specify more than 1 volume type";
                    errors.push(FieldError::forbidden(format!("{at}.{source}"), detail));
                }
            }
        }
    }
    seen
}

fn validate_source(volume: &Value, source: &str, at: &str, errors: &mut Errors) {
    let at = format!("{at}.{source}");
    let source_value = &volume[source];
    match source {
        "hostPath" => {
            let path = text(source_value, "/path");
            if path.is_empty() {
                errors.push(FieldError::required(format!("{at}.path"), ""));
            } else {
                no_climbing(format!("{at}.path"), path, errors);
            }
            errors.one_of(
                format!("{at}.type"),
                text(source_value, "/type"),
                &HOST_PATH_TYPES,
            );
        }
        "emptyDir" => empty_dir(source_value, &at, errors),
        "configMap" | "secret" => {
            let field = if source == "secret" {
                "secretName"
            } else {
                "name"
            };
            if text(source_value, &format!("/{field}")).is_empty() {
                errors.push(FieldError::required(format!("{at}.{field}"), ""));
            }
            files::modes(source_value, &at, errors);
            files::items(source_value, &at, errors);
        }
        "downwardAPI" => {
            files::modes(source_value, &at, errors);
            files::fields(source_value, &at, errors);
        }
        "projected" => files::projected(source_value, &at, errors),
        "image" => {
            if text(source_value, "/reference").is_empty() {
                errors.push(FieldError::required(format!("{at}.reference"), ""));
            }
            let policies = ["Always", "IfNotPresent", "Never"];
            let policy = text(source_value, "/pullPolicy");
            errors.one_of(format!("{at}.pullPolicy"), policy, &policies);
        }
        "ephemeral" => {
            let at = format!("{at}.volumeClaimTemplate");
            if present(source_value, "/volumeClaimTemplate") {
                let spec = &source_value["volumeClaimTemplate"]["spec"];
                persistent_volume_claim::validate_spec(spec, &format!("{at}.spec"), errors);
            } else {
                errors.push(FieldError::required(at, ""));
            }
        }
        "persistentVolumeClaim" if text(source_value, "/claimName").is_empty() => {
            errors.push(FieldError::required(format!("{at}.claimName"), ""));
        }
        _ => {}
    }
}

/// Upstream's `validateEmptyDirVolumeSource`.
fn empty_dir(source: &Value, at: &str, errors: &mut Errors) {
    if present(source, "/sizeLimit") {
        let limit = Quantity::parse(text(source, "/sizeLimit"));
        if !limit.is_ok_and(|limit| limit.nano >= 0) {
            let detail = "SizeLimit field must be a valid resource quantity";
            errors.push(FieldError::forbidden(format!("{at}.sizeLimit"), detail));
        }
    }
    let medium = text(source, "/medium");
    if !matches!(medium, "" | "Memory") && !medium.starts_with("HugePages") {
        let known = ["", "HugePages", "HugePages-<size>", "Memory"];
        errors.push(FieldError::not_supported(
            format!("{at}.medium"),
            medium,
            &known,
        ));
    }
    if present(source, "/mode") {
        let mode = source["mode"].as_i64();
        if !mode.is_some_and(|mode| (0..=0o1777).contains(&mode)) {
            let detail = "must be a number between 0 and 01777 (octal), both inclusive";
            errors.push(FieldError::invalid(
                format!("{at}.mode"),
                &source["mode"],
                detail,
            ));
        }
    }
}

/// How volumes are given to the pod's group.
fn group(pod: &Value, errors: &mut Errors) {
    let policy = "/spec/securityContext/fsGroupChangePolicy";
    if present(pod, policy) {
        let policies = ["Always", "OnRootMismatch"];
        let field = "spec.securityContext.fsGroupChangePolicy";
        errors.one_of(field, text(pod, policy), &policies);
    }
    let group = &pod["spec"]["securityContext"]["fsGroup"];
    if !group.is_null() {
        let field = "spec.securityContext.fsGroup";
        errors.range(field, group, 0..=super::security::ID_MAX);
    }
}

pub fn no_climbing(field: String, path: &str, errors: &mut Errors) {
    if path.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(
            field,
            &path.into(),
            "must not contain '..'",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn volumes() {
        for (volume, want) in [
            (json!({"name": "a", "emptyDir": {}}), ""),
            (json!({"emptyDir": {}}), "spec.volumes[0].name"),
            (json!({"name": "a"}), "spec.volumes[0]"),
            (
                json!({"name": "a", "emptyDir": {}, "hostPath": {"path": "/x"}}),
                "spec.volumes[0].hostPath",
            ),
            (
                json!({"name": "a", "hostPath": {"path": "/x/../y"}}),
                "spec.volumes[0].hostPath.path",
            ),
            (
                json!({"name": "a", "hostPath": {"path": "/x", "type": "Pipe"}}),
                "spec.volumes[0].hostPath.type",
            ),
            (
                json!({"name": "a", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi", "mode": 0o755}}),
                "",
            ),
            (
                json!({"name": "a", "emptyDir": {"medium": "Tape", "sizeLimit": "-1", "mode": 0o2000}}),
                "spec.volumes[0].emptyDir.sizeLimit spec.volumes[0].emptyDir.medium spec.volumes[0].emptyDir.mode",
            ),
            (
                json!({"name": "a", "image": {"reference": "x", "pullPolicy": "Often"}}),
                "spec.volumes[0].image.pullPolicy",
            ),
            (
                json!({"name": "a", "persistentVolumeClaim": {}}),
                "spec.volumes[0].persistentVolumeClaim.claimName",
            ),
            (
                json!({"name": "a", "secret": {}}),
                "spec.volumes[0].secret.secretName",
            ),
            (
                json!({"name": "a", "configMap": {"name": "c", "defaultMode": 512}}),
                "spec.volumes[0].configMap.defaultMode",
            ),
            (
                json!({"name": "a", "configMap": {"name": "c", "items": [{"key": "k", "path": "../x"}]}}),
                "spec.volumes[0].configMap.items[0].path",
            ),
        ] {
            let mut errors = Errors::default();
            validate(&json!({"spec": {"volumes": [volume]}}), &mut errors);
            let found: Vec<String> = errors.list.into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{volume}");
        }
        let mut errors = Errors::default();
        validate(
            &json!({"spec": {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]}}),
            &mut errors,
        );
        assert_eq!(errors.list[0].reason, "FieldValueDuplicate");
    }
}
