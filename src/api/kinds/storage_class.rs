//! Storage classes.

use super::errors::Errors;
use super::persistent_volume::UNSUPPORTED;
use super::status::default_to;
use super::{FieldError, Strategy, metadata};
use crate::object::access::text;
use crate::object::names;
use crate::object::storage::LOCAL_PATH_PROVISIONER;
use serde_json::Value;

pub struct StorageClass;

impl Strategy for StorageClass {
    fn default(&self, object: &mut Value) {
        default_to(object, "reclaimPolicy", "Delete");
        default_to(object, "volumeBindingMode", "Immediate");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_subdomain),
        };
        let provisioner = text(object, "/provisioner");
        if provisioner.is_empty() {
            errors.push(FieldError::required("provisioner", ""));
        } else {
            let lower = provisioner.to_lowercase();
            errors.rule("provisioner", &lower, names::check_qualified);
        }
        let policies = ["Delete", "Retain"];
        errors.one_of("reclaimPolicy", text(object, "/reclaimPolicy"), &policies);
        let modes = ["Immediate", "WaitForFirstConsumer"];
        errors.one_of(
            "volumeBindingMode",
            text(object, "/volumeBindingMode"),
            &modes,
        );
        // What another provisioner makes of these is its own affair; ours has no use for them.
        if provisioner == LOCAL_PATH_PROVISIONER {
            if text(object, "/volumeBindingMode") == "Immediate" {
                let detail =
                    "a volume on a node's disk needs a node first: use WaitForFirstConsumer";
                errors.push(FieldError::forbidden("volumeBindingMode", detail));
            }
            for field in [
                "parameters",
                "mountOptions",
                "allowedTopologies",
                "allowVolumeExpansion",
            ] {
                let asked = match &object[field] {
                    Value::Null | Value::Bool(false) => false,
                    Value::Array(items) => !items.is_empty(),
                    Value::Object(fields) => !fields.is_empty(),
                    _ => true,
                };
                if asked {
                    errors.push(FieldError::forbidden(field, UNSUPPORTED));
                }
            }
        }
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        for field in [
            "provisioner",
            "parameters",
            "reclaimPolicy",
            "volumeBindingMode",
        ] {
            if old[field] != object[field] {
                let detail = format!("updates to {field} are forbidden.");
                errors.push(FieldError::forbidden(field, detail));
            }
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes() {
        let made = |change: Value| {
            let mut object = json!({"metadata": {"name": "a"}, "provisioner": "example.com/disk"});
            json_patch::merge(&mut object, &change);
            StorageClass.default(&mut object);
            object
        };
        for (change, want) in [
            (json!({"parameters": {"type": "ssd"}}), ""),
            (json!({"provisioner": ""}), "provisioner"),
            (
                json!({"provisioner": LOCAL_PATH_PROVISIONER, "parameters": {"a": "b"}}),
                "volumeBindingMode parameters",
            ),
            (json!({"reclaimPolicy": "Recycle"}), "reclaimPolicy"),
            (json!({"volumeBindingMode": "Late"}), "volumeBindingMode"),
        ] {
            let errors = StorageClass.validate(&made(change.clone()));
            let found: Vec<String> = errors.into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{change}");
        }
        let (old, new) = (made(json!({})), made(json!({"reclaimPolicy": "Retain"})));
        assert_eq!(
            StorageClass.validate_update(&old, &new)[0].field,
            "reclaimPolicy"
        );
    }
}
