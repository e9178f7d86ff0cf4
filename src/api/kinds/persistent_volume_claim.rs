//! Claims of persistent volumes.

use super::errors::Errors;
use super::persistent_volume::{UNSUPPORTED, access_modes, add_finalizer, common, size};
use super::status::{default_to, keep_status, only_status, put};
use super::{FieldError, Strategy, metadata};
use crate::object::access::{present, text};
use crate::object::names;
use crate::object::selector::LabelSelector;
use crate::object::storage::CLAIM_FINALIZER;
use serde_json::{Value, json};

const IMMUTABLE: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

pub struct PersistentVolumeClaim;

impl Strategy for PersistentVolumeClaim {
    fn default(&self, object: &mut Value) {
        super::check::quantities_to_text(object);
        if let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) {
            default_to(spec, "volumeMode", "Filesystem");
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({"phase": "Pending"}));
        add_finalizer(object, CLAIM_FINALIZER);
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
        validate_spec(&object["spec"], "spec", &mut errors);
        errors.list
    }

    /// A class that was left open and a volume may be filled in; nothing grows here.
    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        let mut allowed = object["spec"].clone();
        let before = &old["spec"];
        if before["storageClassName"].is_null() {
            put(&mut allowed, "storageClassName", Value::Null);
        }
        if text(before, "/volumeName").is_empty() {
            put(&mut allowed, "volumeName", before["volumeName"].clone());
        }
        if allowed["resources"] != before["resources"] {
            let detail = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
            errors.push(FieldError::forbidden("spec.resources", detail));
        } else if allowed.as_object().map(sorted) != before.as_object().map(sorted) {
            errors.push(FieldError::forbidden("spec", IMMUTABLE));
        }
        errors
    }
}

/// Without regard to order, and to what is null.
fn sorted(fields: &serde_json::Map<String, Value>) -> std::collections::BTreeMap<&String, &Value> {
    fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .collect()
}

/// Of a claim, or of the template of an ephemeral volume.
pub fn validate_spec(spec: &Value, at: &str, errors: &mut Errors) {
    access_modes(spec, at, errors);
    let request = &spec["resources"]["requests"]["storage"];
    let field = format!("{at}.resources[storage]");
    if request.is_null() {
        errors.push(FieldError::required(field, ""));
    } else {
        size(request, field, errors);
    }
    if present(spec, "/selector")
        && let Err(problem) = LabelSelector::from_json(&spec["selector"])
    {
        let field = format!("{at}.selector");
        errors.push(FieldError::invalid(field, &spec["selector"], problem));
    }
    common(spec, at, errors);
    for field in ["dataSource", "dataSourceRef"] {
        if present(spec, &format!("/{field}")) {
            errors.push(FieldError::forbidden(format!("{at}.{field}"), UNSUPPORTED));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(change: Value) -> Value {
        let mut object = json!({"metadata": {"name": "a"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}});
        json_patch::merge(&mut object["spec"], &change);
        PersistentVolumeClaim.default(&mut object);
        object
    }

    #[test]
    fn fields() {
        for (change, want) in [
            (json!({}), ""),
            (json!({"accessModes": null}), "spec.accessModes"),
            (json!({"resources": null}), "spec.resources[storage]"),
            (
                json!({"resources": {"requests": {"storage": "-1"}}}),
                "spec.resources[storage]",
            ),
            (json!({"selector": {"matchLabels": {"a": "b"}}}), ""),
            (
                json!({"selector": {"matchExpressions": [{"key": "a", "operator": "Odd"}]}}),
                "spec.selector",
            ),
            (
                json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "b"}}),
                "spec.dataSource",
            ),
            (json!({"volumeMode": "Block"}), "spec.volumeMode"),
        ] {
            let errors = PersistentVolumeClaim.validate(&claim(change.clone()));
            let found: Vec<String> = errors.into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{change}");
        }
    }

    #[test]
    fn what_may_change() {
        for (before, after, want) in [
            (json!({}), json!({"storageClassName": "fast"}), ""),
            (
                json!({"storageClassName": ""}),
                json!({"storageClassName": "fast"}),
                "spec",
            ),
            (json!({}), json!({"volumeName": "pv"}), ""),
            (
                json!({"volumeName": "pv"}),
                json!({"volumeName": "other"}),
                "spec",
            ),
            (json!({}), json!({"accessModes": ["ReadOnlyMany"]}), "spec"),
            (
                json!({}),
                json!({"resources": {"requests": {"storage": "2Gi"}}}),
                "spec.resources",
            ),
        ] {
            let errors =
                PersistentVolumeClaim.validate_update(&claim(before), &claim(after.clone()));
            let found: Vec<String> = errors.into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{after}");
        }
    }
}
