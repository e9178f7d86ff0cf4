//! JSON patch (RFC 6902), merge patch (RFC 7386) and strategic merge patch.
//!
//! For: PATCH requests. What comes in: the content type, the object as stored and the patch's bytes.
//! What goes out: the patched object, not yet validated. Pure; never knows about versions, storage or HTTP
//! beyond which of two errors a failure is.

mod directives;
mod keys;
mod order;
mod strategic;

use crate::object::access::{NESTING_MAX, nests_deeper};
use json_patch::PatchOperation;
use serde_json::Value;

/// Upstream's `maxJSONPatchOperations`: each operation costs a walk through the object.
const OPERATIONS_MAX: usize = 10_000;
/// Bytes that `copy` operations of one patch may add (upstream: the request limit, 3 MiB): copies can double each time.
const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PatchError {
    /// HTTP 400: the patch itself cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// HTTP 422: it does not apply to this object (for example a failed `test`).
    #[error("{0}")]
    NotApplicable(String),
}

/// The three kinds of patch.
pub const CONTENT_TYPES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// Applies `patch` to `object` by the rules of `content_type` (`application/json-patch+json`, …).
/// `kind` chooses the merge keys of strategic merge. Server-side apply is not among them: the caller answers 415.
pub fn apply(
    content_type: &str,
    kind: &str,
    object: &Value,
    patch: &[u8],
) -> Result<Value, PatchError> {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    match media {
        "application/json-patch+json" => json_patch(object, patch),
        "application/merge-patch+json" => {
            let mut patched = object.clone();
            json_patch::merge(&mut patched, &read_object(patch)?);
            Ok(patched)
        }
        "application/strategic-merge-patch+json" => {
            strategic::merge(kind, object.clone(), read_object(patch)?)
        }
        _ => Err(PatchError::Malformed(format!(
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json (got {media:?})"
        ))),
    }
}

fn unreadable(error: serde_json::Error) -> PatchError {
    PatchError::Malformed(format!("error decoding patch: {error}"))
}

fn read_object(patch: &[u8]) -> Result<Value, PatchError> {
    let patch: Value = serde_json::from_slice(patch).map_err(unreadable)?;
    if patch.is_object() {
        Ok(patch)
    } else {
        Err(PatchError::Malformed(
            "error decoding patch: it must be a JSON object".into(),
        ))
    }
}

fn json_patch(object: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    let operations: Vec<PatchOperation> = serde_json::from_slice(patch).map_err(unreadable)?;
    if operations.len() > OPERATIONS_MAX {
        return Err(PatchError::NotApplicable(format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            operations.len()
        )));
    }
    let mut patched = object.clone();
    let mut copied_bytes = 0;
    for operation in operations {
        if deepens(&operation, &patched) {
            return Err(PatchError::NotApplicable(format!(
                "the patch nests values more than {NESTING_MAX} levels deep"
            )));
        }
        if let PatchOperation::Copy(copy) = &operation
            && let Some(source) = patched.pointer(copy.from.as_str())
        {
            copied_bytes += source.to_string().len();
            if copied_bytes > COPIED_BYTES_MAX {
                return Err(PatchError::NotApplicable(format!(
                    "the patch's copy operations add more than {COPIED_BYTES_MAX} bytes"
                )));
            }
        }
        // Worded as the library that upstream uses words it.
        let tested = match &operation {
            PatchOperation::Test(test) => Some(test.path.as_str().to_owned()),
            _ => None,
        };
        json_patch::patch(&mut patched, &[operation]).map_err(|error| {
            PatchError::NotApplicable(match tested {
                Some(path) => format!("testing value {path} failed: test failed"),
                None => format!("the patch does not apply: {error}"),
            })
        })?;
    }
    Ok(patched)
}

