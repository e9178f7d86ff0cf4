//! What a Job makes of pods that fail and indexes that succeed: its policies.

use super::not_negative;
use crate::api::kinds::FieldError;
use crate::api::kinds::errors::Errors;
use crate::object::access::{list, present, text};
use crate::object::names;
use serde_json::Value;

/// Upstream's bounds of both policies.
const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const CONDITIONS_MAX: usize = 20;
const INDEXES_BYTES_MAX: usize = 64 * 1024;

const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];

pub fn validate(spec: &Value, at: &str, errors: &mut Errors) {
    let has_failure_policy = present(spec, "/podFailurePolicy");
    if has_failure_policy {
        failure(spec, &format!("{at}.podFailurePolicy.rules"), errors);
    }
    if present(spec, "/podReplacementPolicy") {
        let supported: &[&str] = if has_failure_policy {
            &["Failed"]
        } else {
            &["Failed", "TerminatingOrFailed"]
        };
        let policy = text(spec, "/podReplacementPolicy");
        errors.one_of(format!("{at}.podReplacementPolicy"), policy, supported);
    }
    if present(spec, "/successPolicy") {
        let at = format!("{at}.successPolicy");
        if text(spec, "/completionMode") == "Indexed" {
            success(spec, &format!("{at}.rules"), errors);
        } else {
            let detail = "requires indexed completion mode";
            errors.push(FieldError::invalid(at, &spec["successPolicy"], detail));
        }
    }
}

fn failure(spec: &Value, at: &str, errors: &mut Errors) {
    let rules = list(spec, "/podFailurePolicy/rules");
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(at, rules.len(), RULES_MAX));
    }
    let containers = ["/template/spec/containers", "/template/spec/initContainers"];
    let names: Vec<&str> = containers
        .iter()
        .flat_map(|group| list(spec, group))
        .map(|container| text(container, "/name"))
        .collect();
    for (index, rule) in rules.iter().enumerate() {
        let at = format!("{at}[{index}]");
        let action = text(rule, "/action");
        let field = format!("{at}.action");
        if action.is_empty() {
            let detail = format!("valid values: {ACTIONS:?}").replace(',', "");
            errors.push(FieldError::required(field, &detail));
        } else if action == "FailIndex" && !present(spec, "/backoffLimitPerIndex") {
            let detail = "requires the backoffLimitPerIndex to be set";
            errors.push(FieldError::invalid(field, &action.into(), detail));
        } else {
            errors.one_of(field, action, &ACTIONS);
        }
        let (codes, conditions) = (&rule["onExitCodes"], list(rule, "/onPodConditions"));
        if !codes.is_null() {
            exit_codes(codes, &format!("{at}.onExitCodes"), &names, errors);
        }
        pod_conditions(conditions, &format!("{at}.onPodConditions"), errors);
        match (codes.is_null(), conditions.is_empty()) {
            (false, false) => errors.push(FieldError::wrong(
                at,
                "specifying both OnExitCodes and OnPodConditions is not supported",
            )),
            (true, true) => errors.push(FieldError::wrong(
                at,
                "specifying one of OnExitCodes and OnPodConditions is required",
            )),
            _ => {}
        }
    }
}

fn exit_codes(codes: &Value, at: &str, containers: &[&str], errors: &mut Errors) {
    let operator = text(codes, "/operator");
    let field = format!("{at}.operator");
    if operator.is_empty() {
        errors.push(FieldError::required(
            field,
            "valid values: [\"In\" \"NotIn\"]",
        ));
    } else {
        errors.one_of(field, operator, &["In", "NotIn"]);
    }
    if let Some(name) = codes["containerName"].as_str()
        && !containers.contains(&name)
    {
        let detail = "must be one of the container or initContainer names in the pod template";
        let field = format!("{at}.containerName");
        errors.push(FieldError::invalid(field, &name.into(), detail));
    }
    let at = format!("{at}.values");
    let values = list(codes, "/values");
    if values.is_empty() {
        let detail = "at least one value is required";
        errors.push(FieldError::invalid(&at, &codes["values"], detail));
    } else if values.len() > EXIT_CODES_MAX {
        errors.push(FieldError::too_many(&at, values.len(), EXIT_CODES_MAX));
    }
    for (index, value) in values.iter().enumerate().take(EXIT_CODES_MAX) {
        let field = format!("{at}[{index}]");
        if operator == "In" && value.as_i64() == Some(0) {
            let detail = "must not be 0 for the In operator";
            errors.push(FieldError::invalid(&field, value, detail));
        }
        if values.iter().take(index).any(|other| other == value) {
            errors.push(FieldError::duplicate(field, value));
        }
    }
    if !values.is_sorted_by_key(Value::as_i64) {
        errors.push(FieldError::invalid(at, &codes["values"], "must be ordered"));
    }
}

