//! The API's socket: TLS, HTTP/1.1 and HTTP/2, and the user behind a client certificate or a token.

use super::Api;
use super::authenticate::recognised;
use crate::mesh::identity::holder;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A connection costs some tens of KiB; more at once than this are made to wait by the kernel's queue.
const CONNECTIONS_MAX: usize = 256;

/// A client that does not finish its handshake or its request's head by then is gone or means harm.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Who shows neither certificate nor token may ask for health and version only; that takes no longer, and leaves the
/// room to others.
const ANONYMOUS_TIME: Duration = Duration::from_mins(1);

/// A peer that lost its power sends no farewell: HTTP/2 asks after it, so that its place becomes free.
const PING_INTERVAL: Duration = Duration::from_mins(1);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Streams of one HTTP/2 connection: a client-go process multiplexes all its watches over one.
const STREAMS_MAX: u32 = 250;

/// Time for running requests after `stop`; watches and follows do not end by themselves.
const DRAIN: Duration = Duration::from_millis(500);

/// Serves `api` on `listener` until `stop`.
pub async fn serve(
    api: Api,
    listener: TcpListener,
    tls: rustls::ServerConfig,
    stop: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    let last_call = stop.child_token();
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                // Out of file descriptors, most likely: it passes when connections close.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (api, acceptor, stop) = (api.clone(), acceptor.clone(), last_call.clone());
        connections.spawn(async move {
            connection(api, socket, acceptor, stop).await;
            drop(place);
        });
    }
    connections.close();
    let _ = tokio::time::timeout(DRAIN * 2, connections.wait()).await;
}

async fn connection(api: Api, socket: TcpStream, acceptor: TlsAcceptor, stop: CancellationToken) {
    let _ = socket.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!("TLS handshake failed: {error}"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let user = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first)
        .and_then(holder)
        .map(|holder| recognised(holder.common_name, holder.organisations));
    let named = Arc::new(AtomicBool::new(user.is_some()));
    let is_named = named.clone();
    let asked = Arc::new(AtomicBool::new(false));
    let has_asked = asked.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        let (api, certificate) = (api.clone(), user.clone());
        let named = named.clone();
        async move {
            let mut request = request.map(Body::new);
            let answer = match api.authenticate(certificate, &mut request) {
                Ok(user) => {
                    named.fetch_or(user.is_some(), Ordering::Relaxed);
                    api.handle(user, request).await
                }
                Err(error) => error.into_response(),
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(serving);
    // Until the first bytes tell the protocol, none of hyper's own time limits runs.
    let overdue = async {
        tokio::time::sleep(HEAD_TIMEOUT).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let outstayed = async {
        tokio::time::sleep(ANONYMOUS_TIME).await;
        if is_named.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = overdue => return tracing::debug!("a connection without a request is closed"),
        () = outstayed => return tracing::debug!("an anonymous connection has had its time"),
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            // Whatever streams on after that is cut.
            match tokio::time::timeout(DRAIN, serving.as_mut()).await {
                Ok(result) => result,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!("connection ended: {error}");
    }
}
