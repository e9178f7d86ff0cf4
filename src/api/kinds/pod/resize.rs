//! The `resize` subresource: resources of containers change, nothing else. Upstream's `ValidatePodResize`.
//! <https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/>

use super::quality;
use crate::api::kinds::FieldError;
use crate::api::kinds::status::put;
use crate::object::access::{list, map, present, text};
use serde_json::Value;

const GROUPS: [&str; 2] = ["containers", "initContainers"];
const MIRROR: &str = "/metadata/annotations/kubernetes.io~1config.mirror";

/// Of `object` only the resources and resize policies of containers are taken; containers that are named otherwise
/// stay for `validate` to refuse.
pub fn only_resources(old: &Value, object: &mut Value) {
    let sent = std::mem::replace(object, old.clone());
    if let Some(metadata) = object.get_mut("metadata") {
        // The client's precondition stays.
        put(
            metadata,
            "resourceVersion",
            sent["metadata"]["resourceVersion"].clone(),
        );
    }
    for group in GROUPS {
        let theirs = list(&sent, &format!("/spec/{group}"));
        let names = |all: &[Value]| -> Vec<String> {
            all.iter().map(|c| text(c, "/name").to_owned()).collect()
        };
        if names(theirs) != names(list(old, &format!("/spec/{group}"))) {
            put(&mut object["spec"], group, sent["spec"][group].clone());
            continue;
        }
        let Some(Value::Array(ours)) = object.pointer_mut(&format!("/spec/{group}")) else {
            continue;
        };
        for (mine, their) in ours.iter_mut().zip(theirs) {
            for field in ["resources", "resizePolicy"] {
                put(mine, field, their[field].clone());
            }
        }
    }
}

pub fn validate(old: &Value, object: &Value) -> Vec<FieldError> {
    if present(old, MIRROR) {
        return vec![FieldError::forbidden("", "static pods cannot be resized")];
    }
    let mut errors = Vec::new();
    if quality::class(old) != quality::class(object) {
        let class = quality::class(object).into();
        let detail = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid("spec", &class, detail));
    }
    for group in GROUPS {
        let pointer = format!("/spec/{group}");
        let (before, after) = (list(old, &pointer), list(object, &pointer));
        let same_order = before.len() == after.len()
            && before
                .iter()
                .zip(after)
                .all(|(b, a)| text(b, "/name") == text(a, "/name"));
        if !same_order {
            let detail = "containers may not be renamed or reordered on resize";
            errors.push(FieldError::forbidden(format!("spec.{group}"), detail));
            continue;
        }
        for (index, (before, after)) in before.iter().zip(after).enumerate() {
            container(
                before,
                after,
                &format!("spec.{group}[{index}]"),
                &mut errors,
            );
            let is_plain_init =
                group == "initContainers" && text(after, "/restartPolicy") != "Always";
            if is_plain_init && before != after {
                let detail = "only cpu and memory resources for sidecar containers are mutable";
                errors.push(FieldError::forbidden("spec", detail));
            }
        }
    }
    errors
}

fn container(before: &Value, after: &Value, at: &str, errors: &mut Vec<FieldError>) {
    for set in ["requests", "limits"] {
        let pointer = format!("/resources/{set}");
        for resource in ["cpu", "memory"] {
            let has = |c: &Value| map(c, &pointer).contains_key(resource);
            if has(before) && !has(after) {
                let detail = format!("resource {set} cannot be removed");
                errors.push(FieldError::forbidden(
                    format!("{at}.resources.{set}"),
                    detail.as_str(),
                ));
            }
        }
    }
    // What is left without CPU and memory must be as it was.
    let rest = |container: &Value| {
        let mut rest = container.clone();
        for set in ["requests", "limits"] {
            if let Some(Value::Object(amounts)) = rest.pointer_mut(&format!("/resources/{set}")) {
                amounts.remove("cpu");
                amounts.remove("memory");
                if amounts.is_empty() {
                    put(&mut rest["resources"], set, Value::Null);
                }
            }
        }
        rest
    };
    if rest(before) != rest(after) {
        errors.push(FieldError::forbidden(
            "spec",
            "only cpu and memory resources are mutable",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(resources: Value) -> Value {
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "b", "resources": resources}]}})
    }

    #[test]
    fn changes() {
        let old = pod(json!({"requests": {"cpu": "1", "memory": "1Mi", "example.com/x": "1"}}));
        for (requests, want) in [
            (
                json!({"cpu": "2", "memory": "1Mi", "example.com/x": "1"}),
                "",
            ),
            (
                json!({"memory": "1Mi", "example.com/x": "1"}),
                "spec.containers[0].resources.requests",
            ),
            (
                json!({"cpu": "1", "memory": "1Mi", "example.com/x": "2"}),
                "spec",
            ),
        ] {
            let new = pod(json!({"requests": requests}));
            let found: Vec<String> = validate(&old, &new).into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{requests}");
        }
        let guaranteed = pod(
            json!({"requests": {"cpu": "1", "memory": "1Mi"}, "limits": {"cpu": "1", "memory": "1Mi"}}),
        );
        let burstable = pod(
            json!({"requests": {"cpu": "1", "memory": "1Mi"}, "limits": {"cpu": "2", "memory": "1Mi"}}),
        );
        assert!(
            validate(&guaranteed, &burstable)[0]
                .message
                .contains("QOS Class may not change")
        );
        let mut renamed = old.clone();
        renamed["spec"]["containers"][0]["name"] = "z".into();
        assert_eq!(validate(&old, &renamed).len(), 1);
        let mut mirror = old.clone();
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        assert_eq!(validate(&mirror, &old).len(), 1);
    }

    #[test]
    fn nothing_else_is_taken() {
        let old = pod(json!({"requests": {"cpu": "1"}}));
        let mut sent = pod(json!({"requests": {"cpu": "2"}}));
        sent["spec"]["containers"][0]["image"] = "other".into();
        sent["metadata"]["labels"] = json!({"a": "b"});
        only_resources(&old, &mut sent);
        assert_eq!(sent, pod(json!({"requests": {"cpu": "2"}})));
    }
}