fn pod_conditions(conditions: &[Value], at: &str, errors: &mut Errors) {
    if conditions.len() > CONDITIONS_MAX {
        errors.push(FieldError::too_many(at, conditions.len(), CONDITIONS_MAX));
    }
    for (index, pattern) in conditions.iter().enumerate() {
        let at = format!("{at}[{index}]");
        errors.rule(
            format!("{at}.type"),
            text(pattern, "/type"),
            names::check_qualified,
        );
        let status = text(pattern, "/status");
        errors.one_of(
            format!("{at}.status"),
            status,
            &["False", "True", "Unknown"],
        );
    }
}

fn success(spec: &Value, at: &str, errors: &mut Errors) {
    let rules = list(spec, "/successPolicy/rules");
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(at, detail));
    } else if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(at, rules.len(), RULES_MAX));
    }
    let completions = spec["completions"].as_i64().unwrap_or_default();
    for (index, rule) in rules.iter().enumerate() {
        let at = format!("{at}[{index}]");
        let (indexes, count) = (rule["succeededIndexes"].as_str(), &rule["succeededCount"]);
        if indexes.is_none() && count.is_null() {
            let detail = "at least one of succeededCount or succeededIndexes must be specified";
            errors.push(FieldError::required(&at, detail));
        }
        let mut total = None;
        if let Some(indexes) = indexes {
            let field = format!("{at}.succeededIndexes");
            if indexes.len() > INDEXES_BYTES_MAX {
                errors.push(FieldError::too_long(&field, INDEXES_BYTES_MAX));
            }
            match count_indexes(indexes, completions) {
                Ok(found) => total = Some(found),
                Err(problem) => {
                    let detail = format!("error parsing succeededIndexes: {problem}");
                    errors.push(FieldError::invalid(field, &indexes.into(), detail));
                }
            }
        }
        not_negative(rule, &format!("{at}."), &["succeededCount"], errors);
        let field = format!("{at}.succeededCount");
        for (max, of) in [
            (Some(completions), "the number of specified completions"),
            (
                total,
                "the number of indexes in the specified succeededIndexes field",
            ),
        ] {
            if let (Some(count), Some(max)) = (count.as_i64(), max)
                && count > max
            {
                let detail = format!("must be less than or equal to {max} ({of})");
                errors.push(FieldError::invalid(&field, &count.into(), detail));
            }
        }
    }
}

/// How many indexes `text` names (`0,3-5`); the error says why it is no such list.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let index = |text: &str| -> Result<i64, String> {
        let number = text
            .parse::<i64>()
            .map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        if number >= completions {
            return Err(format!("too large index: {text:?}"));
        }
        Ok(number)
    };
    let order = |previous: i64, current: i64| {
        format!("non-increasing order, previous: {previous}, current: {current}")
    };
    let (mut total, mut last) = (0, None);
    for interval in text.split(',').filter(|_| !text.is_empty()) {
        let mut ends = interval.split('-');
        let first = index(ends.next().unwrap_or_default())?;
        let end = match (ends.next(), ends.next()) {
            (None, _) => first,
            (Some(end), None) => match index(end)? {
                end if end > first => end,
                end => return Err(order(first, end)),
            },
            (Some(_), Some(_)) => {
                return Err(format!(
                    "the fragment {interval:?} violates the requirement that an index interval can have at most two parts separated by '-'"
                ));
            }
        };
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(order(last, first));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}
