//! Field errors in upstream's words (`k8s.io/apimachinery/pkg/util/validation/field`).

use super::FieldError;
use serde_json::Value;

impl FieldError {
    fn new(field: impl Into<String>, reason: &'static str, message: String) -> FieldError {
        FieldError {
            field: field.into(),
            reason,
            message,
        }
    }

    pub fn required(field: impl Into<String>, detail: &str) -> FieldError {
        let message = if detail.is_empty() {
            "Required value".into()
        } else {
            format!("Required value: {detail}")
        };
        FieldError::new(field, "FieldValueRequired", message)
    }

    pub fn invalid(field: impl Into<String>, value: &Value, detail: impl AsRef<str>) -> FieldError {
        let message = format!("Invalid value: {value}: {}", detail.as_ref());
        FieldError::new(field, "FieldValueInvalid", message)
    }

    pub fn forbidden(field: impl Into<String>, detail: impl AsRef<str>) -> FieldError {
        let message = format!("Forbidden: {}", detail.as_ref());
        FieldError::new(field, "FieldValueForbidden", message)
    }

    pub fn duplicate(field: impl Into<String>, value: &Value) -> FieldError {
        FieldError::new(
            field,
            "FieldValueDuplicate",
            format!("Duplicate value: {value}"),
        )
    }

    pub fn not_found(field: impl Into<String>, value: &Value) -> FieldError {
        FieldError::new(field, "FieldValueNotFound", format!("Not found: {value}"))
    }

    pub fn too_long(field: impl Into<String>, bytes_max: usize) -> FieldError {
        let message = format!("Too long: may not be more than {bytes_max} bytes");
        FieldError::new(field, "FieldValueTooLong", message)
    }

    pub fn too_many(field: impl Into<String>, actual: usize, max: usize) -> FieldError {
        let message = format!("Too many: {actual}: must have at most {max} items");
        FieldError::new(field, "FieldValueTooMany", message)
    }

    /// Wrong in a way that its value would not show.
    pub fn wrong(field: impl Into<String>, detail: &str) -> FieldError {
        FieldError::new(
            field,
            "FieldValueInvalid",
            format!("Invalid value: {detail}"),
        )
    }

    pub fn not_supported(field: impl Into<String>, value: &str, supported: &[&str]) -> FieldError {
        let list: Vec<String> = supported.iter().map(|word| format!("{word:?}")).collect();
        let message = format!(
            "Unsupported value: {value:?}: supported values: {}",
            list.join(", ")
        );
        FieldError::new(field, "FieldValueNotSupported", message)
    }
}

/// Collects errors below one object.
#[derive(Debug, Default)]
pub struct Errors {
    pub list: Vec<FieldError>,
}

impl Errors {
    pub fn push(&mut self, error: FieldError) {
        self.list.push(error);
    }

    /// An error for a string that breaks `rule`.
    pub fn rule(
        &mut self,
        field: impl Into<String>,
        text: &str,
        rule: fn(&str) -> Result<(), String>,
    ) {
        if let Err(detail) = rule(text) {
            self.push(FieldError::invalid(field, &Value::from(text), detail));
        }
    }

    /// An error for a string that is none of `supported`.
    pub fn one_of(&mut self, field: impl Into<String>, text: &str, supported: &[&str]) {
        if !supported.contains(&text) {
            self.push(FieldError::not_supported(field, text, supported));
        }
    }

    /// An error for a number outside `range`.
    pub fn range(
        &mut self,
        field: impl Into<String>,
        value: &Value,
        range: std::ops::RangeInclusive<i64>,
    ) {
        if !value.as_i64().is_some_and(|number| range.contains(&number)) {
            let detail = if *range.end() == i64::MAX {
                format!("must be greater than or equal to {}", range.start())
            } else {
                format!(
                    "must be between {} and {}, inclusive",
                    range.start(),
                    range.end()
                )
            };
            self.push(FieldError::invalid(field, value, detail));
        }
    }
}

/// What upstream says of a field that may not change.
pub const IMMUTABLE: &str = "field is immutable";
