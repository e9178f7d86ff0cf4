//! Label selectors inside objects, with the paths and words of upstream's `ValidateLabelSelector`.

use super::FieldError;
use super::errors::Errors;
use crate::object::access::{list, map, text};
use crate::object::names;
use serde_json::Value;

/// `selector` at `at` (`spec.selector`).
pub fn validate(selector: &Value, at: &str, errors: &mut Errors) {
    for (key, value) in map(selector, "/matchLabels") {
        let field = format!("{at}.matchLabels");
        errors.rule(&field, key, names::check_qualified);
        errors.rule(
            &field,
            value.as_str().unwrap_or_default(),
            names::check_label_value,
        );
    }
    for (index, expression) in list(selector, "/matchExpressions").iter().enumerate() {
        let at = format!("{at}.matchExpressions[{index}]");
        let given = !list(expression, "/values").is_empty();
        match text(expression, "/operator") {
            "In" | "NotIn" if !given => errors.push(FieldError::required(
                format!("{at}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if given => errors.push(FieldError::forbidden(
                format!("{at}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid(
                format!("{at}.operator"),
                &other.into(),
                "not a valid selector operator",
            )),
        }
        errors.rule(
            format!("{at}.key"),
            text(expression, "/key"),
            names::check_qualified,
        );
        for (number, value) in list(expression, "/values").iter().enumerate() {
            errors.rule(
                format!("{at}.values[{number}]"),
                value.as_str().unwrap_or_default(),
                names::check_label_value,
            );
        }
    }
}
