//! What of a running pod may change.

use super::scheduling;
use crate::api::kinds::FieldError;
use crate::api::kinds::status::put;
use crate::object::access::list;
use serde_json::Value;

const DETAIL: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Upstream's `ValidatePodUpdate`: images change, tolerations are added, gates go (`scheduling`),
/// nothing else. The node is set by binding.
pub fn validate(old: &Value, object: &Value) -> Vec<FieldError> {
    let (before, after) = (&old["spec"], &object["spec"]);
    let mut errors = Vec::new();
    for group in ["containers", "initContainers"] {
        let pointer = format!("/{group}");
        if list(before, &pointer).len() != list(after, &pointer).len() {
            let detail = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(format!("spec.{group}"), detail));
        }
    }
    if !errors.is_empty() {
        return errors;
    }
    let kept = list(after, "/tolerations");
    // Only how long a toleration lasts may change.
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        put(&mut toleration, "tolerationSeconds", Value::Null);
        toleration
    };
    let lost = list(before, "/tolerations")
        .iter()
        .map(without_seconds)
        .any(|wanted| !kept.iter().any(|t| without_seconds(t) == wanted));
    if lost {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden("spec.tolerations", detail));
    }

    let mut munged = after.clone();
    for group in ["containers", "initContainers"] {
        let images = list(before, &format!("/{group}"))
            .iter()
            .map(|c| c["image"].clone());
        if let Some(Value::Array(containers)) = munged.get_mut(group) {
            for (container, image) in containers.iter_mut().zip(images) {
                put(container, "image", image);
            }
        }
    }
    put(&mut munged, "tolerations", before["tolerations"].clone());
    errors.extend(scheduling::validate_update(before, after, &mut munged));
    if let Some(error) = deadline(
        &before["activeDeadlineSeconds"],
        &after["activeDeadlineSeconds"],
    ) {
        errors.push(error);
        return errors;
    }
    put(
        &mut munged,
        "activeDeadlineSeconds",
        before["activeDeadlineSeconds"].clone(),
    );
    let shortened = before["terminationGracePeriodSeconds"]
        .as_i64()
        .is_some_and(|grace| grace < 0)
        && after["terminationGracePeriodSeconds"] == 1;
    if shortened {
        put(
            &mut munged,
            "terminationGracePeriodSeconds",
            before["terminationGracePeriodSeconds"].clone(),
        );
    }
    if munged != *before {
        errors.push(FieldError::forbidden("spec", DETAIL));
    }
    errors
}

/// A deadline may be set and brought forward, not put off or lifted.
fn deadline(before: &Value, after: &Value) -> Option<FieldError> {
    let field = "spec.activeDeadlineSeconds";
    match (before.as_i64(), after.as_i64()) {
        (Some(_), None) => {
            let detail = "must not update from a positive integer to nil value";
            Some(FieldError::invalid(field, after, detail))
        }
        (Some(before), Some(now)) if now > before => {
            let detail = "must be less than or equal to previous value";
            Some(FieldError::invalid(field, after, detail))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes() {
        let toleration = json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
        let old = json!({"spec": {"containers": [{"name": "a", "image": "1"}], "nodeName": "n", "activeDeadlineSeconds": 100, "tolerations": [toleration]}});
        let more = json!({"key": "b", "operator": "Exists"});
        for (change, want) in [
            (json!({}), ""),
            (json!({"containers": [{"name": "a", "image": "2"}]}), ""),
            (json!({"containers": [{"name": "b", "image": "1"}]}), "spec"),
            (json!({"containers": []}), "spec.containers"),
            (json!({"tolerations": [toleration, more]}), ""),
            (
                json!({"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]}),
                "",
            ),
            (json!({"tolerations": [more]}), "spec.tolerations"),
            (json!({"activeDeadlineSeconds": 50}), ""),
            (
                json!({"activeDeadlineSeconds": 101}),
                "spec.activeDeadlineSeconds",
            ),
            (
                json!({"activeDeadlineSeconds": null}),
                "spec.activeDeadlineSeconds",
            ),
            (json!({"ephemeralContainers": [{"name": "d"}]}), "spec"),
            (json!({"nodeName": "m"}), "spec"),
            (json!({"hostNetwork": true}), "spec"),
        ] {
            let mut object = old.clone();
            json_patch::merge(&mut object["spec"], &change);
            let found: Vec<String> = validate(&old, &object)
                .into_iter()
                .map(|e| e.field)
                .collect();
            assert_eq!(found.join(" "), want, "{change}");
        }
    }
}
