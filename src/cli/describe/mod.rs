//! An object in words.

use serde_json::Value;

/// The object and its events as YAML documents.
pub fn describe(_kind: &str, object: &Value, events: &[Value], _now: i64) -> String {
    std::iter::once(object)
        .chain(events)
        .filter_map(|value| super::print::document::yaml(value).ok())
        .collect::<Vec<_>>()
        .join("---\n")
}
