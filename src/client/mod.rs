//! A Kubernetes API client over any door: HTTPS for the command line, a direct call inside the node.
//!
//! Scheduler, controllers and kubelet write through this, the same door as any client.

use axum::body::Body;
use futures::future::BoxFuture;
use http::{Request, Response};
use std::sync::Arc;

/// Carries one HTTP request to an API server.
pub trait Door: Send + Sync + 'static {
    fn call(
        &self,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, ClientError>>;
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server answered with a `Status`.
    #[error("{}", status.message.as_deref().unwrap_or("request failed"))]
    Status {
        code: u16,
        status: Box<k8s_openapi::apimachinery::pkg::apis::meta::v1::Status>,
    },
    #[error("cannot reach the API server at {server}: {cause}")]
    Connect { server: String, cause: String },
    #[error("the API server's answer cannot be read: {0}")]
    Decode(String),
}

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
}

pub mod informer;

use k8s_openapi::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// `metadata.continue` pages are followed; the whole list is returned.
#[derive(Debug, Clone, Default)]
pub struct ListParams {
    pub label_selector: Option<String>,
    pub field_selector: Option<String>,
    /// Page size; `None`: the server's choice.
    pub limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    Json,
    Merge,
    StrategicMerge,
}

#[derive(Debug, Clone, Default)]
pub struct DeleteParams {
    pub grace_period_seconds: Option<i64>,
    pub precondition_uid: Option<String>,
    pub precondition_resource_version: Option<String>,
}

/// Typed calls. `namespace` is `None` for cluster-scoped kinds and, in `list`, for all namespaces.
impl Client {
    pub async fn get<K: Resource + DeserializeOwned>(
        &self,
        _namespace: Option<&str>,
        _name: &str,
    ) -> Result<K, ClientError> {
        todo!()
    }
    /// The items and the list's resourceVersion.
    pub async fn list<K: Resource + DeserializeOwned>(
        &self,
        _namespace: Option<&str>,
        _params: &ListParams,
    ) -> Result<(Vec<K>, String), ClientError> {
        todo!()
    }
    pub async fn create<K: Resource + Serialize + DeserializeOwned>(
        &self,
        _namespace: Option<&str>,
        _object: &K,
    ) -> Result<K, ClientError> {
        todo!()
    }
    pub async fn replace<K: Resource + Serialize + DeserializeOwned>(
        &self,
        _namespace: Option<&str>,
        _name: &str,
        _object: &K,
    ) -> Result<K, ClientError> {
        todo!()
    }
    /// PUT on the `status` subresource.
    pub async fn replace_status<K: Resource + Serialize + DeserializeOwned>(
        &self,
        _namespace: Option<&str>,
        _name: &str,
        _object: &K,
    ) -> Result<K, ClientError> {
        todo!()
    }
    /// `subresource` may be `Some("status")`.
    pub async fn patch<K: Resource + DeserializeOwned>(
        &self,
        _namespace: Option<&str>,
        _name: &str,
        _subresource: Option<&str>,
        _patch_type: PatchType,
        _patch: &serde_json::Value,
    ) -> Result<K, ClientError> {
        todo!()
    }
    pub async fn delete<K: Resource>(
        &self,
        _namespace: Option<&str>,
        _name: &str,
        _params: &DeleteParams,
    ) -> Result<(), ClientError> {
        todo!()
    }
    /// POST to `pods/{name}/binding`.
    pub async fn bind_pod(
        &self,
        _namespace: &str,
        _name: &str,
        _uid: Option<&str>,
        _node: &str,
    ) -> Result<(), ClientError> {
        todo!()
    }
    /// Any request; an answer of 400 and above becomes `ClientError::Status`.
    pub async fn request(&self, _request: Request<Body>) -> Result<Response<Body>, ClientError> {
        todo!()
    }
}
