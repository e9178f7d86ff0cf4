//! The Kubernetes API server.

pub mod kinds;
pub mod openapi;
pub mod patch;
pub mod table;

use crate::client::Door;
use crate::raft::Writer;
use crate::store::Store;
use axum::body::Body;
use futures::future::BoxFuture;
use http::{Request, Response};
use std::sync::Arc;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
}

/// The way to a node's kubelet for `pods/log`, `pods/exec` and `nodes/proxy`: the request has the kubelet's own paths
/// (`/containerLogs/{namespace}/{pod}/{container}`, `/exec/{namespace}/{pod}/{container}`, `/images…`) and keeps its
/// extensions, so that a WebSocket upgrade passes through.
pub trait NodeDoor: Send + Sync + 'static {
    fn call(&self, node: &str, request: Request<Body>) -> BoxFuture<'static, Response<Body>>;
}

/// Handles API requests; clones share it. Knows nothing of sockets.
#[derive(Clone)]
pub struct Api {}

impl Api {
    pub fn new(_store: Store, _writer: Writer, _nodes: Arc<dyn NodeDoor>) -> Api {
        todo!()
    }
    /// Answers one request of an authenticated user (`None`: anonymous).
    pub async fn handle(&self, _user: Option<User>, _request: Request<Body>) -> Response<Body> {
        todo!()
    }
    /// A door for parts of this process, acting as `user`.
    pub fn door(&self, _user: User) -> impl Door {
        todo!() as NoDoor
    }
}

struct NoDoor;
impl Door for NoDoor {
    fn call(
        &self,
        _: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, crate::client::ClientError>> {
        todo!()
    }
}
