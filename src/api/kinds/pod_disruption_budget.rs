//! How many pods of an application may be taken away at a time.
//! <https://kubernetes.io/docs/tasks/run-application/configure-pdb/>

use super::errors::Errors;
use super::status::{keep_status, only_status, put};
use super::{FieldError, Strategy, amount, metadata, selector};
use crate::object::access::present;
use crate::object::names;
use serde_json::{Value, json};

pub struct PodDisruptionBudget;

impl Strategy for PodDisruptionBudget {
    fn prepare_create(&self, object: &mut Value) {
        // What upstream's zero status shows before the controller has looked.
        put(
            object,
            "status",
            json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}),
        );
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
        let spec = &object["spec"];
        if present(spec, "/minAvailable") && present(spec, "/maxUnavailable") {
            let detail = "minAvailable and maxUnavailable cannot be both set";
            errors.push(FieldError::invalid("spec", spec, detail));
        }
        for field in ["minAvailable", "maxUnavailable"] {
            let at = format!("spec.{field}");
            amount::count_or_percent(&spec[field], &at, &mut errors);
            amount::at_most_all(&spec[field], &at, &mut errors);
        }
        selector::validate(&spec["selector"], "spec.selector", &mut errors);
        if let Some(policy) = spec["unhealthyPodEvictionPolicy"].as_str() {
            let all = ["AlwaysAllow", "IfHealthyBudget"];
            errors.one_of("spec.unhealthyPodEvictionPolicy", policy, &all);
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

    #[test]
    fn budgets() {
        for (spec, want) in [
            (
                json!({"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}),
                "",
            ),
            (json!({"maxUnavailable": "50%"}), ""),
            (json!({"minAvailable": 1, "maxUnavailable": 1}), "spec"),
            (json!({"minAvailable": -1}), "spec.minAvailable"),
            (json!({"maxUnavailable": "101%"}), "spec.maxUnavailable"),
            (
                json!({"maxUnavailable": "99999999999999999999999%"}),
                "spec.maxUnavailable",
            ),
            (json!({"maxUnavailable": "x"}), "spec.maxUnavailable"),
            (
                json!({"unhealthyPodEvictionPolicy": "Never"}),
                "spec.unhealthyPodEvictionPolicy",
            ),
            (
                json!({"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
                "spec.selector.matchExpressions[0].values",
            ),
        ] {
            let object = json!({"metadata": {"name": "a"}, "spec": spec});
            let errors = PodDisruptionBudget.validate(&object);
            let found: Vec<String> = errors.into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{spec}");
        }
    }
}
