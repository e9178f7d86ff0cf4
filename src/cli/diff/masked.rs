//! Two versions of an object as texts to be compared, without what a terminal must not show.

use crate::cli::print::document;
use serde_json::{Map, Value};

/// YAML of both; empty for an object that is not there.
pub fn texts(
    live: &Value,
    merged: &Value,
    managed_fields: bool,
) -> Result<(String, String), anyhow::Error> {
    let (mut live, mut merged) = (live.clone(), merged.clone());
    if live["kind"] == "Secret" || merged["kind"] == "Secret" {
        for field in ["data", "stringData"] {
            mask(&mut live, &mut merged, field);
        }
        for object in [&mut live, &mut merged] {
            // It holds the Secret's values once more.
            let annotations = object
                .pointer_mut("/metadata/annotations")
                .and_then(Value::as_object_mut);
            if let Some(annotations) = annotations {
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            }
        }
    }
    let text = |object: Value| {
        if object.is_null() {
            return Ok(String::new());
        }
        document::yaml(&if managed_fields {
            object
        } else {
            document::without_managed_fields(object)
        })
    };
    Ok((text(live)?, text(merged)?))
}

/// Values become stars; those that differ say so, as kubectl's.
fn mask(live: &mut Value, merged: &mut Value, field: &str) {
    let map = |object: &Value| object[field].as_object().cloned().unwrap_or_default();
    let (before, after) = (map(live), map(merged));
    let hidden = |own: &Map<String, Value>, other: &Map<String, Value>, what: &str| {
        let pairs = own.iter().map(|(key, value)| {
            let changed = other.get(key).is_some_and(|other| other != value);
            let stars = if changed {
                format!("*** ({what})")
            } else {
                "***".to_owned()
            };
            (key.clone(), Value::String(stars))
        });
        Value::Object(pairs.collect())
    };
    if !before.is_empty() {
        live[field] = hidden(&before, &after, "before");
    }
    if !after.is_empty() {
        merged[field] = hidden(&after, &before, "after");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_stay_secret() {
        let live = json!({"kind": "Secret", "data": {"a": "b25l", "b": "c2FtZQ=="}});
        let merged = json!({"kind": "Secret", "data": {"a": "dHdv", "b": "c2FtZQ==", "c": "bmV3"}});
        let (before, after) = texts(&live, &merged, false).unwrap();
        for secret in ["b25l", "dHdv", "c2FtZQ", "bmV3"] {
            assert!(!before.contains(secret) && !after.contains(secret));
        }
        assert!(before.contains("*** (before)") && after.contains("*** (after)"));
        let (before, after) = texts(&Value::Null, &merged, false).unwrap();
        assert!(before.is_empty() && !after.contains("dHdv"));
    }

    #[test]
    fn others_are_shown_whole() {
        let object =
            json!({"kind": "ConfigMap", "metadata": {"managedFields": []}, "data": {"a": "b"}});
        let (text, _) = texts(&object, &object, false).unwrap();
        assert_eq!(text, "data:\n  a: b\nkind: ConfigMap\nmetadata: {}\n");
    }
}
