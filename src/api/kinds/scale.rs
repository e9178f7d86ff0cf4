//! `autoscaling/v1` `Scale`: how many pods a workload should have, alike for every kind that counts them.
//!
//! For: the `scale` part. What comes in: a stored workload. What goes out: its scale, and the workload with another
//! number. Invariants: of a scale only `spec.replicas` reaches the workload. Never knows about requests.
//! <https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.32/#scale-v1-autoscaling>

use super::check::check;
use super::errors::Errors;
use super::review::Review;
use super::{FieldError, Kind, metadata};
use crate::api::table;
use crate::object::access::integer;
use crate::object::names;
use crate::object::selector::written;
use k8s_openapi::api::autoscaling::v1 as autoscaling;
use serde_json::{Value, json};

/// No resource of its own, but the body of one part of the workloads.
pub static KIND: Kind = Kind::new(
    "autoscaling",
    "Scale",
    ["scales", ""],
    &Review,
    check::<autoscaling::Scale>,
)
.columns(table::SCALE);

/// The scale of a stored workload.
pub fn of(workload: &Value) -> Value {
    let mut metadata = json!({});
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = workload["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    // The older kind has a plain map for a selector.
    let selector = &workload["spec"]["selector"];
    let selector = if workload["kind"] == "ReplicationController" {
        written(&json!({"matchLabels": selector}))
    } else {
        written(selector)
    };
    let mut status = json!({"replicas": integer(workload, "/status/replicas")});
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": integer(workload, "/spec/replicas")}, "status": status,
    })
}

/// Everything wrong with a scale (upstream's `ValidateScale`).
fn validate(scale: &Value) -> Vec<FieldError> {
    let mut errors = Errors {
        list: metadata::validate(scale, names::check_subdomain),
    };
    // A scale that names no number means none, as in Go.
    if integer(scale, "/spec/replicas") < 0 {
        let replicas = &scale["spec"]["replicas"];
        errors.range("spec.replicas", replicas, 0..=i64::MAX);
    }
    errors.list
}

/// The workload with the number that `scale` asks for, prepared as any other update.
pub fn set_replicas(
    kind: &Kind,
    workload: &mut Value,
    scale: &Value,
) -> Result<(), Vec<FieldError>> {
    let errors = validate(scale);
    if !errors.is_empty() {
        return Err(errors);
    }
    let before = workload.clone();
    if let Some(spec) = workload.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("replicas".into(), integer(scale, "/spec/replicas").into());
    }
    kind.strategy.prepare_update(&before, workload);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::all;

    #[test]
    fn there_and_back() {
        let Some(kind) = all().iter().find(|kind| kind.kind == "ReplicaSet") else {
            panic!("no ReplicaSet");
        };
        let mut set = json!({"kind": "ReplicaSet", "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "generation": 1, "labels": {"x": "y"}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"b": "2", "a": "1"}}}, "status": {"replicas": 1}});
        let scale = of(&set);
        assert_eq!(
            scale["metadata"],
            json!({"name": "a", "uid": "u", "resourceVersion": "7"})
        );
        assert_eq!(scale["spec"], json!({"replicas": 2}));
        assert_eq!(
            scale["status"],
            json!({"replicas": 1, "selector": "a=1,b=2"})
        );
        assert_eq!(check::<autoscaling::Scale>(&scale), Default::default());
        let asked = |replicas: i64| json!({"metadata": {"name": "a"}, "spec": {"replicas": replicas}, "status": {"replicas": 99}});
        assert_eq!(set_replicas(kind, &mut set, &asked(5)), Ok(()));
        assert_eq!(
            (&set["spec"]["replicas"], &set["metadata"]["generation"]),
            (&json!(5), &json!(2))
        );
        assert_eq!(set["status"], json!({"replicas": 1}));
        let wrong = set_replicas(kind, &mut set, &asked(-1))
            .err()
            .unwrap_or_default();
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].field, "spec.replicas");
        let old = of(
            &json!({"kind": "ReplicationController", "spec": {"replicas": 1, "selector": {"a": "b"}}}),
        );
        assert_eq!(old["status"]["selector"], "a=b");
        for odd in [
            json!(1),
            json!({}),
            json!({"metadata": 1, "spec": 2, "status": [1]}),
        ] {
            let _ = of(&odd);
        }
    }
}
