//! Reading JSON objects by pointer: what is absent or of another type reads as empty.

use serde_json::{Map, Value};
use std::sync::LazyLock;

/// Deepest nesting of an object. The decoder stops at 128, and lists and watch events put an object two levels deeper:
/// whatever keeps this can be read back, by us and by clients with the same bound.
pub const NESTING_MAX: usize = 120;

static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// The string at `pointer`, or the empty string.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or("")
}

/// The list at `pointer`, or the empty list.
pub fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The map at `pointer`, or the empty map.
pub fn map<'a>(object: &'a Value, pointer: &str) -> &'a Map<String, Value> {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .unwrap_or(&EMPTY)
}

/// The integer at `pointer`, or 0.
pub fn integer(object: &Value, pointer: &str) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

/// The boolean at `pointer`, or false.
pub fn truth(object: &Value, pointer: &str) -> bool {
    object
        .pointer(pointer)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

/// Whether something other than null stands at `pointer`.
pub fn present(object: &Value, pointer: &str) -> bool {
    object
        .pointer(pointer)
        .is_some_and(|value| !value.is_null())
}

/// Whether more than `levels` arrays and objects stand inside each other. Looks no deeper than it must.
pub fn nests_deeper(value: &Value, levels: usize) -> bool {
    let inner = |left| move |value: &Value| nests_deeper(value, left);
    match (value, levels.checked_sub(1)) {
        (Value::Array(_) | Value::Object(_), None) => true,
        (Value::Array(items), Some(left)) => items.iter().any(inner(left)),
        (Value::Object(fields), Some(left)) => fields.values().any(inner(left)),
        _ => false,
    }
}
