//! A registry of our own for what Debian's does not do: token servers of every kind, links that break, stall and
//! forget, TLS with certificates of its own.

use crate::archives::Oci;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Who is let in.
#[derive(Clone, Copy, PartialEq)]
pub enum Guard {
    Open,
    /// A token for everybody.
    Token,
    /// A token for `user` with `password`.
    Login,
    /// A token for the refresh token `refresh`.
    Refresh,
    /// `user` with `password` at each request.
    Basic,
}

/// What goes wrong. All can be changed while it serves.
#[derive(Default)]
pub struct Faults {
    /// Blob answers end after so many bytes, as long as `cuts` are left.
    pub cut_after: AtomicUsize,
    pub cuts: AtomicUsize,
    /// Instead of ending, cut answers fall silent.
    pub silent: AtomicBool,
    pub ignores_ranges: AtomicBool,
    /// So many requests are answered `503` first.
    pub busy: AtomicUsize,
    /// Seconds that new tokens live; 0: not said.
    pub token_life: AtomicUsize,
    /// Tokens given so far are not taken any more.
    pub revoked: AtomicBool,
}

#[derive(Clone)]
enum Blob {
    Bytes(Bytes),
    File(PathBuf),
}

pub struct FakeRegistry {
    pub port: u16,
    pub faults: Arc<Faults>,
    /// One line per request: method, path with query, range and authorization.
    pub log: Arc<Mutex<Vec<String>>>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    port: u16,
    guard: Guard,
    blobs: Arc<HashMap<String, Blob>>,
    index: Bytes,
    faults: Arc<Faults>,
    log: Arc<Mutex<Vec<String>>>,
    tokens: Arc<AtomicUsize>,
}

impl FakeRegistry {
    /// Serves the archive's index under every repository and tag.
    pub async fn start(oci: &Oci, guard: Guard) -> FakeRegistry {
        FakeRegistry::start_with(oci, guard, &[], None).await
    }

    /// With blobs from files, by digest, and over TLS where a configuration is given.
    pub async fn start_with(
        oci: &Oci,
        guard: Guard,
        files: &[(String, PathBuf)],
        tls: Option<rustls::ServerConfig>,
    ) -> FakeRegistry {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let members = oci.members.iter().map(|(name, bytes)| {
            let name = name.replace("blobs/sha256/", "sha256:");
            (name, Blob::Bytes(bytes.clone().into()))
        });
        let files = files.iter().cloned();
        let blobs = members
            .chain(files.map(|(digest, path)| (digest, Blob::File(path))))
            .collect();
        let shared = Shared {
            port,
            guard,
            blobs: Arc::new(blobs),
            index: oci.index().into(),
            faults: Arc::default(),
            log: Arc::default(),
            tokens: Arc::default(),
        };
        let (faults, log) = (shared.faults.clone(), shared.log.clone());
        let router = Router::new().fallback(answer).with_state(shared);
        let server = match tls {
            None => tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }),
            Some(tls) => {
                let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
                let listener = TlsListener { listener, acceptor };
                tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
            }
        };
        FakeRegistry {
            port,
            faults,
            log,
            server,
        }
    }

    /// A full name in this registry.
    pub fn name(&self, rest: &str) -> String {
        format!("127.0.0.1:{}/{rest}", self.port)
    }

    /// Requests so far whose line holds `text`.
    pub fn count(&self, text: &str) -> usize {
        let log = self.log.lock().unwrap();
        log.iter().filter(|line| line.contains(text)).count()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct TlsListener {
    listener: tokio::net::TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (socket, address) = self.listener.accept().await.unwrap();
            // Clients that do not trust it go away in the handshake.
            if let Ok(stream) = self.acceptor.accept(socket).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let authorization = text(&parts.headers, header::AUTHORIZATION);
    let range = text(&parts.headers, header::RANGE);
    shared.log.lock().unwrap().push(format!(
        "{} {} range={range} auth={authorization}",
        parts.method, parts.uri
    ));
    let path = parts.uri.path().to_owned();
    if path == "/token" {
        let body = axum::body::to_bytes(body, 64 * 1024).await.unwrap();
        return token(&shared, &authorization, &body);
    }
    if shared
        .faults
        .busy
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        })
        .is_ok()
    {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if let Some(refusal) = refusal(&shared, &authorization) {
        return refusal;
    }
    if let Some((_, what)) = path.split_once("/manifests/") {
        let bytes = match shared.blobs.get(what) {
            Some(Blob::Bytes(bytes)) => bytes.clone(),
            _ if what == "absent" => return StatusCode::NOT_FOUND.into_response(),
            _ => shared.index.clone(),
        };
        let digest = crate::archives::digest(&bytes);
        return ([("docker-content-digest", digest)], bytes).into_response();
    }
    let digest = path.rsplit('/').next().unwrap_or_default();
    match shared.blobs.get(digest) {
        Some(blob) => serve(&shared, blob.clone(), &range).await,
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn basic() -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode("user:password");
    format!("Basic {pair}")
}

fn token(shared: &Shared, authorization: &str, body: &[u8]) -> Response {
    let body = String::from_utf8_lossy(body);
    let welcome = match shared.guard {
        Guard::Open | Guard::Token | Guard::Basic => true,
        Guard::Login => authorization == basic(),
        Guard::Refresh => {
            body.contains("grant_type=refresh_token") && body.contains("refresh_token=refresh")
        }
    };
    if !welcome {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    shared.faults.revoked.store(false, Ordering::SeqCst);
    let number = shared.tokens.fetch_add(1, Ordering::SeqCst) + 1;
    let field = if shared.guard == Guard::Refresh {
        "access_token"
    } else {
        "token"
    };
    let life = match shared.faults.token_life.load(Ordering::SeqCst) {
        0 => String::new(),
        seconds => format!(",\"expires_in\":{seconds}"),
    };
    format!("{{\"{field}\":\"t{number}\"{life}}}").into_response()
}

fn refusal(shared: &Shared, authorization: &str) -> Option<Response> {
    let newest = shared.tokens.load(Ordering::SeqCst);
    let welcome = match shared.guard {
        Guard::Open => true,
        Guard::Basic => authorization == basic(),
        _ => {
            authorization == format!("Bearer t{newest}")
                && !shared.faults.revoked.load(Ordering::SeqCst)
        }
    };
    if welcome {
        return None;
    }
    let challenge = match shared.guard {
        Guard::Basic => "Basic realm=\"fake\"".to_owned(),
        _ => format!(
            "Bearer realm=\"http://127.0.0.1:{}/token\",service=\"fake\",scope=\"repository:team/a:pull\"",
            shared.port
        ),
    };
    let response = (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, challenge)],
    );
    Some(response.into_response())
}

