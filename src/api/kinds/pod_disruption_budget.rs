//! How many pods of an application may be taken away at a time.
//! <https://kubernetes.io/docs/tasks/run-application/configure-pdb/>

use super::errors::Errors;
use super::status::{keep_status, only_status, put};
use super::{FieldError, Strategy, metadata, selector};
use crate::object::access::present;
use crate::object::names;
use serde_json::{Value, json};

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

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
            amount(&spec[field], &format!("spec.{field}"), &mut errors);
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

/// A count or a share of at most all.
fn amount(value: &Value, field: &str, errors: &mut Errors) {
    match value {
        Value::Number(number) if number.as_i64().is_none_or(|number| number < 0) => {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(field, value, detail));
        }
        Value::String(share) => match percent(share) {
            None => errors.push(FieldError::invalid(field, value, PERCENT)),
            Some(share) if share > 100 => {
                let detail = "must not be greater than 100%";
                errors.push(FieldError::invalid(field, value, detail));
            }
            Some(_) => {}
        },
        _ => {}
    }
}

fn percent(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%')?;
    let numeric = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than a number can have are more than all, too.
    numeric.then(|| digits.parse().unwrap_or(u64::MAX))
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
