//! `autoscaling/v1`: the same autoscaler, seen as if it knew of CPU alone. What it has no field for travels in
//! annotations, as upstream's conversion lets it travel; the text in them is v2's.

use crate::api::kinds::Strategy;
use crate::api::kinds::status::put;
use crate::api::kinds::view::View;
use crate::object::access::{list, text};
use serde_json::{Value, json};

pub struct Version1;

/// Annotation, and the field of v2 it stands for.
const CARRIED: [(&str, &str); 4] = [
    ("autoscaling.alpha.kubernetes.io/metrics", "/spec/metrics"),
    ("autoscaling.alpha.kubernetes.io/behavior", "/spec/behavior"),
    (
        "autoscaling.alpha.kubernetes.io/current-metrics",
        "/status/currentMetrics",
    ),
    (
        "autoscaling.alpha.kubernetes.io/conditions",
        "/status/conditions",
    ),
];
const TARGET: &str = "targetCPUUtilizationPercentage";
const CURRENT: &str = "currentCPUUtilizationPercentage";

impl Strategy for Version1 {
    fn view(&self) -> Option<&'static View> {
        Some(&View {
            group: "autoscaling",
            version: "v2",
            plural: "horizontalpodautoscalers",
            to_stored,
            from_stored,
        })
    }
}

/// Whether a metric's goal is a share of the requested CPU: what v1 has a field for.
fn is_cpu_share(metric: &Value, goal: &str) -> bool {
    text(metric, "/type") == "Resource"
        && text(metric, "/resource/name") == "cpu"
        && !metric["resource"][goal]["averageUtilization"].is_null()
}

fn split(half: &str, pointer: &str) -> Option<(String, String)> {
    let rest = pointer.strip_prefix(&format!("/{half}/"))?;
    Some((half.to_owned(), rest.to_owned()))
}

fn place(pointer: &str) -> (String, String) {
    split("spec", pointer)
        .or_else(|| split("status", pointer))
        .unwrap_or_default()
}

fn from_stored(mut object: Value) -> Value {
    for (annotation, pointer) in CARRIED {
        let (half, field) = place(pointer);
        let Some(value) = object.pointer_mut(pointer).map(Value::take) else {
            continue;
        };
        put(&mut object[half.as_str()], &field, Value::Null);
        let (goal, short) = match field.as_str() {
            "metrics" => ("target", TARGET),
            "currentMetrics" => ("current", CURRENT),
            _ => ("", ""),
        };
        let mut carried = value;
        if let Some(metrics) = carried.as_array_mut().filter(|_| !goal.is_empty())
            && let Some(at) = metrics.iter().position(|one| is_cpu_share(one, goal))
        {
            let metric = metrics.remove(at);
            let share = metric["resource"][goal]["averageUtilization"].clone();
            put(&mut object[half.as_str()], short, share);
        }
        let empty = carried.is_null() || carried.as_array().is_some_and(Vec::is_empty);
        if !empty && object["metadata"].is_object() {
            if !object["metadata"]["annotations"].is_object() {
                object["metadata"]["annotations"] = json!({});
            }
            object["metadata"]["annotations"][annotation] = carried.to_string().into();
        }
    }
    if object["status"].is_object() && object["status"]["currentReplicas"].is_null() {
        object["status"]["currentReplicas"] = 0.into();
    }
    put(&mut object, "apiVersion", "autoscaling/v1".into());
    object
}

fn to_stored(mut object: Value) -> Value {
    for (annotation, pointer) in CARRIED {
        let (half, field) = place(pointer);
        let annotations = object
            .pointer_mut("/metadata/annotations")
            .and_then(Value::as_object_mut);
        let text = annotations.and_then(|annotations| annotations.shift_remove(annotation));
        // A text that is no JSON is dropped, as upstream's conversion drops it.
        let carried = text
            .as_ref()
            .and_then(Value::as_str)
            .and_then(|text| serde_json::from_str::<Value>(text).ok());
        if let Some(carried) = carried
            && object[half.as_str()].is_object()
        {
            put(&mut object[half.as_str()], &field, carried);
        }
    }
    for (half, short, field, goal) in [
        ("spec", TARGET, "metrics", "target"),
        ("status", CURRENT, "currentMetrics", "current"),
    ] {
        let Some(fields) = object.get_mut(half).filter(|fields| fields.is_object()) else {
            continue;
        };
        let share = fields[short].take();
        put(fields, short, Value::Null);
        if share.is_null() {
            continue;
        }
        let mut aim = json!({"averageUtilization": share});
        if goal == "target" {
            aim["type"] = "Utilization".into();
        }
        let mut metrics = vec![json!({"type": "Resource", "resource": {"name": "cpu", goal: aim}})];
        metrics.extend(list(fields, &format!("/{field}")).iter().cloned());
        put(fields, field, metrics.into());
    }
    let empty = object["metadata"]["annotations"]
        .as_object()
        .is_some_and(serde_json::Map::is_empty);
    if empty {
        put(&mut object["metadata"], "annotations", Value::Null);
    }
    put(&mut object, "apiVersion", "autoscaling/v2".into());
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}});
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 50, "type": "Utilization"}}});
        let stored = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
            "spec": {"minReplicas": 1, "maxReplicas": 3, "metrics": [cpu, memory], "behavior": {"scaleUp": {"selectPolicy": "Max"}}},
            "status": {"desiredReplicas": 1, "currentReplicas": 1,
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 7}}}]},
        });
        let shown = from_stored(stored.clone());
        assert_eq!(shown["apiVersion"], "autoscaling/v1");
        assert_eq!(
            (&shown["spec"][TARGET], &shown["status"][CURRENT]),
            (&json!(50), &json!(7))
        );
        assert!(shown["spec"].get("metrics").is_none() && shown["spec"].get("behavior").is_none());
        assert_eq!(to_stored(shown), stored);
        for odd in [
            json!(1),
            json!({}),
            json!({"metadata": 1, "spec": 2, "status": [1]}),
        ] {
            let _ = (to_stored(odd.clone()), from_stored(odd));
        }
    }
}
