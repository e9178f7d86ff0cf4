//! Request bodies: bounded, then decoded.

use super::kinds::Kind;
use super::protobuf;
use super::query::FieldValidation;
use super::status::{ApiError, ApiResult};
use axum::body::Body;
use bytes::Bytes;
use http::header;
use serde_json::Value;

/// Largest request body, as kube-apiserver has it (3 MiB).
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Largest object as stored, etcd's default for a request (1.5 MiB).
pub const OBJECT_BYTES_MAX: usize = 1536 * 1024;

pub async fn read(body: Body) -> ApiResult<Bytes> {
    axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|error| {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(one) = cause {
                if one.is::<http_body_util::LengthLimitError>() {
                    return ApiError::too_large("the request body", BODY_BYTES_MAX);
                }
                cause = one.source();
            }
            ApiError::bad_request(format!("the request body could not be read: {error}"))
        })
}

/// The object in `body`. Nesting is bounded by the decoders (JSON: 128 levels); YAML's by its budget for aliases and depth.
pub fn decode(headers: &http::HeaderMap, body: &[u8]) -> ApiResult<Value> {
    let content_type = media_type(headers);
    let object: Value = match content_type {
        "" | "application/json" => serde_json::from_slice(body).map_err(|error| {
            ApiError::bad_request(format!("the object provided is not valid JSON: {error}"))
        })?,
        "application/yaml" => {
            let text = std::str::from_utf8(body).map_err(|_| {
                ApiError::bad_request("the object provided is not valid YAML: it is not UTF-8")
            })?;
            serde_saphyr::from_str(text).map_err(|error| {
                ApiError::bad_request(format!("the object provided is not valid YAML: {error}"))
            })?
        }
        protobuf::MEDIA_TYPE => protobuf::decode(body).map_err(|error| {
            ApiError::bad_request(format!(
                "the object provided is not valid protobuf: {error}"
            ))
        })?,
        other => {
            return Err(ApiError::unsupported_media_type(format!(
                "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf (got {other:?})"
            )));
        }
    };
    if object.is_object() {
        Ok(object)
    } else {
        Err(ApiError::bad_request("the body is not an object"))
    }
}

/// `Content-Type` without its parameters.
pub fn media_type(headers: &http::HeaderMap) -> &str {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// Checks that `object` is one of `kind`, its types, and its field names as `validation` asks; returns warnings.
pub fn check(
    kind: &Kind,
    object: &mut Value,
    validation: FieldValidation,
) -> ApiResult<Vec<String>> {
    let api_version = api_version(kind);
    for (field, expected) in [("apiVersion", api_version.as_str()), ("kind", kind.kind)] {
        match object.get(field) {
            None => object[field] = expected.into(),
            Some(Value::String(given)) if given == expected => {}
            Some(given) => {
                return Err(ApiError::bad_request(format!(
                    "the {field} in the data ({given}) does not match the expected {field} ({expected})"
                )));
            }
        }
    }
    let checked = (kind.check)(object);
    if let Some((path, problem)) = checked.wrong_type {
        return Err(ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {path}: {problem}",
            kind.kind, kind.version, kind.kind
        )));
    }
    let unknown: Vec<String> = checked
        .unknown
        .iter()
        .map(|path| format!("unknown field {path:?}"))
        .collect();
    match validation {
        FieldValidation::Strict if !unknown.is_empty() => Err(ApiError::bad_request(format!(
            "strict decoding error: {}",
            unknown.join(", ")
        ))),
        FieldValidation::Warn => Ok(unknown),
        _ => Ok(Vec::new()),
    }
}

pub fn api_version(kind: &Kind) -> String {
    if kind.group.is_empty() {
        kind.version.to_owned()
    } else {
        format!("{}/{}", kind.group, kind.version)
    }
}
