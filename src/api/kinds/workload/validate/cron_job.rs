//! When a CronJob runs, and what.

use super::{job, not_negative};
use crate::api::kinds::FieldError;
use crate::api::kinds::errors::Errors;
use crate::object::access::{present, text, truth};
use crate::object::cron::Cron;
use serde_json::Value;

/// A Job's name is at most 63 bytes, and the controller puts 11 behind the CronJob's.
const NAME_BYTES_MAX: usize = 63 - 11;

/// Of a new one: names that were allowed once stay.
pub fn name(object: &Value) -> Vec<FieldError> {
    let name = text(object, "/metadata/name");
    if name.len() <= NAME_BYTES_MAX {
        return Vec::new();
    }
    let detail = format!("must be no more than {NAME_BYTES_MAX} bytes");
    vec![FieldError::invalid("metadata.name", &name.into(), detail)]
}

pub fn validate(spec: &Value, errors: &mut Errors) {
    schedule(spec, errors);
    zone(spec, errors);
    let counts = [
        "startingDeadlineSeconds",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    ];
    not_negative(spec, "spec.", &counts, errors);
    errors.one_of(
        "spec.concurrencyPolicy",
        text(spec, "/concurrencyPolicy"),
        &["Allow", "Forbid", "Replace"],
    );
    let at = "spec.jobTemplate.spec";
    let own = &spec["jobTemplate"]["spec"];
    job::spec(own, at, errors);
    if present(own, "/selector") {
        let detail = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(
            format!("{at}.selector"),
            &own["selector"],
            detail,
        ));
    }
    if truth(own, "/manualSelector") {
        let field = format!("{at}.manualSelector");
        errors.push(FieldError::not_supported(field, "true", &["nil", "false"]));
    }
}

fn schedule(spec: &Value, errors: &mut Errors) {
    let schedule = text(spec, "/schedule");
    let field = "spec.schedule";
    if schedule.is_empty() {
        errors.push(FieldError::required(field, ""));
    } else if schedule.contains("TZ") {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(FieldError::invalid(field, &schedule.into(), detail));
    } else if let Err(problem) = Cron::parse(schedule, None) {
        errors.push(FieldError::invalid(
            field,
            &schedule.into(),
            problem.to_string(),
        ));
    }
}

fn zone(spec: &Value, errors: &mut Errors) {
    let Some(zone) = spec["timeZone"].as_str() else {
        return;
    };
    let problem = if zone.is_empty() {
        "timeZone must be nil or non-empty string".to_owned()
    } else if zone.eq_ignore_ascii_case("Local") {
        "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
            .to_owned()
    } else {
        match Cron::parse("* * * * *", Some(zone)) {
            Ok(_) => return,
            Err(problem) => problem.to_string(),
        }
    };
    errors.push(FieldError::invalid("spec.timeZone", &zone.into(), problem));
}
