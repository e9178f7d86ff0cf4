//! Objects as YAML or JSON, keys sorted as kubectl's output is.

use serde_json::{Map, Value};

/// YAML of `value`, ending with a new line.
pub fn yaml(value: &Value) -> Result<String, anyhow::Error> {
    let options = serde_saphyr::ser_options! {
        // Long strings stay on one line, as everywhere in Kubernetes' tools.
        folded_wrap_chars: usize::MAX,
    };
    let mut text = serde_saphyr::to_string_with_options(&sorted(value), options)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Indented JSON of `value`, ending with a new line.
pub fn json(value: &Value) -> Result<String, anyhow::Error> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    serde::Serialize::serialize(&sorted(value), &mut serializer)?;
    bytes.push(b'\n');
    Ok(String::from_utf8(bytes)?)
}

/// `value` with the keys of every map in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            let map: Map<String, Value> = pairs
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect();
            Value::Object(map)
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Drops what nobody reads unless asked: `metadata.managedFields`.
pub fn without_managed_fields(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_reads_back_and_is_sorted() {
        let long = "word ".repeat(40);
        let object = json!({
            "kind": "ConfigMap", "apiVersion": "v1",
            "data": {"script": "a\nb\n", "yes": "yes", "number": "010", "long": long, "empty": ""},
            "items": [{"b": 1, "a": [true, null, 1.5]}, {}], "none": {}
        });
        let text = yaml(&object).unwrap();
        assert!(text.starts_with("apiVersion: v1\ndata:\n"), "{text}");
        assert!(text.contains("script: |"), "{text}");
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back, object);
    }

    #[test]
    fn json_is_sorted() {
        assert_eq!(
            json(&json!({"b": 1, "a": {}})).unwrap(),
            "{\n    \"a\": {},\n    \"b\": 1\n}\n"
        );
    }
}
