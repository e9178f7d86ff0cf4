//! Validation of `metadata`, alike for every kind but for the rule of its name.

use super::FieldError;
use super::errors::{Errors, IMMUTABLE};
use crate::object::access::{list, map, text};
use crate::object::names;
use serde_json::Value;

/// Upstream's `TotalAnnotationSizeLimitB`.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// The name follows `name_rule`; labels, annotations, finalizers and owners are well-formed.
pub fn validate(object: &Value, name_rule: fn(&str) -> Result<(), String>) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let (name, prefix) = (
        text(object, "/metadata/name"),
        text(object, "/metadata/generateName"),
    );
    if name.is_empty() {
        if prefix.is_empty() {
            errors.push(FieldError::required(
                "metadata.name",
                "name or generateName is required",
            ));
        }
    } else {
        errors.rule("metadata.name", name, name_rule);
    }
    for (key, value) in map(object, "/metadata/labels") {
        errors.rule("metadata.labels", key, names::check_qualified);
        errors.rule(
            "metadata.labels",
            value.as_str().unwrap_or_default(),
            names::check_label_value,
        );
    }
    let mut annotations_bytes = 0;
    for (key, value) in map(object, "/metadata/annotations") {
        annotations_bytes += key.len() + value.as_str().unwrap_or_default().len();
        errors.rule(
            "metadata.annotations",
            &key.to_lowercase(),
            names::check_qualified,
        );
    }
    if annotations_bytes > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(
            "metadata.annotations",
            ANNOTATIONS_BYTES_MAX,
        ));
    }
    for finalizer in list(object, "/metadata/finalizers") {
        let finalizer = finalizer.as_str().unwrap_or_default();
        errors.rule("metadata.finalizers", finalizer, names::check_qualified);
    }
    let mut controllers = 0;
    for (index, owner) in list(object, "/metadata/ownerReferences").iter().enumerate() {
        for part in ["apiVersion", "kind", "name", "uid"] {
            if owner[part].as_str().unwrap_or_default().is_empty() {
                let field = format!("metadata.ownerReferences[{index}].{part}");
                errors.push(FieldError::invalid(
                    field,
                    &owner[part],
                    "must not be empty",
                ));
            }
        }
        controllers += usize::from(owner["controller"] == true);
    }
    if controllers > 1 {
        errors.push(FieldError::invalid(
            "metadata.ownerReferences",
            &object["metadata"]["ownerReferences"],
            "Only one reference can have Controller set to true",
        ));
    }
    errors.list
}

/// What identifies an object may not change.
pub fn validate_update(old: &Value, object: &Value) -> Vec<FieldError> {
    ["name", "namespace", "uid", "creationTimestamp"]
        .into_iter()
        .filter(|part| {
            let (before, after) = (&old["metadata"][*part], &object["metadata"][*part]);
            // Left out of an update is unchanged: the registry fills it in.
            !after.is_null() && before != after
        })
        .map(|part| {
            FieldError::invalid(
                format!("metadata.{part}"),
                &object["metadata"][part],
                IMMUTABLE,
            )
        })
        .collect()
}
