//! What may not change once it is there.

use super::Workload;
use crate::api::kinds::FieldError;
use crate::api::kinds::errors::IMMUTABLE;
use crate::api::kinds::status::put;
use crate::object::access::{map, present, text, truth};
use serde_json::Value;

/// Fields of a StatefulSet that may: upstream's list, and its order in the message.
const OF_STATEFUL_SET: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];
const STATEFUL_SET: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

pub fn update(kind: Workload, old: &Value, object: &Value) -> Vec<FieldError> {
    let (before, after) = (&old["spec"], &object["spec"]);
    match kind {
        Workload::Deployment | Workload::ReplicaSet | Workload::DaemonSet => {
            fixed(before, after, &["selector"])
        }
        Workload::StatefulSet => stateful_set(before, after),
        Workload::Job => job(old, object),
        Workload::Revision if old["data"] != object["data"] => {
            vec![FieldError::invalid("data", &object["data"], IMMUTABLE)]
        }
        _ => Vec::new(),
    }
}

fn fixed(before: &Value, after: &Value, fields: &[&str]) -> Vec<FieldError> {
    fields
        .iter()
        .filter(|field| before[**field] != after[**field])
        .map(|field| FieldError::invalid(format!("spec.{field}"), &after[*field], IMMUTABLE))
        .collect()
}

fn stateful_set(before: &Value, after: &Value) -> Vec<FieldError> {
    let fixed = |spec: &Value| -> Vec<(String, Value)> {
        let mut fields: Vec<(String, Value)> = map(spec, "")
            .iter()
            .filter(|(name, value)| !OF_STATEFUL_SET.contains(&name.as_str()) && !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        fields
    };
    if fixed(before) == fixed(after) {
        return Vec::new();
    }
    vec![FieldError::forbidden("spec", STATEFUL_SET)]
}

fn job(old: &Value, object: &Value) -> Vec<FieldError> {
    let (before, after) = (&old["spec"], &object["spec"]);
    let mut errors = Vec::new();
    let completions = &after["completions"];
    if before["completions"] != *completions {
        let detail = if text(after, "/completionMode") != "Indexed" {
            Some(IMMUTABLE)
        } else if !completions.is_null() && *completions != after["parallelism"] {
            Some("can only be modified in tandem with spec.parallelism")
        } else {
            None
        };
        errors.extend(
            detail.map(|detail| FieldError::invalid("spec.completions", completions, detail)),
        );
    }
    errors.extend(fixed(before, after, &["selector"]));
    let (mut was, mut is) = (before["template"].clone(), after["template"].clone());
    if truth(before, "/suspend") && !present(old, "/status/startTime") {
        // No pod of it has been made: where its pods go may still be decided.
        without_directives(&mut was);
        without_directives(&mut is);
    }
    if was != is {
        let template = &after["template"];
        errors.push(FieldError::invalid("spec.template", template, IMMUTABLE));
    }
    let policies = [
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ];
    errors.extend(fixed(before, after, &policies));
    errors
}

/// Takes out what a suspended Job's template may change.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/job/#mutable-scheduling-directives>
fn without_directives(template: &mut Value) {
    for (part, field) in [
        ("metadata", "labels"),
        ("metadata", "annotations"),
        ("spec", "nodeSelector"),
        ("spec", "tolerations"),
        ("spec", "schedulingGates"),
    ] {
        if let Some(part) = template.get_mut(part) {
            put(part, field, Value::Null);
        }
    }
    if let Some(affinity) = template.pointer_mut("/spec/affinity") {
        put(affinity, "nodeAffinity", Value::Null);
    }
    // An affinity that is empty without it, and none at all, are the same.
    let nothing = map(template, "/spec/affinity").is_empty();
    if let Some(spec) = template.get_mut("spec").filter(|_| nothing) {
        put(spec, "affinity", Value::Null);
    }
    let nothing = map(template, "/metadata").is_empty();
    if nothing {
        put(template, "metadata", Value::Null);
    }
}
