//! Objects on their way into the store: JSON with a gap for the resourceVersion.

use super::body::OBJECT_BYTES_MAX;
use super::status::{ApiError, ApiResult};
use crate::object::access::{NESTING_MAX, nests_deeper};
use crate::store::{Body, Revision};
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

/// Serialises `object` with `metadata.resourceVersion` first in the metadata and empty.
pub fn encode(object: &Value) -> ApiResult<Body> {
    if nests_deeper(object, NESTING_MAX) {
        return Err(ApiError::bad_request(format!(
            "the object is nested more than {NESTING_MAX} levels deep"
        )));
    }
    let broken = || ApiError::internal("an object without metadata cannot be stored");
    let fields = object.as_object().ok_or_else(broken)?;
    let metadata = fields
        .get("metadata")
        .and_then(Value::as_object)
        .ok_or_else(broken)?;
    let mut json = Vec::with_capacity(512);
    let mut revision_at = 0;
    json.push(b'{');
    for (number, (name, value)) in fields.iter().enumerate() {
        if number > 0 {
            json.push(b',');
        }
        push(&mut json, &Value::from(name.as_str()));
        json.push(b':');
        if name != "metadata" {
            push(&mut json, value);
            continue;
        }
        json.extend_from_slice(b"{\"resourceVersion\":\"");
        revision_at = json.len() as u32;
        json.push(b'"');
        for (name, value) in metadata
            .iter()
            .filter(|(name, _)| *name != "resourceVersion")
        {
            json.push(b',');
            push(&mut json, &Value::from(name.as_str()));
            json.push(b':');
            push(&mut json, value);
        }
        json.push(b'}');
    }
    json.push(b'}');
    if json.len() > OBJECT_BYTES_MAX {
        return Err(ApiError::too_large("the object", OBJECT_BYTES_MAX));
    }
    Ok(Body {
        json: json.into(),
        revision_at,
    })
}

fn push(json: &mut Vec<u8>, value: &Value) {
    // Writing a `Value` into memory cannot fail: its keys are strings and the writer is a vector.
    let _ = serde_json::to_writer(json, value);
}

/// The stored form of `body` at `revision`, as the client gets it back.
pub fn fill(body: &Body, revision: Revision) -> Bytes {
    let at = body.revision_at as usize;
    let digits = revision.0.to_string();
    let mut json = BytesMut::with_capacity(body.json.len() + digits.len());
    json.put_slice(&body.json[..at]);
    json.put_slice(digits.as_bytes());
    json.put_slice(&body.json[at..]);
    json.freeze()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn the_revision_goes_where_it_belongs() {
        let object = json!({
            "kind": "ConfigMap",
            "data": {"trap": "\"resourceVersion\":\"\""},
            "metadata": {"name": "a", "resourceVersion": "3", "annotations": {"metadata": "{\"resourceVersion\":\"\"}"}},
        });
        let body = encode(&object).unwrap();
        let filled: Value = serde_json::from_slice(&fill(&body, Revision(42))).unwrap();
        let mut expected = object.clone();
        expected["metadata"]["resourceVersion"] = "42".into();
        assert_eq!(filled, expected);
        assert!(encode(&json!([])).is_err() && encode(&json!({"kind": "x"})).is_err());
        let huge = json!({"metadata": {}, "data": {"x": "y".repeat(OBJECT_BYTES_MAX)}});
        assert_eq!(encode(&huge).unwrap_err().code, 413);
    }

    #[test]
    fn what_is_stored_can_be_read_back() {
        let nested = |levels: usize| {
            let value = (0..levels).fold(json!(1), |inner, _| json!([inner]));
            json!({"metadata": {}, "x": value})
        };
        let body = encode(&nested(NESTING_MAX - 1)).unwrap();
        let wrapped = format!(
            "{{\"items\":[{}]}}",
            String::from_utf8_lossy(&fill(&body, Revision(1)))
        );
        assert!(serde_json::from_str::<Value>(&wrapped).is_ok());
        for levels in [NESTING_MAX, NESTING_MAX + 1, NESTING_MAX * 10] {
            assert_eq!(encode(&nested(levels)).unwrap_err().code, 400, "{levels}");
        }
    }
}
