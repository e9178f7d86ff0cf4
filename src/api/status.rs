//! `Status` errors, worded as upstream words them.
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/>

use super::kinds::{FieldError, Kind};
use crate::raft::WriteError;
use crate::store::StoreError;
use axum::body::Body;
use http::{Response, StatusCode, header};
use serde_json::{Value, json};

/// An answer other than success.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    /// `details`, or null.
    pub details: Value,
}

/// When a client should come back after an answer that passes.
const RETRY_AFTER_SECONDS: u16 = 1;

pub type ApiResult<T> = Result<T, ApiError>;

/// `pods`, `deployments.apps`.
pub fn qualified(kind: &Kind) -> String {
    if kind.group.is_empty() {
        kind.plural.to_owned()
    } else {
        format!("{}.{}", kind.plural, kind.group)
    }
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> ApiError {
        ApiError {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    pub(super) fn about(mut self, kind: &Kind, name: &str) -> ApiError {
        let mut details = json!({"name": name, "kind": kind.plural});
        if !kind.group.is_empty() {
            details["group"] = kind.group.into();
        }
        self.details = details;
        self
    }

    /// Adds a cause that clients look for.
    pub(super) fn because(mut self, reason: &str, field: &str, message: &str) -> ApiError {
        self.details["causes"] = json!([{"reason": reason, "message": message, "field": field}]);
        self
    }

    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "BadRequest", message)
    }

    pub fn unauthorized() -> ApiError {
        ApiError::new(401, "Unauthorized", "Unauthorized")
    }

    pub fn forbidden(message: impl Into<String>) -> ApiError {
        ApiError::new(403, "Forbidden", message)
    }

    pub fn not_found(kind: &Kind, name: &str) -> ApiError {
        ApiError::new(
            404,
            "NotFound",
            format!("{} {name:?} not found", qualified(kind)),
        )
        .about(kind, name)
    }

    /// No such path.
    pub fn no_resource() -> ApiError {
        ApiError::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    pub fn method_not_allowed() -> ApiError {
        ApiError::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    pub fn not_acceptable() -> ApiError {
        ApiError::new(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json, application/yaml",
        )
    }

    pub fn already_exists(kind: &Kind, name: &str) -> ApiError {
        ApiError::new(
            409,
            "AlreadyExists",
            format!("{} {name:?} already exists", qualified(kind)),
        )
        .about(kind, name)
    }

    pub fn conflict(kind: &Kind, name: &str, why: &str) -> ApiError {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            qualified(kind)
        );
        ApiError::new(409, "Conflict", message).about(kind, name)
    }

    pub fn modified(kind: &Kind, name: &str) -> ApiError {
        ApiError::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub fn expired(message: impl Into<String>) -> ApiError {
        ApiError::new(410, "Expired", message)
    }

    pub fn too_large(what: &str, bytes_max: usize) -> ApiError {
        ApiError::new(
            413,
            "RequestEntityTooLarge",
            format!("{what} is too large: at most {bytes_max} bytes are accepted"),
        )
    }

    pub fn unsupported_media_type(message: impl Into<String>) -> ApiError {
        ApiError::new(415, "UnsupportedMediaType", message)
    }

    /// 422 with one cause per field.
    pub fn invalid(kind: &Kind, name: &str, errors: &[FieldError]) -> ApiError {
        let each: Vec<String> = errors
            .iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect();
        let list = match each.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let causes: Vec<Value> = errors
            .iter()
            .map(|error| json!({"reason": error.reason, "message": error.message, "field": error.field}))
            .collect();
        let mut details = json!({"name": name, "kind": kind.kind, "causes": causes});
        if !kind.group.is_empty() {
            details["group"] = kind.group.into();
        }
        ApiError {
            details,
            ..ApiError::new(
                422,
                "Invalid",
                format!("{} {name:?} is invalid: {list}", kind.kind),
            )
        }
    }

    pub fn unprocessable(message: impl Into<String>) -> ApiError {
        ApiError::new(422, "Invalid", message)
    }

    pub fn internal(message: impl Into<String>) -> ApiError {
        ApiError::new(
            500,
            "InternalError",
            format!("Internal error occurred: {}", message.into()),
        )
    }

    /// Not now, and not by coming back at once (upstream's `NewTooManyRequests`).
    pub fn too_many_requests(message: impl Into<String>) -> ApiError {
        ApiError::new(429, "TooManyRequests", message)
    }

    /// 500 in the words given.
    pub fn unsupported(message: impl Into<String>) -> ApiError {
        ApiError::new(500, "", message)
    }

    /// Nothing is wrong with the request; it may succeed a moment later.
    pub fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError {
            details: json!({"retryAfterSeconds": RETRY_AFTER_SECONDS}),
            ..ApiError::new(503, "ServiceUnavailable", message)
        }
    }

    /// client-go knows this answer by its cause, and begins a new list.
    pub fn future_revision(asked: u64, current: u64) -> ApiError {
        ApiError {
            details: json!({
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": RETRY_AFTER_SECONDS,
            }),
            ..ApiError::new(
                504,
                "Timeout",
                format!("Timeout: Too large resource version: {asked}, current: {current}"),
            )
        }
    }

    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message,
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status["code"] = self.code.into();
        status
    }

    pub fn into_response(self) -> Response<Body> {
        let mut response = json_response(self.code, self.to_value().to_string().into_bytes());
        // client-go tries such an answer again by itself, if it says when.
        if let Some(seconds) = self.details["retryAfterSeconds"].as_u64() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        match error {
            StoreError::Compacted { asked, oldest } => ApiError::expired(format!(
                "too old resource version: {} ({})",
                asked.0, oldest.0
            )),
            StoreError::Future { asked, current } => ApiError::future_revision(asked.0, current.0),
            StoreError::Disk(_) => ApiError::internal(error.to_string()),
        }
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> ApiError {
        match error {
            WriteError::TooLarge { bytes_max, .. } => ApiError::too_large("the object", bytes_max),
            WriteError::NoLeader | WriteError::Closed => ApiError::unavailable(error.to_string()),
            WriteError::Disk(_) | WriteError::Invalid(_) => ApiError::internal(error.to_string()),
        }
    }
}

/// An answer with a JSON body.
pub fn json_response(code: u16, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

/// The `Status` of a finished deletion.
pub fn success(kind: &Kind, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name, "kind": kind.plural, "uid": uid});
    if !kind.group.is_empty() {
        details["group"] = kind.group.into();
    }
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
    })
}
