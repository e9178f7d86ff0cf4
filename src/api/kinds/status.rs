//! Who may write which half of an object: `spec` and `status`.

use serde_json::Value;

/// Sets `object[field]`, or removes it where `value` is null.
pub fn put(object: &mut Value, field: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        if value.is_null() {
            fields.shift_remove(field);
        } else {
            fields.insert(field.into(), value);
        }
    }
}

/// An update through the main resource leaves `status` alone.
pub fn keep_status(old: &Value, object: &mut Value) {
    put(object, "status", old["status"].clone());
}

/// An update through `status` leaves everything else alone, but for the version it was made against.
pub fn only_status(old: &Value, object: &mut Value) {
    let mut take = |pointer| object.pointer_mut(pointer).map_or(Value::Null, Value::take);
    let (status, version) = (take("/status"), take("/metadata/resourceVersion"));
    *object = old.clone();
    put(object, "status", status);
    if let Some(metadata) = object.get_mut("metadata") {
        put(metadata, "resourceVersion", version);
    }
}

/// Sets `object[field]` where it is absent or null.
pub fn default_to(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(fields) = object.as_object_mut() {
        let slot = fields.entry(field).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value.into();
        }
    }
}

/// Kinds that upstream counts no generations of.
pub fn without_generation(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata") {
        put(metadata, "generation", Value::Null);
    }
}
