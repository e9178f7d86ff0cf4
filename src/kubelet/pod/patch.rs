//! The patch that brings a pod's status in the API to what it is to be, and touches nothing of others.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Map, Value, json};

/// Lists that merge by key in a strategic patch although the kubelet owns them whole.
const OWN_LISTS: [&str; 2] = ["podIPs", "hostIPs"];

/// The strategic merge patch that turns the pod's status into `desired`. The uid inside makes it fail on another pod of
/// the same name. Only fields that differ are in it, and of the conditions only those: a readiness gate that somebody
/// sets in the same moment survives.
pub fn status_patch(pod: &Pod, desired: &PodStatus) -> Value {
    let old = object(&pod.status.clone().unwrap_or_default());
    let new = object(desired);
    let mut changes = differences(&old, &new);
    if changes.contains_key("conditions") {
        let list = conditions(old.get("conditions"), new.get("conditions"));
        changes.insert("conditions".to_string(), list.into());
    }
    for name in OWN_LISTS {
        if let Some(Value::Array(items)) = changes.get_mut(name) {
            items.insert(0, json!({"$patch": "replace"}));
        }
    }
    json!({"metadata": {"uid": pod.metadata.uid}, "status": changes})
}

fn object(status: &PodStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Fields that are new or other, and null for those that are gone.
fn differences(old: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let mut changes = Map::new();
    for (key, value) in new {
        if old.get(key) != Some(value) {
            changes.insert(key.clone(), value.clone());
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        changes.insert(key.clone(), Value::Null);
    }
    changes
}

fn conditions(old: Option<&Value>, new: Option<&Value>) -> Vec<Value> {
    let list = |value: Option<&Value>| -> Vec<Map<String, Value>> {
        let items = value.and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|c| c.as_object().cloned()).collect()
    };
    let before = list(old);
    let after = list(new);
    let mut changed = Vec::new();
    for condition in &after {
        let same = |c: &&Map<String, Value>| c.get("type") == condition.get("type");
        let mut change = match before.iter().find(same) {
            Some(old) if old == condition => continue,
            Some(old) => differences(old, condition),
            None => condition.clone(),
        };
        if let Some(kind) = condition.get("type") {
            change.insert("type".to_string(), kind.clone());
        }
        changed.push(Value::Object(change));
    }
    for condition in &before {
        let kind = condition.get("type");
        if !after.iter().any(|c| c.get("type") == kind) {
            changed.push(json!({"$patch": "delete", "type": kind}));
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pod(status: Value) -> Pod {
        Pod {
            status: Some(serde_json::from_value(status).unwrap()),
            ..Pod::default()
        }
    }

    #[test]
    fn only_changed_conditions_are_written() {
        let old = json!({"conditions": [
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "m"},
            {"type": "Initialized", "status": "True"},
            {"type": "example.com/gate", "status": "True"},
            {"type": "Old", "status": "True"},
        ]});
        let desired = pod(json!({"conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "Initialized", "status": "True"},
            {"type": "example.com/gate", "status": "True"},
            {"type": "ContainersReady", "status": "True"},
        ]}));
        let patch = status_patch(&pod(old), &desired.status.unwrap());
        assert_eq!(
            patch["status"],
            json!({"conditions": [
                {"status": "True", "reason": null, "message": null, "type": "Ready"},
                {"type": "ContainersReady", "status": "True"},
                {"$patch": "delete", "type": "Old"},
            ]})
        );
    }

    #[test]
    fn addresses_are_replaced_as_a_whole() {
        let patch = status_patch(
            &pod(json!({"podIPs": [{"ip": "10.42.0.2"}]})),
            &pod(json!({"podIPs": [{"ip": "10.42.0.3"}]}))
                .status
                .unwrap(),
        );
        assert_eq!(
            patch["status"]["podIPs"],
            json!([{"$patch": "replace"}, {"ip": "10.42.0.3"}])
        );
    }
}
