//! Validation of a pod's volumes.

use crate::api::kinds::FieldError;
use crate::api::kinds::errors::Errors;
use crate::object::access::{list, text};
use crate::object::names;
use serde_json::Value;
use std::collections::HashSet;

const HOST_PATH_TYPES: [&str; 8] = [
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
        "configMap" | "secret" => {
            let field = if source == "secret" {
                "secretName"
            } else {
                "name"
            };
            if text(source_value, &format!("/{field}")).is_empty() {
                errors.push(FieldError::required(format!("{at}.{field}"), ""));
            }
            mode(
                format!("{at}.defaultMode"),
                &source_value["defaultMode"],
                errors,
            );
            for (index, item) in list(source_value, "/items").iter().enumerate() {
                let at = format!("{at}.items[{index}]");
                if text(item, "/key").is_empty() {
                    errors.push(FieldError::required(format!("{at}.key"), ""));
                }
                let path = text(item, "/path");
                if path.is_empty() {
                    errors.push(FieldError::required(format!("{at}.path"), ""));
                } else if path.starts_with('/') {
                    errors.push(FieldError::invalid(
                        format!("{at}.path"),
                        &path.into(),
                        "must be a relative path",
                    ));
                } else if path.starts_with("..") {
                    errors.push(FieldError::invalid(
                        format!("{at}.path"),
                        &path.into(),
                        "must not start with '..'",
                    ));
                } else {
                    no_climbing(format!("{at}.path"), path, errors);
                }
                mode(format!("{at}.mode"), &item["mode"], errors);
            }
        }
        _ => {}
    }
}

fn no_climbing(field: String, path: &str, errors: &mut Errors) {
    if path.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(
            field,
            &path.into(),
            "must not contain '..'",
        ));
    }
}

fn mode(field: String, value: &Value, errors: &mut Errors) {
    if !value.is_null()
        && !value
            .as_i64()
            .is_some_and(|mode| (0..=0o777).contains(&mode))
    {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(field, value, detail));
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
