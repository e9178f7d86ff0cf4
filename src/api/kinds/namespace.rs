//! Namespaces.

use super::status::{default_to, keep_status, only_status, put};
use super::{FieldError, Strategy, metadata};
use crate::object::access::{list, text};
use crate::object::names;
use serde_json::{Value, json};

pub struct Namespace;

impl Strategy for Namespace {
    /// The label lets selectors choose namespaces by name.
    fn default(&self, object: &mut Value) {
        let name = text(object, "/metadata/name").to_owned();
        if let Some(metadata) = object.get_mut("metadata").filter(|_| !name.is_empty()) {
            default_to(metadata, "labels", json!({}));
            put(
                &mut metadata["labels"],
                "kubernetes.io/metadata.name",
                name.into(),
            );
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        default_to(object, "spec", json!({}));
        let mut finalizers = list(object, "/spec/finalizers").to_vec();
        if !finalizers.contains(&Value::from("kubernetes")) {
            finalizers.push("kubernetes".into());
        }
        put(&mut object["spec"], "finalizers", finalizers.into());
        put(object, "status", json!({"phase": "Active"}));
    }

    /// `spec.finalizers` change through the `finalize` subresource only.
    fn prepare_update(&self, old: &Value, object: &mut Value) {
        put(object, "spec", old["spec"].clone());
        keep_status(old, object);
    }

    fn prepare_status_update(&self, old: &Value, object: &mut Value) {
        only_status(old, object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate(object, names::check_label);
        for (index, finalizer) in list(object, "/spec/finalizers").iter().enumerate() {
            let finalizer = finalizer.as_str().unwrap_or_default();
            if let Err(rule) = names::check_qualified(finalizer) {
                errors.push(FieldError::invalid(
                    format!("spec.finalizers[{index}]"),
                    &finalizer.into(),
                    rule,
                ));
            }
        }
        errors
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        metadata::validate_update(old, object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_namespace() {
        let mut namespace = json!({"metadata": {"name": "a"}, "status": {"phase": "x"}});
        Namespace.default(&mut namespace);
        Namespace.prepare_create(&mut namespace);
        assert_eq!(
            namespace,
            json!({"metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
        );
        assert_eq!(Namespace.validate(&namespace), []);
        assert_eq!(
            Namespace.validate(&json!({"metadata": {"name": "a.b"}}))[0].field,
            "metadata.name"
        );
    }
}
