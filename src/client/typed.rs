//! Calls with the types of `k8s-openapi`: paths come from the type.

use super::{Client, ClientError, body, path};
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, header};
use k8s_openapi::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Page size where the caller names none; kubectl's and client-go's.
pub(super) const PAGE_ITEMS: usize = 500;

/// `metadata.continue` pages are followed; the whole list is returned.
#[derive(Debug, Clone, Default)]
pub struct ListParams {
    pub label_selector: Option<String>,
    pub field_selector: Option<String>,
    /// Page size; `None`: 500 items.
    pub limit: Option<usize>,
}

/// The three ways of describing a change that the server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    Json,
    Merge,
    StrategicMerge,
}

impl PatchType {
    /// The request's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            PatchType::Json => "application/json-patch+json",
            PatchType::Merge => "application/merge-patch+json",
            PatchType::StrategicMerge => "application/strategic-merge-patch+json",
        }
    }
}

/// How to delete.
#[derive(Debug, Clone, Default)]
pub struct DeleteParams {
    pub grace_period_seconds: Option<i64>,
    pub precondition_uid: Option<String>,
    pub precondition_resource_version: Option<String>,
}

impl DeleteParams {
    /// The request's body (`DeleteOptions`).
    pub fn to_value(&self) -> serde_json::Value {
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
        if let Some(seconds) = self.grace_period_seconds {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        if let Some(uid) = &self.precondition_uid {
            options["preconditions"]["uid"] = json!(uid);
        }
        if let Some(version) = &self.precondition_resource_version {
            options["preconditions"]["resourceVersion"] = json!(version);
        }
        options
    }
}

#[derive(Deserialize)]
#[serde(bound = "K: DeserializeOwned")]
struct Page<K> {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(default = "Option::default")]
    items: Option<Vec<K>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PageMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    continue_token: Option<String>,
}

pub(super) fn resource_path<K: Resource>(
    namespace: Option<&str>,
    name: Option<&str>,
    subresource: Option<&str>,
) -> String {
    path::object_path(
        K::GROUP,
        K::VERSION,
        K::URL_PATH_SEGMENT,
        namespace,
        name,
        subresource,
    )
}

pub(super) fn build(
    method: Method,
    uri: &str,
    content: Option<(&str, Bytes)>,
) -> Result<Request<Body>, ClientError> {
    let mut builder = Request::builder()
        .method(method)
        .uri(uri)
        .header(header::ACCEPT, "application/json")
        .header(
            header::USER_AGENT,
            concat!("coracle/", env!("CARGO_PKG_VERSION")),
        );
    let body = match content {
        None => Body::empty(),
        Some((content_type, bytes)) => {
            builder = builder
                .header(header::CONTENT_TYPE, content_type)
                .header(header::CONTENT_LENGTH, bytes.len());
            Body::from(bytes)
        }
    };
    builder
        .body(body)
        .map_err(|cause| ClientError::Request(cause.to_string()))
}

fn encode(object: &impl Serialize) -> Result<Bytes, ClientError> {
    serde_json::to_vec(object)
        .map(Bytes::from)
        .map_err(|cause| ClientError::Request(cause.to_string()))
}

const JSON: &str = "application/json";

/// Typed calls. `namespace` is `None` for cluster-scoped kinds and, in `list`, for all namespaces.
impl Client {
    pub async fn get<K: Resource + DeserializeOwned>(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<K, ClientError> {
        let uri = resource_path::<K>(namespace, Some(name), None);
        self.exchange(Method::GET, &uri, None).await
    }

    /// The items and the list's resourceVersion. Where a continue token expires half-way, the list begins again once.
    pub async fn list<K: Resource + DeserializeOwned>(
        &self,
        namespace: Option<&str>,
        params: &ListParams,
    ) -> Result<(Vec<K>, String), ClientError> {
        let collection = resource_path::<K>(namespace, None, None);
        self.list_at(&collection, params).await
    }

    /// The same for the collection at this path, of whose objects `K` may be a part.
    pub async fn list_at<K: DeserializeOwned>(
        &self,
        collection: &str,
        params: &ListParams,
    ) -> Result<(Vec<K>, String), ClientError> {
        match self.list_pages(collection, params).await {
            Err(error) if error.code() == Some(410) => self.list_pages(collection, params).await,
            result => result,
        }
    }

    async fn list_pages<K: DeserializeOwned>(
        &self,
        collection: &str,
        params: &ListParams,
    ) -> Result<(Vec<K>, String), ClientError> {
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut pairs = vec![("limit", params.limit.unwrap_or(PAGE_ITEMS).to_string())];
            if let Some(selector) = &params.label_selector {
                pairs.push(("labelSelector", selector.clone()));
            }
            if let Some(selector) = &params.field_selector {
                pairs.push(("fieldSelector", selector.clone()));
            }
            if let Some(token) = token.take() {
                pairs.push(("continue", token));
            }
            let uri = path::with_query(collection.to_owned(), &pairs);
            let page: Page<K> = self.exchange(Method::GET, &uri, None).await?;
            items.extend(page.items.unwrap_or_default());
            match page.metadata.continue_token {
                Some(next) if !next.is_empty() => token = Some(next),
                _ => return Ok((items, page.metadata.resource_version)),
            }
        }
    }

