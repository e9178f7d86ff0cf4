//! `IntOrString` fields that are a count or a share: `1`, `25%`.

use super::FieldError;
use super::errors::Errors;
use serde_json::Value;

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

/// A count or a share of any size (upstream's `ValidatePositiveIntOrPercent`).
pub fn count_or_percent(value: &Value, field: &str, errors: &mut Errors) {
    match value {
        Value::Number(number) if number.as_i64().is_none_or(|number| number < 0) => {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(field, value, detail));
        }
        Value::String(share) if percent(share).is_none() => {
            errors.push(FieldError::invalid(field, value, PERCENT));
        }
        _ => {}
    }
}

/// A share of at most all (upstream's `IsNotMoreThan100Percent`).
pub fn at_most_all(value: &Value, field: &str, errors: &mut Errors) {
    let share = value.as_str().and_then(percent).unwrap_or_default();
    if share > 100 {
        let detail = "must not be greater than 100%";
        errors.push(FieldError::invalid(field, value, detail));
    }
}

/// Nothing, as a count or as a share.
pub fn is_nothing(value: &Value) -> bool {
    match value {
        Value::String(share) => percent(share).unwrap_or_default() == 0,
        number => number.as_i64().unwrap_or_default() == 0,
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
    use serde_json::json;

    #[test]
    fn amounts() {
        for (value, errors_wanted, nothing) in [
            (json!(0), 0, true),
            (json!(3), 0, false),
            (json!(-1), 1, false),
            (json!("25%"), 0, false),
            (json!("0%"), 0, true),
            (json!("101%"), 1, false),
            (json!("99999999999999999999999%"), 1, false),
            (json!("5"), 1, true),
            (json!("-5%"), 1, true),
            (json!("%"), 1, true),
        ] {
            let mut errors = Errors::default();
            count_or_percent(&value, "x", &mut errors);
            at_most_all(&value, "x", &mut errors);
            assert_eq!(errors.list.len(), errors_wanted, "{value}");
            assert_eq!(is_nothing(&value), nothing, "{value}");
        }
    }
}
