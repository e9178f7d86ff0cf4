//! What a Job does, and the labels by which it knows its pods.

use super::{job_policies, mismatch, not_negative};
use crate::api::kinds::errors::Errors;
use crate::api::kinds::{FieldError, selector};
use crate::object::access::{map, present, text, truth};
use crate::object::names;
use crate::object::selector::LabelSelector;
use serde_json::{Value, json};

/// Keeps the texts of a Job's indexes short.
const PARALLELISM_OF_INDEXED_MAX: i64 = 100_000;
const FAILED_INDEXES_MAX: i64 = 100_000;
/// Above so many completions, with a limit per index, the next two hold.
const COMPLETIONS_SOFT_MAX: i64 = 100_000;
const PARALLELISM_OF_MANY_MAX: i64 = 10_000;
const FAILED_INDEXES_OF_MANY_MAX: i64 = 10_000;
const MANAGED_BY_BYTES_MAX: usize = 63;
const UNSUPPORTED: &str = "not supported by this version of Coracle";

pub fn validate(job: &Value, errors: &mut Errors) {
    let own = &job["spec"];
    generated_labels(job, errors);
    spec(own, "spec", errors);
    if own["selector"].is_null() {
        errors.push(FieldError::required("spec.selector", ""));
    } else {
        selector::validate(&own["selector"], "spec.selector", errors);
    }
    let fits = |selector: LabelSelector| {
        !own["selector"].is_null() && selector.matches_object(&own["template"])
    };
    if LabelSelector::from_json(&own["selector"]).is_ok_and(|selector| !fits(selector)) {
        mismatch(&own["template"], errors);
    }
    let completions = own["completions"].as_i64().unwrap_or_default();
    if text(own, "/completionMode") == "Indexed" && completions > 0 {
        let name = text(job, "/metadata/name");
        // The pod of the last index has the longest hostname.
        let hostname = format!("{name}-{}", completions - 1);
        if names::check_label(&hostname).is_err() {
            let detail = format!("will not able to create pod with invalid DNS label: {hostname}");
            errors.push(FieldError::invalid("metadata.name", &name.into(), detail));
        }
    }
}

/// The labels a Job puts on its pods are its own: a conflicting one of the author's is refused.
fn generated_labels(job: &Value, errors: &mut Errors) {
    let own = &job["spec"];
    if truth(own, "/manualSelector") || own["selector"].is_null() {
        return;
    }
    let labels = map(own, "/template/metadata/labels");
    let expected = [
        ("controller-uid", "/metadata/uid"),
        ("job-name", "/metadata/name"),
        ("batch.kubernetes.io/controller-uid", "/metadata/uid"),
        ("batch.kubernetes.io/job-name", "/metadata/name"),
    ]
    .map(|(key, at)| (key, text(job, at)));
    for (key, value) in expected {
        let field = format!("spec.template.metadata.labels[{key}]");
        let detail = format!("must be '{value}'");
        match labels.get(key) {
            None => errors.push(FieldError::required(field, &detail)),
            Some(found) if found != value => {
                let given = &own["template"]["metadata"]["labels"];
                errors.push(FieldError::invalid(field, given, detail));
            }
            Some(_) => {}
        }
    }
    let mut pod = json!({"metadata": {"labels": {}}});
    for (key, value) in expected {
        pod["metadata"]["labels"][key] = value.into();
    }
    if LabelSelector::from_json(&own["selector"]).is_ok_and(|s| !s.matches_object(&pod)) {
        let detail = "`selector` not auto-generated";
        errors.push(FieldError::invalid(
            "spec.selector",
            &own["selector"],
            detail,
        ));
    }
}

