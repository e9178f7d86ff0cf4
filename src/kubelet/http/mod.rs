//! The kubelet's HTTP interface, reached by the API server for `pods/log`, `pods/exec`, `pods/attach`,
//! `pods/portforward` and `nodes/proxy`.
//!
//! Errors are `Status` objects with upstream's words, so that the API can hand them on as they are.

mod images;
mod log_query;
mod logs;
mod port_forward;
mod remote;
mod stats;

use super::Context;
use super::manager::{Pods, View};
use super::stats::Stats;
use ::http::{Response, StatusCode};
use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Clone)]
struct Server {
    ctx: Arc<Context>,
    pods: Arc<Pods>,
    stats: Arc<Stats>,
}

pub fn router(ctx: Arc<Context>, pods: Arc<Pods>, stats: Arc<Stats>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route(
            "/containerLogs/{namespace}/{pod}/{container}",
            get(logs::container_logs),
        )
        .route(
            "/exec/{namespace}/{pod}/{container}",
            get(remote::exec).post(remote::exec),
        )
        .route(
            "/attach/{namespace}/{pod}/{container}",
            get(remote::attach).post(remote::attach),
        )
        .route(
            "/portForward/{namespace}/{pod}",
            get(port_forward::port_forward).post(port_forward::port_forward),
        )
        .route("/images", get(images::list).delete(images::remove))
        .route("/images/pull", post(images::pull))
        .route("/images/import", post(images::import))
        .route("/stats/summary", get(stats::stats_summary))
        .route("/metrics", get(stats::metrics))
        .route("/metrics/cadvisor", get(stats::cadvisor))
        .route("/metrics/resource", get(stats::resource))
        .route("/metrics/probes", get(stats::probes))
        .with_state(Server { ctx, pods, stats })
}

/// An answer that is an error.
struct Refusal {
    code: StatusCode,
    reason: &'static str,
    message: String,
}

impl Refusal {
    fn bad_request(message: String) -> Refusal {
        Refusal {
            code: StatusCode::BAD_REQUEST,
            reason: "BadRequest",
            message,
        }
    }
    fn not_found(message: String) -> Refusal {
        Refusal {
            code: StatusCode::NOT_FOUND,
            reason: "NotFound",
            message,
        }
    }
    fn internal(message: String) -> Refusal {
        Refusal {
            code: StatusCode::INTERNAL_SERVER_ERROR,
            reason: "InternalError",
            message,
        }
    }
}

impl axum::response::IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        let status = Status {
            status: Some("Failure".to_string()),
            message: Some(self.message),
            reason: Some(self.reason.to_string()),
            code: Some(i32::from(self.code.as_u16())),
            ..Status::default()
        };
        let bytes = serde_json::to_vec(&status).unwrap_or_default();
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = self.code;
        response.headers_mut().insert(
            ::http::header::CONTENT_TYPE,
            ::http::HeaderValue::from_static("application/json"),
        );
        response
    }
}

impl Server {
    fn pod(&self, namespace: &str, name: &str) -> Result<watch::Receiver<View>, Refusal> {
        self.pods.find(namespace, name).ok_or_else(|| {
            Refusal::not_found(format!(
                "pod \"{name}\" does not exist in namespace \"{namespace}\" on this node"
            ))
        })
    }
}

/// The values of a query, in order. Bounded by the length the HTTP server takes for a request line.
fn query(uri: &::http::Uri) -> Vec<(String, String)> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

fn value<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query
        .iter()
        .find(|(k, _)| k == name)
        .map(|(_, v)| v.as_str())
}

/// A boolean as the API's query conversion reads it: present and neither `false` nor `0`.
fn flag(query: &[(String, String)], name: &str) -> bool {
    value(query, name).is_some_and(|v| !matches!(v, "false" | "0"))
}
