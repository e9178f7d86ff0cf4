//! A Kubernetes API client over any door: HTTPS for the command line, a direct call inside the node.
//!
//! What comes in: typed calls from scheduler, controllers, kubelet and the command line. They all
//! write through this, the same door as any client.
//!
//! What goes out: one HTTP request per call through a [`Door`]; objects, or the server's `Status`
//! as [`ClientError::Status`].
//!
//! Every body and every line of a watch is bounded (`body`, `lines`). This part never knows who
//! stands behind the door: it has no type of the API server's.

pub mod https;
pub mod informer;
pub mod kubeconfig;
pub mod recorder;

mod back_off;
mod body;
mod lines;
mod path;
mod place;
mod token;
mod typed;

pub use body::{read as read_body, read_value};
pub use lines::Lines;
pub use path::{encode as encode_segment, object_path};
pub use typed::{DeleteParams, ListParams, PatchType};

use axum::body::Body;
use futures::future::BoxFuture;
use http::{Request, Response};
use std::sync::Arc;

/// Carries one HTTP request to an API server.
pub trait Door: Send + Sync + 'static {
    /// The request's URI is a path with its query; the door adds host and credentials.
    fn call(
        &self,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, ClientError>>;
}

/// Why a call to the API failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server answered with a `Status`.
    #[error("{}", status.message.as_deref().unwrap_or("request failed"))]
    Status {
        code: u16,
        status: Box<k8s_openapi::apimachinery::pkg::apis::meta::v1::Status>,
    },
    /// Nobody listens there.
    #[error(
        "The connection to the server {server} was refused - did you specify the right host or port?"
    )]
    Refused { server: String },
    #[error("cannot reach the API server at {server}: {cause}")]
    Connect { server: String, cause: String },
    /// The request cannot be built: a name or an object that does not fit into HTTP or JSON.
    #[error("the request cannot be built: {0}")]
    Request(String),
    #[error("the API server's answer cannot be read: {0}")]
    Decode(String),
}

impl ClientError {
    /// The HTTP status code of the server's answer, if there was one.
    pub fn code(&self) -> Option<u16> {
        match self {
            ClientError::Status { code, .. } => Some(*code),
            _ => None,
        }
    }
    /// The machine-readable `reason` of the server's `Status` (`NotFound`, `AlreadyExists`, …).
    pub fn reason(&self) -> Option<&str> {
        match self {
            ClientError::Status { status, .. } => status.reason.as_deref(),
            _ => None,
        }
    }
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }
    /// A stale resourceVersion or a name that is taken.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }
    /// Nothing new can be made in the namespace: it is on its way out.
    pub fn is_namespace_terminating(&self) -> bool {
        let ClientError::Status { status, .. } = self else {
            return false;
        };
        let details = status.details.as_ref();
        let mut causes = details.into_iter().flat_map(|d| d.causes.iter().flatten());
        causes.any(|cause| cause.reason.as_deref() == Some("NamespaceTerminating"))
    }
}

/// A client; clones share its door.
#[derive(Clone)]
pub struct Client {
    pub(crate) door: Arc<dyn Door>,
}

impl Client {
    pub fn new(door: impl Door) -> Client {
        Client {
            door: Arc::new(door),
        }
    }

    /// Any request; an answer of 400 and above becomes [`ClientError::Status`].
    pub async fn request(&self, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let response = self.door.call(request).await?;
        if response.status().as_u16() < 400 {
            return Ok(response);
        }
        Err(body::status_error(response).await)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Client")
    }
}
