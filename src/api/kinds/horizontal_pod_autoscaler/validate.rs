//! Everything wrong with an autoscaler (upstream's `pkg/apis/autoscaling/validation`).

use crate::api::kinds::errors::Errors;
use crate::api::kinds::{FieldError, metadata, selector};
use crate::object::access::{list, present, text};
use crate::object::names;
use crate::object::quantity::Quantity;
use serde_json::Value;

/// Longest window and period, seconds (upstream's `MaxStabilizationWindowSeconds`, `MaxPeriodSeconds`).
const WINDOW_SECONDS_MAX: i64 = 3600;
const PERIOD_SECONDS_MAX: i64 = 1800;

const POSITIVE: &str = "must be greater than 0";

pub fn validate(object: &Value) -> Vec<FieldError> {
    let mut errors = Errors {
        list: metadata::validate(object, names::check_subdomain),
    };
    let spec = &object["spec"];
    let (least, most) = (spec["minReplicas"].as_i64(), spec["maxReplicas"].as_i64());
    if least.is_some_and(|least| least < 1) {
        let value = &spec["minReplicas"];
        let detail = "must be greater than or equal to 1";
        errors.push(FieldError::invalid("spec.minReplicas", value, detail));
    }
    let value = &spec["maxReplicas"];
    if most.unwrap_or_default() < 1 {
        errors.push(FieldError::invalid("spec.maxReplicas", value, POSITIVE));
    }
    if least.is_some_and(|least| most.unwrap_or_default() < least) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid("spec.maxReplicas", value, detail));
    }
    reference(&spec["scaleTargetRef"], "spec.scaleTargetRef", &mut errors);
    for (index, metric) in list(spec, "/metrics").iter().enumerate() {
        validate_metric(metric, &format!("spec.metrics[{index}]"), &mut errors);
    }
    for direction in ["scaleUp", "scaleDown"] {
        let rules = &spec["behavior"][direction];
        if !rules.is_null() {
            validate_rules(rules, &format!("spec.behavior.{direction}"), &mut errors);
        }
    }
    errors.list
}

fn reference(reference: &Value, at: &str, errors: &mut Errors) {
    for part in ["kind", "name"] {
        let field = format!("{at}.{part}");
        match text(reference, &format!("/{part}")) {
            "" => errors.push(FieldError::required(field, "")),
            name => errors.rule(field, name, names::check_path_segment),
        }
    }
}

/// Type, and the field that describes it.
const SOURCES: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];

fn validate_metric(metric: &Value, at: &str, errors: &mut Errors) {
    let kind = text(metric, "/type");
    if kind.is_empty() {
        let detail = "must specify a metric source type";
        errors.push(FieldError::required(format!("{at}.type"), detail));
    }
    let known: Vec<&str> = SOURCES.iter().map(|(name, _)| *name).collect();
    errors.one_of(format!("{at}.type"), kind, &known);
    let expected = SOURCES
        .iter()
        .find(|(name, _)| *name == kind)
        .map_or("", |(_, field)| *field);
    for (_, field) in SOURCES {
        let (source, here) = (&metric[field], format!("{at}.{field}"));
        match (source.is_null(), field == expected) {
            (true, true) => {
                let detail = "must populate information for the given metric source";
                errors.push(FieldError::required(here, detail));
            }
            (false, false) => {
                let detail = "must populate the given metric source only";
                errors.push(FieldError::forbidden(here, detail));
            }
            (false, true) => validate_source(field, source, &here, errors),
            (true, false) => {}
        }
    }
}

fn validate_source(field: &str, source: &Value, at: &str, errors: &mut Errors) {
    let goal = &source["target"];
    match field {
        "object" => {
            reference(
                &source["describedObject"],
                &format!("{at}.describedObject"),
                errors,
            );
        }
        "resource" | "containerResource" if text(source, "/name").is_empty() => {
            let detail = "must specify a resource name";
            errors.push(FieldError::required(format!("{at}.name"), detail));
        }
        _ => {}
    }
    if field == "containerResource" && text(source, "/container").is_empty() {
        let detail = "must specify a container";
        errors.push(FieldError::required(format!("{at}.container"), detail));
    }
    if matches!(field, "object" | "pods" | "external") {
        let name = text(source, "/metric/name");
        if name.is_empty() {
            let detail = "must specify a metric name";
            errors.push(FieldError::required(format!("{at}.metric.name"), detail));
        } else {
            errors.rule(format!("{at}.metric.name"), name, names::check_path_segment);
        }
        let chosen = &source["metric"]["selector"];
        selector::validate(chosen, &format!("{at}.metric.selector"), errors);
    }
    target(goal, &format!("{at}.target"), errors);
    let has = |name: &str| present(goal, &format!("/{name}"));
    let (value, average, share) = (has("value"), has("averageValue"), has("averageUtilization"));
    let missing = match field {
        "object" | "external" if !value && !average => Some((
            "averageValue",
            "must set either a target value for metric or a per-pod target",
        )),
        "pods" if !average => Some((
            "averageValue",
            "must specify a positive target averageValue",
        )),
        "resource" | "containerResource" if !average && !share => Some((
            "averageUtilization",
            "must set either a target raw value or a target utilization",
        )),
        _ => None,
    };
    if let Some((name, detail)) = missing {
        errors.push(FieldError::required(format!("{at}.target.{name}"), detail));
    }
    let surplus = match field {
        "external" if value && average => Some((
            "value",
            "may not set both a target value for metric and a per-pod target",
        )),
        "resource" | "containerResource" if average && share => Some((
            "averageValue",
            "may not set both a target raw value and a target utilization",
        )),
        _ => None,
    };
    if let Some((name, detail)) = surplus {
        errors.push(FieldError::forbidden(format!("{at}.target.{name}"), detail));
    }
}