    pub async fn create<K: Resource + Serialize + DeserializeOwned>(
        &self,
        namespace: Option<&str>,
        object: &K,
    ) -> Result<K, ClientError> {
        let uri = resource_path::<K>(namespace, None, None);
        self.exchange(Method::POST, &uri, Some((JSON, encode(object)?)))
            .await
    }

    pub async fn replace<K: Resource + Serialize + DeserializeOwned>(
        &self,
        namespace: Option<&str>,
        name: &str,
        object: &K,
    ) -> Result<K, ClientError> {
        let uri = resource_path::<K>(namespace, Some(name), None);
        self.exchange(Method::PUT, &uri, Some((JSON, encode(object)?)))
            .await
    }

    /// PUT on the `status` subresource.
    pub async fn replace_status<K: Resource + Serialize + DeserializeOwned>(
        &self,
        namespace: Option<&str>,
        name: &str,
        object: &K,
    ) -> Result<K, ClientError> {
        let uri = resource_path::<K>(namespace, Some(name), Some("status"));
        self.exchange(Method::PUT, &uri, Some((JSON, encode(object)?)))
            .await
    }

    /// `subresource` may be `Some("status")`.
    pub async fn patch<K: Resource + DeserializeOwned>(
        &self,
        namespace: Option<&str>,
        name: &str,
        subresource: Option<&str>,
        patch_type: PatchType,
        patch: &serde_json::Value,
    ) -> Result<K, ClientError> {
        let uri = resource_path::<K>(namespace, Some(name), subresource);
        let content = (patch_type.content_type(), encode(patch)?);
        self.exchange(Method::PATCH, &uri, Some(content)).await
    }

    pub async fn delete<K: Resource>(
        &self,
        namespace: Option<&str>,
        name: &str,
        params: &DeleteParams,
    ) -> Result<(), ClientError> {
        let uri = resource_path::<K>(namespace, Some(name), None);
        let content = Some((JSON, encode(&params.to_value())?));
        let response = self.request(build(Method::DELETE, &uri, content)?).await?;
        // The answer is the object or a Status; either way the deletion was taken.
        body::read(response).await.map(drop)
    }

    /// POST to `pods/{name}/binding`.
    pub async fn bind_pod(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
        node: &str,
    ) -> Result<(), ClientError> {
        let mut binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        if let Some(uid) = uid {
            binding["metadata"]["uid"] = json!(uid);
        }
        let uri = path::object_path(
            "",
            "v1",
            "pods",
            Some(namespace),
            Some(name),
            Some("binding"),
        );
        let content = Some((JSON, encode(&binding)?));
        let response = self.request(build(Method::POST, &uri, content)?).await?;
        body::read(response).await.map(drop)
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        uri: &str,
        content: Option<(&str, Bytes)>,
    ) -> Result<T, ClientError> {
        let response = self.request(build(method, uri, content)?).await?;
        body::decode(&body::read(response).await?)
    }

    /// A request with any JSON, answered with any JSON: for callers that learn kinds at run time.
    pub async fn send_value(
        &self,
        method: Method,
        uri: &str,
        content: Option<(&str, &serde_json::Value)>,
    ) -> Result<serde_json::Value, ClientError> {
        let content = match content {
            Some((content_type, value)) => Some((content_type, encode(value)?)),
            None => None,
        };
        self.exchange(method, uri, content).await
    }
}
