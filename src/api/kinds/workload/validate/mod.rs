//! What is wrong with each kind beyond its pod template (upstream's `pkg/apis/{apps,batch,core}/validation`).

mod cron_job;
mod job;
mod job_policies;
mod rollout;
mod stateful_set;
mod update;

pub use stateful_set::with_claims;
pub use update::update;

use super::Workload;
use crate::api::kinds::errors::Errors;
use crate::api::kinds::{FieldError, metadata, selector};
use crate::object::access::{list, map, present, text};
use crate::object::names;
use crate::object::selector::LabelSelector;
use serde_json::{Value, json};

pub fn validate(kind: Workload, object: &Value) -> Vec<FieldError> {
    let name_rule = match kind {
        // Its pods are named after it, and a pod's name becomes its hostname.
        Workload::StatefulSet => names::check_label,
        _ => names::check_subdomain,
    };
    let mut errors = Errors {
        list: metadata::validate(object, name_rule),
    };
    let spec = &object["spec"];
    match kind {
        Workload::PodTemplate => {}
        Workload::Revision => {
            if object["data"].is_null() {
                errors.push(FieldError::required("data", "data is mandatory"));
            }
            not_negative(object, "", &["revision"], &mut errors);
        }
        Workload::Job => job::validate(object, &mut errors),
        Workload::CronJob => cron_job::validate(spec, &mut errors),
        _ => replicated(kind, spec, &mut errors),
    }
    errors.list
}

pub fn create(kind: Workload, object: &Value) -> Vec<FieldError> {
    match kind {
        Workload::CronJob => cron_job::name(object),
        _ => Vec::new(),
    }
}

/// Kinds that keep pods running.
fn replicated(kind: Workload, spec: &Value, errors: &mut Errors) {
    let counts = [
        "replicas",
        "minReadySeconds",
        "revisionHistoryLimit",
        "progressDeadlineSeconds",
    ];
    not_negative(spec, "spec.", &counts, errors);
    selects(kind, spec, errors);
    match kind {
        Workload::Deployment => rollout::deployment(spec, errors),
        Workload::DaemonSet => rollout::daemon_set(spec, errors),
        Workload::StatefulSet => stateful_set::validate(spec, errors),
        _ => {}
    }
    let pod = &spec["template"]["spec"];
    let policy = text(pod, "/restartPolicy");
    if ["OnFailure", "Never"].contains(&policy) {
        errors.one_of("spec.template.spec.restartPolicy", policy, &["Always"]);
    }
    if present(pod, "/activeDeadlineSeconds") {
        let owner = match kind {
            Workload::ReplicationController => "ReplicationController",
            Workload::DaemonSet => "DaemonSet",
            Workload::StatefulSet => "StatefulSet",
            _ => "ReplicaSet",
        };
        let detail = format!("activeDeadlineSeconds in {owner} is not Supported");
        let field = "spec.template.spec.activeDeadlineSeconds";
        errors.push(FieldError::forbidden(field, detail));
    }
}

/// `prefix` is empty or ends with a dot.
fn not_negative(object: &Value, prefix: &str, fields: &[&str], errors: &mut Errors) {
    for field in fields {
        if object[field].as_i64().is_some_and(|number| number < 0) {
            errors.range(format!("{prefix}{field}"), &object[field], 0..=i64::MAX);
        }
    }
}

/// A selector of something, which the template's pods fit.
fn selects(kind: Workload, spec: &Value, errors: &mut Errors) {
    let given = &spec["selector"];
    let own = match kind {
        Workload::ReplicationController if map(spec, "/selector").is_empty() => {
            return errors.push(FieldError::required("spec.selector", ""));
        }
        Workload::ReplicationController => json!({"matchLabels": given}),
        _ if given.is_null() => {
            errors.push(FieldError::required("spec.selector", ""));
            given.clone()
        }
        _ => given.clone(),
    };
    selector::validate(&own, "spec.selector", errors);
    let nothing =
        map(&own, "/matchLabels").is_empty() && list(&own, "/matchExpressions").is_empty();
    if nothing && !given.is_null() {
        let whose = match kind {
            Workload::DaemonSet => "daemonset",
            Workload::StatefulSet => "statefulset",
            // Upstream says so of ReplicaSets too.
            _ => "deployment",
        };
        let detail = format!("empty selector is invalid for {whose}");
        errors.push(FieldError::invalid("spec.selector", given, detail));
    }
    // One that is missing selects nothing.
    let fits = |selector: LabelSelector| {
        !given.is_null() && (nothing || selector.matches_object(&spec["template"]))
    };
    if LabelSelector::from_json(&own).is_ok_and(|selector| !fits(selector)) {
        mismatch(&spec["template"], errors);
    }
}

fn mismatch(template: &Value, errors: &mut Errors) {
    errors.push(FieldError::invalid(
        "spec.template.metadata.labels",
        &template["metadata"]["labels"],
        "`selector` does not match template `labels`",
    ));
}

#[cfg(test)]
mod tests;
