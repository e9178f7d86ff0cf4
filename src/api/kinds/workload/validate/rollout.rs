//! How Deployments and DaemonSets replace their pods.

use crate::api::kinds::FieldError;
use crate::api::kinds::amount::{at_most_all, count_or_percent, is_nothing};
use crate::api::kinds::errors::Errors;
use crate::object::access::{integer, present, text};
use serde_json::Value;

pub fn deployment(spec: &Value, errors: &mut Errors) {
    let deadline = &spec["progressDeadlineSeconds"];
    if deadline
        .as_i64()
        .is_some_and(|seconds| seconds <= integer(spec, "/minReadySeconds"))
    {
        let detail = "must be greater than minReadySeconds";
        let field = "spec.progressDeadlineSeconds";
        errors.push(FieldError::invalid(field, deadline, detail));
    }
    let at = "spec.strategy";
    let strategy = &spec["strategy"];
    match text(strategy, "/type") {
        "Recreate" => {
            if present(strategy, "/rollingUpdate") {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                errors.push(FieldError::forbidden(format!("{at}.rollingUpdate"), detail));
            }
        }
        "RollingUpdate" => {
            let update = &strategy["rollingUpdate"];
            let at = format!("{at}.rollingUpdate");
            let unavailable = &update["maxUnavailable"];
            amounts(update, &at, errors);
            if is_nothing(unavailable) && is_nothing(&update["maxSurge"]) {
                let detail = "may not be 0 when `maxSurge` is 0";
                let field = format!("{at}.maxUnavailable");
                errors.push(FieldError::invalid(field, unavailable, detail));
            }
            at_most_all(unavailable, &format!("{at}.maxUnavailable"), errors);
        }
        other => errors.one_of(format!("{at}.type"), other, &["Recreate", "RollingUpdate"]),
    }
}

pub fn daemon_set(spec: &Value, errors: &mut Errors) {
    let strategy = &spec["updateStrategy"];
    match text(strategy, "/type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let update = &strategy["rollingUpdate"];
            let at = "spec.updateStrategy.rollingUpdate";
            amounts(update, at, errors);
            for field in ["maxUnavailable", "maxSurge"] {
                at_most_all(&update[field], &format!("{at}.{field}"), errors);
            }
            let (unavailable, surge) = (&update["maxUnavailable"], &update["maxSurge"]);
            match (is_nothing(unavailable), is_nothing(surge)) {
                (false, false) => {
                    let detail = "may not be set when maxUnavailable is non-zero";
                    let field = format!("{at}.maxSurge");
                    errors.push(FieldError::invalid(field, surge, detail));
                }
                (true, true) => {
                    let field = format!("{at}.maxUnavailable");
                    let detail = "cannot be 0 when maxSurge is 0";
                    errors.push(FieldError::required(field, detail));
                }
                _ => {}
            }
        }
        other => errors.one_of(
            "spec.updateStrategy.type",
            other,
            &["RollingUpdate", "OnDelete"],
        ),
    }
}

fn amounts(update: &Value, at: &str, errors: &mut Errors) {
    for field in ["maxUnavailable", "maxSurge"] {
        count_or_percent(&update[field], &format!("{at}.{field}"), errors);
    }
}