async fn serve(shared: &Shared, blob: Blob, range: &str) -> Response {
    let faults = &shared.faults;
    let size = match &blob {
        Blob::Bytes(bytes) => bytes.len(),
        Blob::File(path) => usize::try_from(std::fs::metadata(path).unwrap().len()).unwrap(),
    };
    let from = match range
        .strip_prefix("bytes=")
        .and_then(|r| r.strip_suffix('-'))
    {
        Some(from) if !faults.ignores_ranges.load(Ordering::SeqCst) => from.parse().unwrap(),
        _ => 0,
    };
    let limit = faults.cut_after.load(Ordering::SeqCst);
    let is_cut = limit > 0
        && size - from > limit
        && faults
            .cuts
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok();
    let until = if is_cut { from + limit } else { size };
    let silent = faults.silent.load(Ordering::SeqCst);
    let start: futures::stream::BoxStream<'static, std::io::Result<Bytes>> = match blob {
        Blob::Bytes(bytes) => {
            let bytes = bytes.slice(from..until);
            Box::pin(futures::stream::once(async { Ok(bytes) }))
        }
        Blob::File(path) => {
            let mut file = tokio::fs::File::open(path).await.unwrap();
            file.seek(std::io::SeekFrom::Start(from as u64))
                .await
                .unwrap();
            Box::pin(tokio_util::io::ReaderStream::new(
                file.take((until - from) as u64),
            ))
        }
    };
    let end = futures::stream::once(async move {
        // The server sends what it has when there is nothing more to do for the moment.
        tokio::task::yield_now().await;
        if silent {
            futures::future::pending::<()>().await;
        }
        Err(std::io::Error::other("cable pulled"))
    });
    let body = if is_cut {
        Body::from_stream(futures::StreamExt::chain(start, end))
    } else {
        Body::from_stream(start)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, (size - from).into());
    if from > 0 {
        let range = format!("bytes {from}-{}/{size}", size - 1);
        headers.insert(header::CONTENT_RANGE, range.parse().unwrap());
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}
