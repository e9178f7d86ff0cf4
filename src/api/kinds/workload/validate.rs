//! What is wrong with each kind beyond its pod template (upstream's `pkg/apis/{apps,batch,core}/validation`).

use super::Workload;
use crate::api::kinds::errors::Errors;
use crate::api::kinds::{FieldError, metadata};
use crate::object::access::text;
use crate::object::cron::{Cron, CronError};
use crate::object::names;
use crate::object::selector::LabelSelector;
use serde_json::{Value, json};

pub fn validate(kind: Workload, object: &Value) -> Vec<FieldError> {
    let mut errors = Errors {
        list: metadata::validate(object, names::check_subdomain),
    };
    let spec = &object["spec"];
    for field in [
        "replicas",
        "minReadySeconds",
        "revisionHistoryLimit",
        "progressDeadlineSeconds",
        "parallelism",
        "completions",
        "backoffLimit",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
        "startingDeadlineSeconds",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    ] {
        if spec[field].as_i64().is_some_and(|number| number < 0) {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(
                format!("spec.{field}"),
                &spec[field],
                detail,
            ));
        }
    }
    match kind {
        Workload::Revision | Workload::PodTemplate => {}
        Workload::Job => restart(
            &spec["template"],
            "spec.template",
            &["OnFailure", "Never"],
            &mut errors,
        ),
        Workload::CronJob => {
            if text(spec, "/schedule").is_empty() {
                errors.push(FieldError::required("spec.schedule", ""));
            } else {
                schedule(spec, &mut errors);
            }
            let policy = text(spec, "/concurrencyPolicy");
            errors.one_of(
                "spec.concurrencyPolicy",
                policy,
                &["Allow", "Forbid", "Replace"],
            );
            let at = "spec.jobTemplate.spec.template";
            let template = &spec["jobTemplate"]["spec"]["template"];
            restart(template, at, &["OnFailure", "Never"], &mut errors);
        }
        _ => {
            selector(kind, spec, &mut errors);
            restart(&spec["template"], "spec.template", &["Always"], &mut errors);
        }
    }
    errors.list
}

/// A schedule that comes round, in a zone that is known; the zone has a field of its own.
fn schedule(spec: &Value, errors: &mut Errors) {
    let zone = spec["timeZone"].as_str();
    match Cron::parse(text(spec, "/schedule"), zone) {
        Ok(_) => {}
        Err(error @ CronError::Zone(_)) => {
            let detail = error.to_string();
            errors.push(FieldError::invalid(
                "spec.timeZone",
                &spec["timeZone"],
                detail,
            ));
        }
        Err(error) => {
            let detail = error.to_string();
            errors.push(FieldError::invalid(
                "spec.schedule",
                &spec["schedule"],
                detail,
            ));
        }
    }
}

fn restart(template: &Value, at: &str, allowed: &[&str], errors: &mut Errors) {
    let policy = text(template, "/spec/restartPolicy");
    if ["Always", "OnFailure", "Never"].contains(&policy) {
        errors.one_of(format!("{at}.spec.restartPolicy"), policy, allowed);
    }
}

fn selector(kind: Workload, spec: &Value, errors: &mut Errors) {
    let own = match kind {
        Workload::ReplicationController => json!({"matchLabels": spec["selector"]}),
        _ => spec["selector"].clone(),
    };
    if spec["selector"].is_null() {
        return errors.push(FieldError::required("spec.selector", ""));
    }
    match LabelSelector::from_json(&own) {
        Err(problem) => errors.push(FieldError::invalid(
            "spec.selector",
            &spec["selector"],
            problem,
        )),
        Ok(selector) if selector.is_empty() => errors.push(FieldError::invalid(
            "spec.selector",
            &spec["selector"],
            "empty selector is invalid for deployment",
        )),
        Ok(selector) if !selector.matches_object(&spec["template"]) => {
            errors.push(FieldError::invalid(
                "spec.template.metadata.labels",
                &spec["template"]["metadata"]["labels"],
                "`selector` does not match template `labels`",
            ));
        }
        Ok(_) => {}
    }
}

/// What may not change once it is there.
pub fn update(kind: Workload, old: &Value, object: &Value) -> Vec<FieldError> {
    let immutable: &[&str] = match kind {
        Workload::Deployment | Workload::ReplicaSet | Workload::DaemonSet => &["selector"],
        Workload::Job => &["selector", "completionMode", "podFailurePolicy", "template"],
        Workload::StatefulSet => &[
            "selector",
            "serviceName",
            "podManagementPolicy",
            "volumeClaimTemplates",
        ],
        Workload::Revision if old["data"] != object["data"] => {
            return vec![FieldError::invalid(
                "data",
                &object["data"],
                "field is immutable",
            )];
        }
        _ => &[],
    };
    immutable
        .iter()
        .filter(|field| old["spec"][**field] != object["spec"][**field])
        .map(|field| {
            let value = &object["spec"][*field];
            FieldError::invalid(format!("spec.{field}"), value, "field is immutable")
        })
        .collect()
}
