//! Kinds that are another shape of a stored one: the same objects under another group or version.
//!
//! For: the handlers, which work on the stored shape and convert at the door. What comes in: an object in one shape. What
//! goes out: the same in the other. Invariants: conversions are pure, touch no metadata but annotations that carry what
//! the other shape has no field for, and bring back what they were given. Never knows about requests.

use serde_json::{Map, Value};

/// Where the objects are stored, and the way there and back.
pub struct View {
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    /// From the client's shape to the stored one, `apiVersion` included.
    pub to_stored: fn(Value) -> Value,
    pub from_stored: fn(Value) -> Value,
}

/// The object with its fields under other names: (stored, shown). Fields that neither column names stay as they are.
pub fn renamed(object: Value, names: &[(&str, &str)], api_version: &str) -> Value {
    let Value::Object(fields) = object else {
        return object;
    };
    let mut out = Map::new();
    for (name, value) in fields {
        let name = names
            .iter()
            .find(|(from, _)| *from == name)
            .map_or(name, |(_, to)| (*to).to_owned());
        out.insert(name, value);
    }
    out.insert("apiVersion".into(), api_version.into());
    Value::Object(out)
}
