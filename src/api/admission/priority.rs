//! A pod's priority is that of its class; a pod without one has the default class's, or none.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/>

use crate::api::status::ApiResult;
use crate::api::stored_value;
use crate::object::access::{integer, text, truth};
use crate::store::{Key, ListOptions, Store};
use serde_json::{Value, json};

const PREFIX: &str = "priorityclasses.scheduling.k8s.io/";

/// Gives `pod` its priority; the inner error refuses it.
pub fn admit(store: &Store, pod: &mut Value) -> ApiResult<Result<(), String>> {
    let named = text(pod, "/spec/priorityClassName").to_owned();
    let class = if named.is_empty() {
        default_class(store)?
    } else {
        let Some(stored) = store.get(&Key(format!("{PREFIX}{named}")))? else {
            return Ok(Err(format!("no PriorityClass with name {named} was found")));
        };
        Some(stored_value(&stored.json)?)
    };
    Ok(complete(pod, class.as_ref()))
}

/// Why `class` may not be written: there is one default at most.
pub fn check_default(store: &Store, class: &Value) -> ApiResult<Result<(), String>> {
    if !truth(class, "/globalDefault") {
        return Ok(Ok(()));
    }
    Ok(match default_class(store)? {
        Some(default) if text(&default, "/metadata/name") != text(class, "/metadata/name") => {
            Err(format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                text(&default, "/metadata/name")
            ))
        }
        _ => Ok(()),
    })
}

/// Of several, which writers at the same moment can make, the one with the lowest value.
fn default_class(store: &Store) -> ApiResult<Option<Value>> {
    let options = ListOptions {
        prefix: PREFIX.into(),
        ..ListOptions::default()
    };
    let mut found: Option<Value> = None;
    for stored in store.list(&options)?.items {
        let class = stored_value(&stored.json)?;
        let lower = found
            .as_ref()
            .is_none_or(|found| integer(&class, "/value") < integer(found, "/value"));
        if truth(&class, "/globalDefault") && lower {
            found = Some(class);
        }
    }
    Ok(found)
}

fn complete(pod: &mut Value, class: Option<&Value>) -> Result<(), String> {
    let (name, priority, policy) = match class {
        Some(class) => (
            text(class, "/metadata/name"),
            integer(class, "/value"),
            text(class, "/preemptionPolicy"),
        ),
        None => ("", 0, ""),
    };
    let policy = if policy.is_empty() {
        "PreemptLowerPriority"
    } else {
        policy
    };
    let Some(spec) = pod["spec"].as_object_mut() else {
        return Ok(());
    };
    if let Some(given) = spec.get("priority").and_then(Value::as_i64)
        && given != priority
    {
        return Err(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
        ));
    }
    if let Some(given) = spec.get("preemptionPolicy").and_then(Value::as_str)
        && given != policy
    {
        return Err(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        ));
    }
    if !name.is_empty() {
        spec.insert("priorityClassName".into(), name.into());
    }
    spec.insert("priority".into(), json!(priority));
    spec.insert("preemptionPolicy".into(), policy.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_decides() {
        let high =
            json!({"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"});
        for (spec, class, want) in [
            (
                json!({}),
                None,
                Ok(json!({"priority": 0, "preemptionPolicy": "PreemptLowerPriority"})),
            ),
            (
                json!({}),
                Some(&high),
                Ok(
                    json!({"priorityClassName": "high", "priority": 1000, "preemptionPolicy": "Never"}),
                ),
            ),
            (
                json!({"priority": 1000}),
                Some(&high),
                Ok(
                    json!({"priorityClassName": "high", "priority": 1000, "preemptionPolicy": "Never"}),
                ),
            ),
            (
                json!({"priority": 5}),
                None,
                Err("(5) must not be provided"),
            ),
            (
                json!({"preemptionPolicy": "PreemptLowerPriority"}),
                Some(&high),
                Err("computed Never"),
            ),
        ] {
            let mut pod = json!({"spec": spec});
            match (complete(&mut pod, class), want) {
                (Ok(()), Ok(want)) => assert_eq!(pod["spec"], want),
                (Err(found), Err(want)) => assert!(found.contains(want), "{found}"),
                (found, want) => panic!("{spec}: {found:?}, not {want:?}"),
            }
        }
    }
}
