//! `metadata`: what the server sets, what it keeps, what a client may not say.
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/>

use super::kinds::{FieldError, Kind};
use super::status::{ApiError, ApiResult};
use crate::object::access::{list, text};
use jiff::Timestamp;
use rand::Rng;
use serde_json::{Map, Value};

/// Letters and digits of generated names: no vowels and no look-alikes, so that no words come out.
const GENERATED_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const GENERATED_LENGTH: usize = 5;
/// Upstream cuts `generateName` so that the name stays a label.
const GENERATED_BASE_BYTES_MAX: usize = 63 - GENERATED_LENGTH;

/// What only the server writes; on an update it comes from the stored object.
const SERVER_FIELDS: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
];

/// RFC 3339 in whole seconds, as `metav1.Time` is written.
pub fn timestamp(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The metadata of an object, made where it is missing.
pub fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    let Value::Object(fields) = object else {
        // `body::decode` lets only objects in.
        unreachable!("objects are checked at the door")
    };
    let metadata = fields
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    match metadata {
        Value::Object(metadata) => metadata,
        _ => unreachable!("made an object above"),
    }
}

/// Namespace and name must be those of the path; fills the namespace in.
pub fn place(
    kind: &Kind,
    object: &mut Value,
    namespace: Option<&str>,
    name: Option<&str>,
) -> ApiResult<()> {
    let metadata = metadata_mut(object);
    if !metadata
        .get("namespace")
        .is_none_or(|value| value.is_string() || value.is_null())
    {
        return Err(ApiError::bad_request(
            "metadata.namespace: must be a string",
        ));
    }
    let given = metadata
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match namespace {
        Some(namespace) if kind.namespaced => {
            if !given.is_empty() && given != namespace {
                return Err(ApiError::bad_request(format!(
                    "the namespace of the provided object does not match the namespace sent on the request ({given} and {namespace})"
                )));
            }
            metadata.insert("namespace".into(), namespace.into());
        }
        _ => {
            metadata.remove("namespace");
        }
    }
    if let Some(name) = name {
        match metadata
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
        {
            "" => {
                metadata.insert("name".into(), name.into());
            }
            given if given == name => {}
            given => {
                return Err(ApiError::bad_request(format!(
                    "the name of the object ({given}) does not match the name on the URL ({name})"
                )));
            }
        }
    }
    Ok(())
}

/// What a new object gets from the server.
pub fn prepare_create(object: &mut Value, now: Timestamp) {
    let has_spec = object.get("spec").is_some();
    let metadata = metadata_mut(object);
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "managedFields",
        "resourceVersion",
    ] {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".into(), timestamp(now).into());
    if has_spec {
        metadata.insert("generation".into(), 1.into());
    }
    drop_empty(metadata);
}

/// A name from `generateName`, where no name was given.
pub fn generate_name(object: &mut Value) -> bool {
    let metadata = metadata_mut(object);
    if metadata
        .get("name")
        .and_then(Value::as_str)
        .is_some_and(|name| !name.is_empty())
    {
        return false;
    }
    let Some(base) = metadata
        .get("generateName")
        .and_then(Value::as_str)
        .filter(|base| !base.is_empty())
    else {
        return false;
    };
    let mut end = base.len().min(GENERATED_BASE_BYTES_MAX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let name = format!("{}{}", &base[..end], random_suffix());
    metadata.insert("name".into(), name.into());
    true
}

/// The end of a generated name.
pub fn random_suffix() -> String {
    let mut random = rand::rng();
    (0..GENERATED_LENGTH)
        .map(|_| char::from(GENERATED_ALPHABET[random.random_range(0..GENERATED_ALPHABET.len())]))
        .collect()
}

/// What an updated object keeps of the stored one; `generation` rises with the spec.
pub fn prepare_update(old: &Value, object: &mut Value) {
    let spec_changed = old.get("spec") != object.get("spec");
    let metadata = metadata_mut(object);
    for &field in SERVER_FIELDS {
        match old["metadata"].get(field) {
            Some(value) => metadata.insert(field.into(), value.clone()),
            None => metadata.remove(field),
        };
    }
    metadata.remove("selfLink");
    metadata.remove("managedFields");
    if spec_changed && let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
        metadata.insert("generation".into(), (generation + 1).into());
    }
    drop_empty(metadata);
}

/// A deleted object only loses finalizers: a new one could hold it for ever.
pub fn added_finalizers(old: &Value, object: &Value) -> Option<FieldError> {
    if text(old, "/metadata/deletionTimestamp").is_empty() {
        return None;
    }
    let held = list(old, "/metadata/finalizers");
    let added: Vec<&Value> = list(object, "/metadata/finalizers")
        .iter()
        .filter(|one| !held.contains(one))
        .collect();
    (!added.is_empty()).then(|| FieldError {
        field: "metadata.finalizers".into(),
        reason: "FieldValueForbidden",
        message: format!(
            "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {}",
            serde_json::to_string(&added).unwrap_or_default()
        ),
    })
}

/// Labels, annotations and lists without content are left out, as upstream's types do (`omitempty`).
fn drop_empty(metadata: &mut Map<String, Value>) {
    metadata.retain(|_, value| match value {
        Value::Null => false,
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_server_keeps_what_is_its_own() {
        let old = json!({"metadata": {"name": "a", "uid": "u", "creationTimestamp": "t", "generation": 1}, "spec": {"x": 1}});
        let mut new = json!({"metadata": {"name": "a", "uid": "other", "deletionTimestamp": "z"}, "spec": {"x": 2}});
        prepare_update(&old, &mut new);
        assert_eq!(
            new,
            json!({"metadata": {"name": "a", "uid": "u", "creationTimestamp": "t", "generation": 2}, "spec": {"x": 2}})
        );
    }

    #[test]
    fn what_is_empty_is_left_out() {
        let old = json!({"metadata": {"name": "a", "labels": {"b": "c"}, "finalizers": ["d"]}});
        let mut new =
            json!({"metadata": {"name": "a", "labels": {}, "finalizers": [], "annotations": null}});
        prepare_update(&old, &mut new);
        assert_eq!(new, json!({"metadata": {"name": "a"}}));
    }

    #[test]
    fn generated_names_are_short_and_fit() {
        let mut object = json!({"metadata": {"generateName": "x".repeat(100)}});
        assert!(generate_name(&mut object));
        assert_eq!(text(&object, "/metadata/name").len(), 63);
        assert!(!generate_name(&mut object));
    }
}
