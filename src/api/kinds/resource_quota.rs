//! What a namespace may use at most.
//! <https://kubernetes.io/docs/concepts/policy/resource-quotas/>

use super::errors::{Errors, IMMUTABLE};
use super::status::{keep_status, only_status, put, without_generation};
use super::{FieldError, Strategy, metadata};
use crate::object::access::{list, map, text};
use crate::object::names;
use crate::object::quantity::Quantity;
use crate::object::quota;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub struct ResourceQuota;

const SCOPES: [&str; 6] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
];

impl Strategy for ResourceQuota {
    fn default(&self, object: &mut Value) {
        super::check::quantities_to_text(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({}));
        without_generation(object);
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
        for (name, amount) in map(spec, "/hard") {
            hard(name, amount, &mut errors);
        }
        let hard: Vec<&String> = map(spec, "/hard").keys().collect();
        let mut seen = BTreeSet::new();
        for scope in list(spec, "/scopes") {
            let scope = scope.as_str().unwrap_or_default();
            validate_scope(scope, &hard, "spec.scopes", &spec["scopes"], &mut errors);
            seen.insert(scope);
        }
        conflicts(&seen, "spec.scopes", &spec["scopes"], &mut errors);
        let at = "spec.scopeSelector.matchExpressions";
        let mut seen = BTreeSet::new();
        for one in list(spec, "/scopeSelector/matchExpressions") {
            let scope = text(one, "/scopeName");
            let field = format!("{at}.scopeName");
            validate_scope(scope, &hard, &field, &one["scopeName"], &mut errors);
            operator(one, scope, at, &mut errors);
            seen.insert(scope);
        }
        conflicts(&seen, at, &spec["scopeSelector"], &mut errors);
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        let scopes = |object: &Value| -> BTreeSet<String> {
            let scopes = list(object, "/spec/scopes").iter();
            scopes
                .filter_map(|s| s.as_str().map(str::to_owned))
                .collect()
        };
        if scopes(old) != scopes(object) {
            let value = &object["spec"]["scopes"];
            errors.push(FieldError::invalid("spec.scopes", value, IMMUTABLE));
        }
        errors
    }
}

fn hard(name: &str, amount: &Value, errors: &mut Errors) {
    let field = format!("spec.hard[{name}]");
    errors.rule(&field, name, names::check_qualified);
    if !name.contains('/') && !quota::is_standard(name) {
        let detail = "must be a standard resource for quota";
        errors.push(FieldError::invalid(&field, &name.into(), detail));
    }
    match Quantity::parse(amount.as_str().unwrap_or_default()) {
        Err(why) => errors.push(FieldError::invalid(field, amount, why)),
        Ok(quantity) if quantity.nano < 0 => {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(field, amount, detail));
        }
        Ok(quantity) if quota::is_whole(name) && quantity.milli() % 1000 != 0 => {
            errors.push(FieldError::invalid(field, amount, "must be an integer"));
        }
        Ok(_) => {}
    }
}

fn validate_scope(scope: &str, hard: &[&String], field: &str, value: &Value, errors: &mut Errors) {
    if !SCOPES.contains(&scope) {
        errors.push(FieldError::invalid(field, value, "unsupported scope"));
    } else if hard
        .iter()
        .any(|name| quota::is_standard(name) && !quota::scope_fits(scope, name))
    {
        let detail = "unsupported scope applied to resource";
        errors.push(FieldError::invalid(field, value, detail));
    }
}

fn operator(one: &Value, scope: &str, at: &str, errors: &mut Errors) {
    let (word, values) = (text(one, "/operator"), list(one, "/values"));
    if scope != "PriorityClass" && SCOPES.contains(&scope) && word != "Exists" {
        let detail = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
        errors.push(FieldError::invalid(
            format!("{at}.operator"),
            &word.into(),
            detail,
        ));
    }
    match word {
        "In" | "NotIn" if values.is_empty() => errors.push(FieldError::required(
            format!("{at}.values"),
            "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
        )),
        "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(FieldError::invalid(
            format!("{at}.values"),
            &one["values"],
            "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
        )),
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.push(FieldError::invalid(
            format!("{at}.operator"),
            &other.into(),
            "not a valid selector operator",
        )),
    }
}

fn conflicts(scopes: &BTreeSet<&str>, field: &str, value: &Value, errors: &mut Errors) {
    for (one, other) in [
        ("BestEffort", "NotBestEffort"),
        ("Terminating", "NotTerminating"),
    ] {
        if scopes.contains(one) && scopes.contains(other) {
            errors.push(FieldError::invalid(field, value, "conflicting scopes"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas() {
        for (spec, want) in [
            (
                json!({"hard": {"pods": 3, "requests.cpu": "1.5", "count/deployments.apps": "2", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi"}}),
                "",
            ),
            (json!({"hard": {"pods": "1.5"}}), "spec.hard[pods]"),
            (json!({"hard": {"pods": "-1"}}), "spec.hard[pods]"),
            (json!({"hard": {"cpus": "1"}}), "spec.hard[cpus]"),
            (json!({"hard": {"cpu": "x"}}), "spec.hard[cpu]"),
            (json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]}), ""),
            (
                json!({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}),
                "spec.scopes",
            ),
            (
                json!({"hard": {"services": "1"}, "scopes": ["Terminating"]}),
                "spec.scopes",
            ),
            (
                json!({"scopes": ["Terminating", "NotTerminating"]}),
                "spec.scopes",
            ),
            (json!({"scopes": ["Odd"]}), "spec.scopes"),
            (
                json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}),
                "",
            ),
            (
                json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}),
                "spec.scopeSelector.matchExpressions.values",
            ),
            (
                json!({"scopeSelector": {"matchExpressions": [{"scopeName": "Terminating", "operator": "DoesNotExist"}]}}),
                "spec.scopeSelector.matchExpressions.operator",
            ),
        ] {
            let mut object = json!({"metadata": {"name": "a"}, "spec": spec});
            ResourceQuota.default(&mut object);
            let errors = ResourceQuota.validate(&object);
            let found: Vec<String> = errors.into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{spec}");
        }
    }
}
