//! A registry of our own for what Debian's does not do without a token server: bearer tokens, broken transfers.

use crate::archives::Oci;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const TOKEN: &str = "let-me-in";

pub struct FakeRegistry {
    pub port: u16,
    /// Whether large blobs end in the middle.
    pub cut: Arc<AtomicBool>,
    /// Tokens given so far.
    pub tokens: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    port: u16,
    blobs: Arc<HashMap<String, Vec<u8>>>,
    index: Arc<Vec<u8>>,
    cut: Arc<AtomicBool>,
    tokens: Arc<AtomicUsize>,
}

impl FakeRegistry {
    /// Serves the archive's index under every tag.
    pub async fn start(oci: &Oci) -> FakeRegistry {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let blobs = oci
            .members
            .iter()
            .map(|(name, bytes)| (name.replace("blobs/sha256/", "sha256:"), bytes.clone()))
            .collect();
        let shared = Shared {
            port,
            blobs: Arc::new(blobs),
            index: Arc::new(oci.index()),
            cut: Arc::default(),
            tokens: Arc::default(),
        };
        let (cut, tokens) = (shared.cut.clone(), shared.tokens.clone());
        let router = Router::new()
            .route("/token", get(token))
            .route("/v2/", get(base))
            .route("/v2/team/a/manifests/{what}", get(manifest))
            .route("/v2/team/a/blobs/{digest}", get(blob))
            .with_state(shared);
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        FakeRegistry {
            port,
            cut,
            tokens,
            server,
        }
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn token(State(shared): State<Shared>) -> Response {
    shared.tokens.fetch_add(1, Ordering::SeqCst);
    format!("{{\"token\":\"{TOKEN}\"}}").into_response()
}

fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let wanted = format!("Bearer {TOKEN}");
    let given = headers.get(header::AUTHORIZATION);
    if given.is_some_and(|value| value == wanted.as_str()) {
        return None;
    }
    let challenge = format!(
        "Bearer realm=\"http://127.0.0.1:{}/token\",service=\"fake\"",
        shared.port
    );
    let response = (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, challenge)],
    );
    Some(response.into_response())
}

async fn base(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    refusal(&shared, &headers).unwrap_or_else(|| "{}".into_response())
}

async fn manifest(
    State(shared): State<Shared>,
    Path(what): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = refusal(&shared, &headers) {
        return refusal;
    }
    let bytes = shared.blobs.get(&what).unwrap_or(&shared.index);
    bytes.clone().into_response()
}

async fn blob(
    State(shared): State<Shared>,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = refusal(&shared, &headers) {
        return refusal;
    }
    let Some(bytes) = shared.blobs.get(&digest) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if shared.cut.load(Ordering::SeqCst) && bytes.len() > 10_000 {
        let half = bytes::Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
        let broken = std::io::Error::other("cable pulled");
        let parts = futures::stream::iter([Ok(half), Err(broken)]);
        return Body::from_stream(parts).into_response();
    }
    bytes.clone().into_response()
}