/// Of a Job, or of the template of one.
pub fn spec(spec: &Value, at: &str, errors: &mut Errors) {
    let counts = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    not_negative(spec, &format!("{at}."), &counts, errors);
    if present(spec, "/maxFailedIndexes") && !present(spec, "/backoffLimitPerIndex") {
        let field = format!("{at}.backoffLimitPerIndex");
        errors.push(FieldError::required(
            field,
            "when maxFailedIndexes is specified",
        ));
    }
    if present(spec, "/scheduling") {
        errors.push(FieldError::forbidden(
            format!("{at}.scheduling"),
            UNSUPPORTED,
        ));
    }
    managed_by(spec, at, errors);
    let mode = text(spec, "/completionMode");
    match mode {
        "Indexed" => indexed(spec, at, errors),
        "" | "NonIndexed" => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if !spec[field].is_null() {
                    let detail = "requires indexed completion mode";
                    let path = format!("{at}.{field}");
                    errors.push(FieldError::invalid(path, &spec[field], detail));
                }
            }
        }
        other => errors.one_of(
            format!("{at}.completionMode"),
            other,
            &["NonIndexed", "Indexed"],
        ),
    }
    job_policies::validate(spec, at, errors);
    restarts(spec, at, errors);
}

fn managed_by(spec: &Value, at: &str, errors: &mut Errors) {
    let Some(manager) = spec["managedBy"].as_str() else {
        return;
    };
    let field = format!("{at}.managedBy");
    match manager.split_once('/') {
        Some((domain, path)) if !path.is_empty() => {
            errors.rule(&field, domain, names::check_subdomain);
        }
        _ => {
            let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(&field, &manager.into(), detail));
        }
    }
    if manager.len() > MANAGED_BY_BYTES_MAX {
        errors.push(FieldError::too_long(field, MANAGED_BY_BYTES_MAX));
    }
}

fn indexed(spec: &Value, at: &str, errors: &mut Errors) {
    let number = |field: &str| spec[field].as_i64();
    let mut at_most = |field: &str, max: i64, why: &str| {
        if number(field).is_some_and(|number| number > max) {
            let detail = format!("must be less than or equal to {max}{why}");
            let path = format!("{at}.{field}");
            errors.push(FieldError::invalid(path, &spec[field], detail));
        }
    };
    at_most(
        "parallelism",
        PARALLELISM_OF_INDEXED_MAX,
        " when completion mode is Indexed",
    );
    at_most("maxFailedIndexes", FAILED_INDEXES_MAX, "");
    let completions = number("completions");
    let many = completions.is_some_and(|count| count > COMPLETIONS_SOFT_MAX)
        && present(spec, "/backoffLimitPerIndex");
    if many {
        let why = format!(
            " when completions are above {COMPLETIONS_SOFT_MAX} and used with backoff limit per index"
        );
        at_most("parallelism", PARALLELISM_OF_MANY_MAX, &why);
        at_most("maxFailedIndexes", FAILED_INDEXES_OF_MANY_MAX, &why);
    }
    let failed = number("maxFailedIndexes");
    match (completions, failed) {
        (None, _) => {
            let field = format!("{at}.completions");
            errors.push(FieldError::required(
                field,
                "when completion mode is Indexed",
            ));
        }
        (Some(completions), Some(failed)) if failed > completions => {
            let detail = "must be less than or equal to completions";
            let field = format!("{at}.maxFailedIndexes");
            errors.push(FieldError::invalid(field, &failed.into(), detail));
        }
        (Some(_), None) if many => {
            let field = format!("{at}.maxFailedIndexes");
            let detail =
                format!("must be specified when completions is above {COMPLETIONS_SOFT_MAX}");
            errors.push(FieldError::required(field, &detail));
        }
        _ => {}
    }
}

fn restarts(spec: &Value, at: &str, errors: &mut Errors) {
    let policy = text(spec, "/template/spec/restartPolicy");
    let field = format!("{at}.template.spec.restartPolicy");
    match policy {
        "" | "Always" => {
            let detail = "valid values: \"OnFailure\", \"Never\"";
            errors.push(FieldError::required(field, detail));
        }
        "OnFailure" if present(spec, "/podFailurePolicy") => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(FieldError::invalid(field, &policy.into(), detail));
        }
        // Another word is refused with the template.
        _ => {}
    }
}
