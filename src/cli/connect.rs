//! The flags that choose a server, and the client they lead to.

use super::DATA_DIR;
use crate::client::https::HttpsDoor;
use crate::client::kubeconfig::{self, Sources};
use crate::client::{Client, ClientError};
use http::{Request, Response};
use serde_json::Value;
use std::path::PathBuf;

/// Flags that choose a server; they may stand before or after the verb.
#[derive(Debug, Clone, clap::Args)]
pub struct ClientArgs {
    /// Kubeconfig file; default: $KUBECONFIG, ~/.kube/config, this node's own; in a pod: its service account.
    #[arg(long, global = true, help_heading = "Server", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; default: its current one.
    #[arg(long, global = true, help_heading = "Server", value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace; default: the context's, else `default`.
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Server",
        value_name = "NAME"
    )]
    pub namespace: Option<String>,
    /// Data directory of the node on this host.
    #[arg(long, global = true, help_heading = "Server", value_name = "DIR", default_value = DATA_DIR)]
    pub data_dir: PathBuf,
}

/// A server to speak to.
pub struct Session {
    pub client: Client,
    /// Where a command names none.
    pub namespace: String,
    /// The namespace was given with `-n`.
    pub namespace_explicit: bool,
}

impl ClientArgs {
    /// Reads the kubeconfig. Nothing is sent yet.
    pub fn connect(&self) -> Result<Session, anyhow::Error> {
        let sources = Sources {
            explicit: self.kubeconfig.clone(),
            variable: std::env::var("KUBECONFIG").ok(),
            home: std::env::var_os("HOME").map(PathBuf::from),
            data_dir: Some(self.data_dir.clone()),
            service: std::env::var("KUBERNETES_SERVICE_HOST")
                .ok()
                .zip(std::env::var("KUBERNETES_SERVICE_PORT").ok()),
            pod_credentials: kubeconfig::POD_CREDENTIALS.into(),
        };
        let endpoint = kubeconfig::load(&sources, self.context.as_deref())?;
        Ok(Session {
            client: Client::new(HttpsDoor::new(&endpoint)?),
            namespace: self
                .namespace
                .clone()
                .or(endpoint.namespace)
                .unwrap_or_else(|| "default".to_owned()),
            namespace_explicit: self.namespace.is_some(),
        })
    }
}

/// A request to be sent through the session's client.
pub fn request(
    method: http::Method,
    path: &str,
    query: &[(&str, String)],
    headers: &[(http::HeaderName, &str)],
    body: axum::body::Body,
) -> Result<Request<axum::body::Body>, ClientError> {
    let mut uri = path.to_owned();
    if !query.is_empty() {
        uri.push('?');
        uri.push_str(
            &form_urlencoded::Serializer::new(String::new())
                .extend_pairs(query)
                .finish(),
        );
    }
    let mut builder = Request::builder().method(method).uri(uri).header(
        http::header::USER_AGENT,
        concat!("coracle/", env!("CARGO_PKG_VERSION")),
    );
    for (name, value) in headers {
        builder = builder.header(name, *value);
    }
    builder
        .body(body)
        .map_err(|cause| ClientError::Request(cause.to_string()))
}

/// The items of a list; none where the answer is something else.
pub fn items(mut list: Value) -> Vec<Value> {
    match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// GET with a query and what to accept.
pub async fn get(
    client: &Client,
    path: &str,
    query: &[(&str, String)],
    accept: &str,
) -> Result<Response<axum::body::Body>, ClientError> {
    let headers = [(http::header::ACCEPT, accept)];
    let body = axum::body::Body::empty();
    client
        .request(request(http::Method::GET, path, query, &headers, body)?)
        .await
}