/// Whether an operation puts something deeper than an object may go. Deep values overflow the stack of whatever walks
/// them, so none is built, not even for a moment.
fn deepens(operation: &PatchOperation, patched: &Value) -> bool {
    let levels = |path: &str| path.matches('/').count();
    let (path, value) = match operation {
        PatchOperation::Add(add) => (add.path.as_str(), Some(&add.value)),
        PatchOperation::Replace(replace) => (replace.path.as_str(), Some(&replace.value)),
        PatchOperation::Copy(copy) => (copy.path.as_str(), patched.pointer(copy.from.as_str())),
        PatchOperation::Move(from) => (from.path.as_str(), patched.pointer(from.from.as_str())),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return false,
    };
    match (NESTING_MAX.checked_sub(levels(path)), value) {
        (None, _) => true,
        (Some(left), Some(value)) => nests_deeper(value, left),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn run(media: &str, object: Value, patch: Value) -> Result<Value, PatchError> {
        apply(media, "Pod", &object, patch.to_string().as_bytes())
    }

    #[test]
    fn json_patches() {
        let media = "application/json-patch+json";
        let patched = run(
            media,
            json!({"a": [1, 2]}),
            json!([{"op": "add", "path": "/a/-", "value": 3}, {"op": "remove", "path": "/a/0"}]),
        );
        assert_eq!(patched, Ok(json!({"a": [2, 3]})));
        let failed = run(
            media,
            json!({"a": 1}),
            json!([{"op": "test", "path": "/a", "value": 2}]),
        );
        assert_eq!(
            failed,
            Err(PatchError::NotApplicable(
                "testing value /a failed: test failed".into()
            ))
        );
        let missing = run(media, json!({}), json!([{"op": "remove", "path": "/a"}]));
        assert!(matches!(missing, Err(PatchError::NotApplicable(_))));
        assert!(matches!(
            run(media, json!({}), json!({"a": 1})),
            Err(PatchError::Malformed(_))
        ));
        assert!(matches!(
            run(media, json!({}), json!([{"op": "grow", "path": "/a"}])),
            Err(PatchError::Malformed(_))
        ));
        let many = Value::from(vec![
            json!({"op": "test", "path": "", "value": {}});
            OPERATIONS_MAX + 1
        ]);
        assert!(matches!(
            run(media, json!({}), many),
            Err(PatchError::NotApplicable(_))
        ));
    }

    #[test]
    fn copies_are_bounded() {
        let mut operations = vec![json!({"op": "add", "path": "/a", "value": ["x".repeat(1000)]})];
        operations.extend(vec![
            json!({"op": "copy", "from": "/a", "path": "/a/-"});
            40
        ]);
        let bomb = run("application/json-patch+json", json!({}), operations.into());
        assert!(matches!(bomb, Err(PatchError::NotApplicable(_))));
    }

    #[test]
    fn patches_do_not_dig_without_end() {
        let deep = |levels: usize| (0..levels).fold(json!({}), |inner, _| json!({"a": inner}));
        let bottom = format!("/x{}", "/a".repeat(90));
        let dig = json!([
            {"op": "add", "path": "/x", "value": deep(90)},
            {"op": "copy", "from": "/x", "path": bottom},
        ]);
        let dug = run("application/json-patch+json", json!({}), dig);
        assert!(matches!(dug, Err(PatchError::NotApplicable(_))), "{dug:?}");
        let shallow = json!([{"op": "add", "path": "/x", "value": deep(90)}]);
        assert!(run("application/json-patch+json", json!({}), shallow).is_ok());
    }

    #[test]
    fn merge_patches() {
        let media = "application/merge-patch+json; charset=utf-8";
        let patched = run(
            media,
            json!({"a": {"b": 1, "c": 2}, "l": [1]}),
            json!({"a": {"b": null}, "l": [2]}),
        );
        assert_eq!(patched, Ok(json!({"a": {"c": 2}, "l": [2]})));
        assert!(matches!(
            run(media, json!({}), json!([])),
            Err(PatchError::Malformed(_))
        ));
        assert!(matches!(
            run("application/apply-patch+yaml", json!({}), json!({})),
            Err(PatchError::Malformed(_))
        ));
    }
}
