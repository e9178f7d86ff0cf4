//! Objects in the form a client asked for.

use super::kinds::Kind;
use super::negotiate::Form;
use super::query::Query;
use super::status::{ApiError, ApiResult, json_response};
use super::{discovery, stored_value, table};
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use table::IncludeObject;

/// How much of each object a Table row carries.
pub fn include_object(query: &Query) -> ApiResult<IncludeObject> {
    Ok(match query.text("includeObject") {
        None | Some("Metadata") => IncludeObject::Metadata,
        Some("None") => IncludeObject::None,
        Some("Object") => IncludeObject::Object,
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "includeObject: Unsupported value: {other:?}: supported values: \"None\", \"Metadata\", \"Object\""
            )));
        }
    })
}

/// One object.
pub fn object(
    kind: &Kind,
    form: Form,
    query: &Query,
    code: u16,
    json: Bytes,
) -> ApiResult<Response<Body>> {
    Ok(match form {
        Form::Json | Form::Discovery => {
            let json = shown(kind, &json)?.map_or(json, Bytes::from);
            json_response(code, json)
        }
        Form::Table => {
            let value = stored_value(&json)?;
            let metadata = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
            let rows = table(kind, &[value], metadata, include_object(query)?, true);
            json_response(code, rows.to_string())
        }
        Form::Metadata => json_response(code, partial(&stored_value(&json)?).to_string()),
    })
}

/// A stored object in the shape of `kind`; `None`: as it is.
pub fn shown(kind: &Kind, json: &[u8]) -> ApiResult<Option<Vec<u8>>> {
    let Some(view) = kind.strategy.view() else {
        return Ok(None);
    };
    let object = (view.from_stored)(stored_value(json)?);
    Ok(Some(object.to_string().into_bytes()))
}

/// A Table of stored objects as of now. Columns look at what is stored; the objects in the rows have the kind's shape.
pub fn table(
    kind: &Kind,
    objects: &[Value],
    metadata: Value,
    include: IncludeObject,
    headers: bool,
) -> Value {
    let now = Timestamp::now().as_second();
    let mut table = table::table(kind.columns, objects, metadata, include, headers, now);
    if let (Some(view), IncludeObject::Object) = (kind.strategy.view(), include) {
        let rows = table["rows"].as_array_mut();
        for row in rows.into_iter().flatten() {
            row["object"] = (view.from_stored)(row["object"].take());
        }
    }
    table
}

/// `PartialObjectMetadata` of one object.
pub fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// A list whose items are copied as they are; the body borrows them from the store, so nothing is built twice.
pub fn list(kind: &Kind, metadata: Value, items: Vec<Bytes>) -> ApiResult<Response<Body>> {
    let mut head = discovery::list_head(kind);
    head["metadata"] = metadata;
    let mut head = head.to_string();
    // The head is an object with at least one field: its closing brace makes room for the items.
    head.pop();
    head.push_str(",\"items\":[");
    let mut chunks = Vec::with_capacity(items.len() * 2 + 2);
    chunks.push(Bytes::from(head));
    for (number, item) in items.into_iter().enumerate() {
        if number > 0 {
            chunks.push(Bytes::from_static(b","));
        }
        chunks.push(shown(kind, &item)?.map_or(item, Bytes::from));
    }
    chunks.push(Bytes::from_static(b"]}"));
    let stream = futures::stream::iter(chunks.into_iter().map(Ok::<_, std::convert::Infallible>));
    Ok(json_response(200, Body::from_stream(stream)))
}
