//! ConfigMaps.

use super::errors::Errors;
use super::{FieldError, Strategy, metadata};
use crate::object::access::{map, truth};
use crate::object::names;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Upstream's `MaxSecretSize`, which also bounds ConfigMaps: 1 MiB of values.
pub const DATA_BYTES_MAX: usize = 1024 * 1024;

pub struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_subdomain),
        };
        let (data, binary) = (map(object, "/data"), map(object, "/binaryData"));
        let mut bytes = 0;
        for (key, value) in data {
            errors.rule(format!("data[{key}]"), key, names::check_data_key);
            if binary.contains_key(key) {
                let detail = "duplicate of key present in binaryData";
                errors.push(FieldError::invalid(
                    format!("data[{key}]"),
                    &key.as_str().into(),
                    detail,
                ));
            }
            bytes += value.as_str().unwrap_or_default().len();
        }
        bytes += base64_bytes(object, "binaryData", &mut errors);
        if bytes > DATA_BYTES_MAX {
            errors.push(FieldError::too_long("", DATA_BYTES_MAX));
        }
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        errors.extend(validate_immutable(old, object, &["data", "binaryData"]));
        errors
    }
}

/// Checks keys and values of a map of base64 strings; the size of its values.
pub fn base64_bytes(object: &Value, field: &str, errors: &mut Errors) -> usize {
    let mut bytes = 0;
    for (key, value) in map(object, &format!("/{field}")) {
        errors.rule(format!("{field}[{key}]"), key, names::check_data_key);
        match STANDARD.decode(value.as_str().unwrap_or_default()) {
            Ok(decoded) => bytes += decoded.len(),
            Err(problem) => {
                let detail = format!("must be base64: {problem}");
                // The value itself may be secret: it is not repeated.
                errors.push(FieldError::invalid(
                    format!("{field}[{key}]"),
                    &"<omitted>".into(),
                    detail,
                ));
            }
        }
    }
    bytes
}

/// `immutable: true` holds `fields`, and itself.
pub fn validate_immutable(old: &Value, object: &Value, fields: &[&str]) -> Vec<FieldError> {
    if !truth(old, "/immutable") {
        return Vec::new();
    }
    let detail = "field is immutable when `immutable` is set";
    let mut errors = Vec::new();
    if !truth(object, "/immutable") {
        errors.push(FieldError::forbidden("immutable", detail));
    }
    for field in fields {
        let pointer = format!("/{field}");
        if map(old, &pointer) != map(object, &pointer) {
            errors.push(FieldError::forbidden(*field, detail));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn data() {
        let errors = |more: Value| {
            let mut object = json!({"metadata": {"name": "a"}});
            json_patch::merge(&mut object, &more);
            ConfigMap
                .validate(&object)
                .into_iter()
                .map(|e| e.field)
                .collect::<Vec<_>>()
        };
        assert!(errors(json!({"data": {"a": "b"}, "binaryData": {"c": "AA=="}})).is_empty());
        assert_eq!(errors(json!({"data": {"a/b": ""}})), ["data[a/b]"]);
        assert_eq!(
            errors(json!({"data": {"a": ""}, "binaryData": {"a": ""}})),
            ["data[a]"]
        );
        assert_eq!(errors(json!({"binaryData": {"a": "?"}})), ["binaryData[a]"]);
        assert_eq!(
            errors(json!({"data": {"a": "x".repeat(DATA_BYTES_MAX + 1)}})),
            [""]
        );
    }

    #[test]
    fn immutable() {
        let old = json!({"metadata": {"name": "a"}, "immutable": true, "data": {"a": "b"}});
        assert_eq!(ConfigMap.validate_update(&old, &old), []);
        let errors = ConfigMap.validate_update(
            &old,
            &json!({"metadata": {"name": "a"}, "data": {"a": "c"}}),
        );
        assert_eq!(
            errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(),
            ["immutable", "data"]
        );
    }
}
