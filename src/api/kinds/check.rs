//! Strict decoding: wrong types and unknown fields, by their paths.

use super::Checked;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Unknown fields reported at most: a message longer than that helps nobody.
const UNKNOWN_MAX: usize = 64;

/// Decodes `object` as `T`. A quantity may be a JSON number, as upstream allows (`cpu: 1`).
pub fn check<T: DeserializeOwned>(object: &Value) -> Checked {
    let mut object = object.clone();
    quantities_to_text(&mut object);
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let decoder = serde_path_to_error::Deserializer::new(&object, &mut track);
    let decoded: Result<T, _> = serde_ignored::deserialize(decoder, |path| {
        if unknown.len() < UNKNOWN_MAX {
            unknown.push(render(&path));
        }
    });
    let wrong_type = decoded
        .err()
        .map(|error| (track.path().to_string(), error.to_string()));
    Checked {
        wrong_type,
        unknown,
    }
}

/// Turns numbers into strings where the type is a quantity, recognised by the names of the fields above it.
pub fn quantities_to_text(object: &mut Value) {
    const MAPS: [&str; 13] = [
        "requests",
        "limits",
        "capacity",
        "allocatable",
        "overhead",
        "allocatedResources",
        "hard",
        "used",
        "default",
        "defaultRequest",
        "max",
        "min",
        "maxLimitRequestRatio",
    ];
    const SINGLE: [&str; 4] = ["sizeLimit", "divisor", "averageValue", "tolerance"];
    fn to_text(value: &mut Value) {
        if value.is_number() {
            *value = Value::from(value.to_string());
        }
    }
    match object {
        Value::Array(items) => items.iter_mut().for_each(quantities_to_text),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    // Free-form maps of strings: a number there is an error to report.
                    _ if matches!(
                        name.as_str(),
                        "labels"
                            | "annotations"
                            | "data"
                            | "stringData"
                            | "nodeSelector"
                            | "selector"
                    ) => {}
                    Value::Object(amounts) if MAPS.contains(&name.as_str()) => {
                        amounts.values_mut().for_each(to_text);
                    }
                    // What an autoscaler aims at; other fields of this name are numbers.
                    Value::Object(target) if name == "target" => {
                        for amount in ["value", "averageValue"] {
                            if let Some(amount) = target.get_mut(amount) {
                                to_text(amount);
                            }
                        }
                    }
                    Value::Number(_) if SINGLE.contains(&name.as_str()) => to_text(value),
                    _ => quantities_to_text(value),
                }
            }
        }
        _ => {}
    }
}

fn render(path: &serde_ignored::Path) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", render(parent)),
        Path::Map { parent, key } => match render(parent) {
            above if above.is_empty() => key.clone(),
            above => format!("{above}.{key}"),
        },
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => render(parent),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use k8s_openapi::api::core::v1::{ConfigMap, Pod};
    use serde_json::json;

    #[test]
    fn finds_wrong_types_and_unknown_fields() {
        let pod = |container: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [container]}});
        let wrong = check::<Pod>(&pod(json!({"ports": [{"containerPort": "x"}]})))
            .wrong_type
            .unwrap();
        assert_eq!(wrong.0, "spec.containers[0].ports[0].containerPort");
        assert_eq!(
            check::<Pod>(&pod(json!({"imagee": "x"}))).unknown,
            ["spec.containers[0].imagee"]
        );
        let fine = pod(
            json!({"name": "a", "resources": {"limits": {"cpu": 1}, "requests": {"cpu": 0.5, "memory": "1Gi"}}}),
        );
        assert_eq!(check::<Pod>(&fine), Checked::default());
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": 1}});
        assert_eq!(check::<ConfigMap>(&map).wrong_type.unwrap().0, "data.a");
        assert!(check::<ConfigMap>(&json!(3)).wrong_type.is_some());
    }
}
