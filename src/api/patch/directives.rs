//! The `$…` keys of a strategic merge patch.
//! <https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md>

use super::PatchError;
use serde_json::{Map, Value};

pub const PATCH: &str = "$patch";
pub const RETAIN_KEYS: &str = "$retainKeys";
pub const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList/";
pub const SET_ELEMENT_ORDER: &str = "$setElementOrder/";

/// What `$patch` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Takes `$patch` out of `patch`.
pub fn take(patch: &mut Map<String, Value>) -> Result<Directive, PatchError> {
    match patch.shift_remove(PATCH) {
        None => Ok(Directive::Merge),
        Some(Value::String(word)) if word == "merge" => Ok(Directive::Merge),
        Some(Value::String(word)) if word == "replace" => Ok(Directive::Replace),
        Some(Value::String(word)) if word == "delete" => Ok(Directive::Delete),
        Some(other) => Err(PatchError::Malformed(format!(
            "unknown patch type found: {other}"
        ))),
    }
}

/// Takes the list under `name` out of `patch`.
pub fn take_list(
    patch: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<Vec<Value>>, PatchError> {
    match patch.shift_remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(_) => Err(PatchError::Malformed(format!("{name} must be a list"))),
    }
}

/// Applies `$retainKeys`: every field it does not name goes.
pub fn retain_keys(
    object: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), PatchError> {
    let Some(keys) = take_list(patch, RETAIN_KEYS)? else {
        return Ok(());
    };
    let named = |key: &String| keys.iter().any(|k| k.as_str() == Some(key));
    if let Some(stray) = patch
        .iter()
        .find(|(key, value)| !value.is_null() && !key.starts_with('$') && !named(key))
    {
        return Err(PatchError::Malformed(format!(
            "the patch's field {:?} is not among its {RETAIN_KEYS}",
            stray.0
        )));
    }
    object.retain(|key, _| named(key));
    Ok(())
}

/// What a patch leaves where nothing was to merge with: itself without directives and nulls.
pub fn strip(patch: Value) -> Option<Value> {
    match patch {
        Value::Null => None,
        Value::Object(fields) => {
            if fields.get(PATCH).and_then(Value::as_str) == Some("delete") {
                return None;
            }
            Some(Value::Object(
                fields
                    .into_iter()
                    .filter(|(key, _)| !is_directive(key))
                    .filter_map(|(key, value)| Some((key, strip(value)?)))
                    .collect(),
            ))
        }
        Value::Array(items) => Some(Value::Array(
            items
                .into_iter()
                .filter(|item| {
                    item.as_object()
                        .is_none_or(|fields| !(fields.len() == 1 && fields.contains_key(PATCH)))
                })
                .filter_map(strip)
                .collect(),
        )),
        other => Some(other),
    }
}

fn is_directive(key: &str) -> bool {
    key == PATCH
        || key == RETAIN_KEYS
        || key.starts_with(DELETE_FROM_PRIMITIVE_LIST)
        || key.starts_with(SET_ELEMENT_ORDER)
}
