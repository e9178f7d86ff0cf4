//! Answers read whole, never past a bound.

use super::{ClientError, place};
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use serde_json::Value;

/// Largest answer read whole: a page of 500 objects of ordinary size fits many times, and a client on a
/// board of 512 MiB survives it.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// Largest error answer: a `Status` with many causes is a few KiB.
const STATUS_BYTES_MAX: usize = 1 << 20;

/// Reads an answer's body, at most [`BODY_BYTES_MAX`].
pub async fn read(response: Response<Body>) -> Result<Bytes, ClientError> {
    axum::body::to_bytes(response.into_body(), BODY_BYTES_MAX)
        .await
        .map_err(|cause| {
            ClientError::Decode(format!(
                "the body broke off or is larger than {BODY_BYTES_MAX} bytes: {cause}"
            ))
        })
}

/// Reads an answer's body as JSON of any shape.
pub async fn read_value(response: Response<Body>) -> Result<Value, ClientError> {
    decode(&read(response).await?)
}

/// Decodes JSON; the error names the field.
pub(super) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(bytes).map_err(|cause| {
        let end = place::offset(bytes, cause.line(), cause.column());
        ClientError::Decode(format!("{}: {cause}", place::way_to(bytes, end)))
    })
}

/// Turns an answer of 400 and above into an error. A body that is no `Status` (a proxy's page, plain
/// text) becomes the message of one.
pub(super) async fn status_error(response: Response<Body>) -> ClientError {
    let http_status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), STATUS_BYTES_MAX)
        .await
        .unwrap_or_default();
    let status = match serde_json::from_slice::<Status>(&bytes) {
        Ok(status) if status.message.is_some() || status.reason.is_some() => status,
        _ => plain_status(http_status, &bytes),
    };
    ClientError::Status {
        code: http_status.as_u16(),
        status: Box::new(status),
    }
}

fn plain_status(http_status: http::StatusCode, bytes: &[u8]) -> Status {
    /// As much of a foreign error page as a person wants to read.
    const EXCERPT_CHARS_MAX: usize = 500;
    let text = String::from_utf8_lossy(bytes);
    let excerpt: String = text.trim().chars().take(EXCERPT_CHARS_MAX).collect();
    Status {
        code: Some(i32::from(http_status.as_u16())),
        message: Some(if excerpt.is_empty() {
            format!("the server answered {http_status}")
        } else {
            excerpt
        }),
        ..Status::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn error_answers_become_status() {
        let cases = [
            (
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"x\" not found","reason":"NotFound","code":404}"#,
                "pods \"x\" not found",
            ),
            ("404 page not found", "404 page not found"),
            ("", "the server answered 404 Not Found"),
            ("{}", "{}"),
        ];
        for (body, message) in cases {
            let response = Response::builder()
                .status(404)
                .body(Body::from(body))
                .unwrap();
            let error = status_error(response).await;
            assert_eq!(error.code(), Some(404));
            assert_eq!(error.to_string(), message);
        }
    }
}
