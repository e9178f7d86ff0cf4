//! What containers, pods and claims of a namespace get where they say nothing, and may ask at least and at most.
//! <https://kubernetes.io/docs/concepts/policy/limit-range/>

use super::errors::Errors;
use super::status::{default_to, without_generation};
use super::{FieldError, Strategy, metadata};
use crate::object::access::{list, map, text};
use crate::object::names;
use crate::object::quantity::Quantity;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub struct LimitRange;

const GROUPS: [&str; 5] = [
    "max",
    "min",
    "default",
    "defaultRequest",
    "maxLimitRequestRatio",
];

impl Strategy for LimitRange {
    fn default(&self, object: &mut Value) {
        super::check::quantities_to_text(object);
        let limits = object.pointer_mut("/spec/limits");
        for limit in limits.and_then(Value::as_array_mut).into_iter().flatten() {
            if text(limit, "/type") == "Container" {
                complete(limit);
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        without_generation(object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_subdomain),
        };
        let mut seen = BTreeSet::new();
        for (index, limit) in list(object, "/spec/limits").iter().enumerate() {
            let at = format!("spec.limits[{index}]");
            let kind = text(limit, "/type");
            if !kind.contains('/') && !matches!(kind, "Container" | "Pod" | "PersistentVolumeClaim")
            {
                let detail = "must be a standard limit type or fully qualified";
                errors.push(FieldError::invalid(
                    format!("{at}.type"),
                    &kind.into(),
                    detail,
                ));
            }
            if !seen.insert(kind) {
                errors.push(FieldError::duplicate(format!("{at}.type"), &kind.into()));
            }
            validate_item(limit, kind, &at, &mut errors);
        }
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        metadata::validate_update(old, object)
    }
}

/// A limit that is not given is the most there may be; a request that is not given is the limit, or the least
/// (upstream's `SetDefaults_LimitRangeItem`).
fn complete(limit: &mut Value) {
    for (to, from) in [
        ("default", "max"),
        ("defaultRequest", "default"),
        ("defaultRequest", "min"),
    ] {
        let amounts = map(limit, &format!("/{from}")).clone();
        if amounts.is_empty() {
            continue;
        }
        default_to(limit, to, json!({}));
        for (name, amount) in amounts {
            default_to(&mut limit[to], &name, amount);
        }
    }
}

fn validate_item(limit: &Value, kind: &str, at: &str, errors: &mut Errors) {
    let mut resources: BTreeSet<&String> = BTreeSet::new();
    for group in GROUPS {
        let amounts = map(limit, &format!("/{group}"));
        resources.extend(amounts.keys());
        if kind == "Pod" && group.starts_with("default") && !amounts.is_empty() {
            let detail = "may not be specified when `type` is 'Pod'";
            errors.push(FieldError::forbidden(format!("{at}.{group}"), detail));
        }
        for (name, amount) in amounts {
            let field = format!("{at}.{group}[{name}]");
            errors.rule(&field, name, names::check_qualified);
            if let Err(why) = Quantity::parse(amount.as_str().unwrap_or_default()) {
                errors.push(FieldError::invalid(field, amount, why));
            }
        }
    }
    if kind == "PersistentVolumeClaim"
        && map(limit, "/min").get("storage").is_none()
        && map(limit, "/max").get("storage").is_none()
    {
        let detail =
            "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(format!("{at}.limits"), detail));
    }
    for name in resources {
        compare(limit, name, at, errors);
    }
}

/// Smaller, greater, and the words for them; the error stands at the first group's field (upstream's order).
const ORDER: [(&str, &str, &str, &str); 6] = [
    ("min", "max", "min", "max"),
    ("min", "defaultRequest", "min", "default request"),
    ("defaultRequest", "max", "default request", "max"),
    (
        "defaultRequest",
        "default",
        "default request",
        "default limit",
    ),
    ("min", "default", "min", "default"),
    ("default", "max", "default", "max"),
];

fn compare(limit: &Value, name: &str, at: &str, errors: &mut Errors) {
    let amount = |group: &str| -> Option<(Quantity, &str)> {
        let text = map(limit, &format!("/{group}")).get(name)?.as_str()?;
        Some((Quantity::parse(text).ok()?, text))
    };
    for (lower, upper, low_word, high_word) in ORDER {
        let (Some((low, low_text)), Some((high, high_text))) = (amount(lower), amount(upper))
        else {
            continue;
        };
        if low > high {
            let group = if lower == "min" && upper != "max" {
                upper
            } else {
                lower
            };
            let detail = format!(
                "{low_word} value {low_text} is greater than {high_word} value {high_text}"
            );
            let value = if group == lower { low_text } else { high_text };
            let field = format!("{at}.{group}[{name}]");
            errors.push(FieldError::invalid(field, &value.into(), detail));
        }
    }
    if let Some((ratio, text)) = amount("maxLimitRequestRatio") {
        let field = format!("{at}.maxLimitRequestRatio[{name}]");
        if ratio.milli() < 1000 {
            let detail = format!("ratio {text} is less than 1");
            errors.push(FieldError::invalid(&field, &text.into(), detail));
        }
        if let (Some((low, _)), Some((high, _))) = (amount("min"), amount("max"))
            && low.nano > 0
        {
            let most = high.nano as f64 / low.nano as f64;
            if ratio.nano as f64 / 1e9 > most {
                let detail = format!("ratio {text} is greater than max/min = {most:.6}");
                errors.push(FieldError::invalid(field, &text.into(), detail));
            }
        }
    }
    // What cannot be shared out twice is asked for exactly.
    let exact = name.contains('/') || name.starts_with("hugepages-");
    if let (true, Some((default, text)), Some((request, asked))) =
        (exact, amount("default"), amount("defaultRequest"))
        && default != request
    {
        let detail =
            format!("default value {text} must equal to defaultRequest value {asked} in {name}");
        let field = format!("{at}.defaultRequest[{name}]");
        errors.push(FieldError::invalid(field, &asked.into(), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (limit, want) in [
            (
                json!({"type": "Container", "max": {"cpu": 2}, "min": {"cpu": "100m"}, "maxLimitRequestRatio": {"cpu": 4}}),
                "",
            ),
            (
                json!({"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}, "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}),
                "spec.limits[0].min[cpu] spec.limits[0].defaultRequest[cpu] spec.limits[0].default[cpu]",
            ),
            (
                json!({"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}}),
                "spec.limits[0].defaultRequest[cpu]",
            ),
            (
                json!({"type": "Pod", "default": {"cpu": "1"}}),
                "spec.limits[0].default",
            ),
            (
                json!({"type": "PersistentVolumeClaim"}),
                "spec.limits[0].limits",
            ),
            (
                json!({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}),
                "",
            ),
            (json!({"type": "Odd"}), "spec.limits[0].type"),
            (
                json!({"type": "Pod", "maxLimitRequestRatio": {"cpu": "0.5"}}),
                "spec.limits[0].maxLimitRequestRatio[cpu]",
            ),
            (
                json!({"type": "Pod", "max": {"cpu": "x"}}),
                "spec.limits[0].max[cpu]",
            ),
        ] {
            let mut object = json!({"metadata": {"name": "a"}, "spec": {"limits": [limit]}});
            LimitRange.default(&mut object);
            let errors = LimitRange.validate(&object);
            let found: Vec<String> = errors.into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{limit}");
        }
        let mut object = json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": 2}, "min": {"cpu": "1", "memory": "1Mi"}}]}});
        LimitRange.default(&mut object);
        assert_eq!(object["spec"]["limits"][0]["default"], json!({"cpu": "2"}));
        assert_eq!(
            object["spec"]["limits"][0]["defaultRequest"],
            json!({"cpu": "2", "memory": "1Mi"})
        );
    }
}
