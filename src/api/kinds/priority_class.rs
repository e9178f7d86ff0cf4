//! Priority classes: which pods go before others.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/>

use super::errors::{Errors, IMMUTABLE};
use super::status::{default_to, put};
use super::{FieldError, Strategy, metadata};
use crate::object::access::{integer, text, truth};
use crate::object::names;
use serde_json::Value;

/// Name, value and description of the classes every cluster has.
pub const SYSTEM_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

/// Upstream's `HighestUserDefinablePriority`.
const VALUE_MAX: i64 = 1_000_000_000;

pub fn is_system(name: &str) -> bool {
    SYSTEM_CLASSES.iter().any(|(known, ..)| *known == name)
}

pub struct PriorityClass;

impl Strategy for PriorityClass {
    fn default(&self, object: &mut Value) {
        default_to(object, "value", 0);
        default_to(object, "preemptionPolicy", "PreemptLowerPriority");
    }

    fn prepare_create(&self, object: &mut Value) {
        if let Some(metadata) = object.get_mut("metadata") {
            put(metadata, "generation", 1.into());
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_subdomain),
        };
        let name = text(object, "/metadata/name");
        if name.starts_with("system-") {
            if let Err(why) = known(name, object) {
                let detail = format!(
                    "priority class names with 'system-' prefix are reserved for system use only. error: {why}"
                );
                errors.push(FieldError::forbidden("metadata.name", detail));
            }
        } else if integer(object, "/value") > VALUE_MAX {
            let detail = format!("maximum allowed value of a user defined priority is {VALUE_MAX}");
            errors.push(FieldError::forbidden("value", detail));
        }
        let policies = ["PreemptLowerPriority", "Never"];
        let policy = text(object, "/preemptionPolicy");
        errors.one_of("preemptionPolicy", policy, &policies);
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        if old["value"] != object["value"] {
            errors.push(FieldError::forbidden(
                "value",
                "may not be changed in an update.",
            ));
        }
        if old["preemptionPolicy"] != object["preemptionPolicy"] {
            let policy = &object["preemptionPolicy"];
            errors.push(FieldError::invalid("preemptionPolicy", policy, IMMUTABLE));
        }
        errors
    }
}

/// Upstream's `IsKnownSystemPriorityClass`.
fn known(name: &str, object: &Value) -> Result<(), String> {
    let Some((_, value, _)) = SYSTEM_CLASSES.iter().find(|(known, ..)| *known == name) else {
        return Err(format!("{name} is not a known system priority class"));
    };
    if integer(object, "/value") != *value {
        return Err(format!("value of {name} PriorityClass must be {value}"));
    }
    if truth(object, "/globalDefault") {
        return Err(format!(
            "globalDefault of {name} PriorityClass must be false"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes() {
        for (name, value, want) in [
            ("high", 1_000_000_000, ""),
            ("high", 1_000_000_001, "value"),
            ("low", -5, ""),
            ("system-mine", 1, "metadata.name"),
            ("system-node-critical", 2_000_001_000, ""),
            ("system-node-critical", 5, "metadata.name"),
        ] {
            let mut object = json!({"metadata": {"name": name}, "value": value});
            PriorityClass.default(&mut object);
            let errors = PriorityClass.validate(&object);
            let found: Vec<String> = errors.into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{name} {value}");
        }
        let (old, new) = (
            json!({"value": 1}),
            json!({"value": 2, "preemptionPolicy": "Never"}),
        );
        assert_eq!(PriorityClass.validate_update(&old, &new).len(), 2);
    }
}