fn target(target: &Value, at: &str, errors: &mut Errors) {
    let kind = text(target, "/type");
    if kind.is_empty() {
        let detail = "must specify a metric target type";
        errors.push(FieldError::required(format!("{at}.type"), detail));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let detail = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(
            format!("{at}.type"),
            &kind.into(),
            detail,
        ));
    }
    for name in ["value", "averageValue"] {
        let amount = &target[name];
        if amount.is_null() {
            continue;
        }
        match Quantity::parse(amount.as_str().unwrap_or_default()) {
            Ok(quantity) if quantity.nano > 0 => {}
            Ok(_) => {
                let field = format!("{at}.{name}");
                errors.push(FieldError::invalid(field, amount, "must be positive"));
            }
            Err(why) => errors.push(FieldError::invalid(format!("{at}.{name}"), amount, why)),
        }
    }
    let share = &target["averageUtilization"];
    if share.as_i64().is_some_and(|share| share < 1) {
        errors.push(FieldError::invalid(
            format!("{at}.averageUtilization"),
            share,
            POSITIVE,
        ));
    }
}

fn validate_rules(rules: &Value, at: &str, errors: &mut Errors) {
    let window = &rules["stabilizationWindowSeconds"];
    let field = format!("{at}.stabilizationWindowSeconds");
    match window.as_i64() {
        Some(seconds) if seconds < 0 => {
            let detail = "must be greater than or equal to zero";
            errors.push(FieldError::invalid(field, window, detail));
        }
        Some(seconds) if seconds > WINDOW_SECONDS_MAX => {
            let detail = format!("must be less than or equal to {WINDOW_SECONDS_MAX}");
            errors.push(FieldError::invalid(field, window, detail));
        }
        _ => {}
    }
    if let Some(policy) = rules["selectPolicy"].as_str() {
        let all = ["Disabled", "Max", "Min"];
        errors.one_of(format!("{at}.selectPolicy"), policy, &all);
    }
    if let Some(tolerance) = rules["tolerance"].as_str() {
        let field = format!("{at}.tolerance");
        match Quantity::parse(tolerance) {
            Ok(quantity) if quantity.nano >= 0 => {}
            Ok(_) => {
                let detail = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(field, &rules["tolerance"], detail));
            }
            Err(why) => errors.push(FieldError::invalid(field, &rules["tolerance"], why)),
        }
    }
    let policies = list(rules, "/policies");
    if policies.is_empty() {
        let detail = "must specify at least one Policy";
        errors.push(FieldError::required(format!("{at}.policies"), detail));
    }
    for (index, policy) in policies.iter().enumerate() {
        let at = format!("{at}.policies[{index}]");
        let kind = text(policy, "/type");
        errors.one_of(format!("{at}.type"), kind, &["Percent", "Pods"]);
        for name in ["value", "periodSeconds"] {
            let (value, field) = (&policy[name], format!("{at}.{name}"));
            let number = value.as_i64().unwrap_or_default();
            if number <= 0 {
                let detail = "must be greater than zero";
                errors.push(FieldError::invalid(field, value, detail));
            } else if name == "periodSeconds" && number > PERIOD_SECONDS_MAX {
                let detail = format!("must be less than or equal to {PERIOD_SECONDS_MAX}");
                errors.push(FieldError::invalid(field, value, detail));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn autoscalers() {
        let resource = |target: Value| json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]);
        for (change, want) in [
            (json!({}), ""),
            (json!({"minReplicas": 0}), "spec.minReplicas"),
            (
                json!({"maxReplicas": 0, "minReplicas": null}),
                "spec.maxReplicas",
            ),
            (json!({"minReplicas": 6}), "spec.maxReplicas"),
            (
                json!({"scaleTargetRef": {"kind": "a/b", "name": ""}}),
                "spec.scaleTargetRef.kind spec.scaleTargetRef.name",
            ),
            (
                json!({"metrics": [{"type": "Odd"}]}),
                "spec.metrics[0].type",
            ),
            (
                json!({"metrics": [{"type": "Pods", "resource": {}}]}),
                "spec.metrics[0].pods spec.metrics[0].resource",
            ),
            (
                json!({"metrics": resource(json!({"type": "Utilization", "averageUtilization": 50}))}),
                "",
            ),
            (
                json!({"metrics": resource(json!({"type": "Utilization"}))}),
                "spec.metrics[0].resource.target.averageUtilization",
            ),
            (
                json!({"metrics": resource(json!({"type": "X", "averageValue": "-1"}))}),
                "spec.metrics[0].resource.target.type spec.metrics[0].resource.target.averageValue",
            ),
            (
                json!({"behavior": {"scaleUp": {"stabilizationWindowSeconds": 3601, "policies": []}}}),
                "spec.behavior.scaleUp.stabilizationWindowSeconds spec.behavior.scaleUp.policies",
            ),
            (
                json!({"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 1801}]}}}),
                "spec.behavior.scaleUp.policies[0].value spec.behavior.scaleUp.policies[0].periodSeconds",
            ),
        ] {
            let mut object = json!({"metadata": {"name": "a"}, "spec": {
                "minReplicas": 1, "maxReplicas": 5, "scaleTargetRef": {"kind": "Deployment", "name": "web"}}});
            json_patch::merge(&mut object["spec"], &change);
            let found: Vec<String> = validate(&object).into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{change}");
        }
    }
}
