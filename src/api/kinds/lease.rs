//! Leases: who holds what, and until when.
//! <https://kubernetes.io/docs/concepts/architecture/leases/>

use super::errors::Errors;
use super::status::without_generation;
use super::{FieldError, Strategy, metadata};
use crate::object::names;
use serde_json::Value;

pub struct Lease;

impl Strategy for Lease {
    fn prepare_create(&self, object: &mut Value) {
        without_generation(object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_subdomain),
        };
        let spec = &object["spec"];
        if spec["leaseDurationSeconds"]
            .as_i64()
            .is_some_and(|n| n <= 0)
        {
            let field = "spec.leaseDurationSeconds";
            let value = &spec["leaseDurationSeconds"];
            errors.push(FieldError::invalid(field, value, "must be greater than 0"));
        }
        if spec["leaseTransitions"].as_i64().is_some_and(|n| n < 0) {
            let detail = "must be greater than or equal to 0";
            let value = &spec["leaseTransitions"];
            errors.push(FieldError::invalid("spec.leaseTransitions", value, detail));
        }
        // Upstream drops these where its CoordinatedLeaderElection gate is off, as it is from the start.
        for field in ["strategy", "preferredHolder"] {
            if !spec[field].is_null() {
                let detail =
                    "coordinated leader election is not supported by this version of Coracle";
                errors.push(FieldError::forbidden(format!("spec.{field}"), detail));
            }
        }
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        metadata::validate_update(old, object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn leases() {
        for (spec, want) in [
            (
                json!({"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0}),
                "",
            ),
            (
                json!({"leaseDurationSeconds": 0}),
                "spec.leaseDurationSeconds",
            ),
            (json!({"leaseTransitions": -1}), "spec.leaseTransitions"),
            (
                json!({"strategy": "OldestEmulationVersion"}),
                "spec.strategy",
            ),
        ] {
            let errors = Lease.validate(&json!({"metadata": {"name": "a"}, "spec": spec}));
            let found: Vec<String> = errors.into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{spec}");
        }
    }
}
