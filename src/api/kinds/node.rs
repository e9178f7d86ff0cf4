//! Nodes.

use super::errors::Errors;
use super::status::{default_to, keep_status, only_status};
use super::{FieldError, Strategy, metadata};
use crate::object::access::{list, map, text};
use crate::object::names;
use crate::object::quantity::Quantity;
use serde_json::{Value, json};

pub struct Node;

impl Strategy for Node {
    fn default(&self, object: &mut Value) {
        super::check::quantities_to_text(object);
        default_to(object, "spec", json!({}));
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
        for (index, taint) in list(object, "/spec/taints").iter().enumerate() {
            let at = format!("spec.taints[{index}]");
            errors.rule(
                format!("{at}.key"),
                text(taint, "/key"),
                names::check_qualified,
            );
            errors.rule(
                format!("{at}.value"),
                text(taint, "/value"),
                names::check_label_value,
            );
            let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            errors.one_of(format!("{at}.effect"), text(taint, "/effect"), &effects);
        }
        for group in ["capacity", "allocatable"] {
            for (name, amount) in map(object, &format!("/status/{group}")) {
                if let Err(problem) = Quantity::parse(amount.as_str().unwrap_or_default()) {
                    errors.push(FieldError::invalid(
                        format!("status.{group}.{name}"),
                        amount,
                        problem,
                    ));
                }
            }
        }
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        for (field, pointer) in [
            ("spec.podCIDR", "/spec/podCIDR"),
            ("spec.providerID", "/spec/providerID"),
        ] {
            let before = text(old, pointer);
            if !before.is_empty() && before != text(object, pointer) {
                errors.push(FieldError::forbidden(
                    field,
                    "node updates may not change this field once it is set",
                ));
            }
        }
        errors
    }
}
