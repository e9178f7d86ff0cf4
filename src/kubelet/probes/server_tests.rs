//! gRPC and HTTPS tries against servers of a few lines.

#![allow(clippy::unwrap_used)]

use super::answer::Outcome;
use super::{grpc, http, tls, url::Url};
use ::http::{HeaderMap, HeaderValue, Request, Response};
use bytes::Bytes;
use http_body_util::{Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

type Frames = futures::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>;

async fn serving(_: Request<Incoming>) -> Result<Response<StreamBody<Frames>>, Infallible> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let message = Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]);
    let frames = vec![Ok(Frame::data(message)), Ok(Frame::trailers(trailers))];
    Ok(Response::new(StreamBody::new(futures::stream::iter(
        frames,
    ))))
}

#[tokio::test]
async fn grpc_serving() {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service_fn(serving))
            .await;
    });
    assert_eq!(
        grpc::probe("127.0.0.1", port, "", 10).await,
        Outcome::Success
    );
}

#[tokio::test]
async fn grpc_nobody_and_nothing() {
    let (listener, port) = listen().await;
    // Takes the connection and says nothing.
    assert_eq!(
        grpc::probe("127.0.0.1", port, "", 1).await,
        Outcome::Failure("timeout: health rpc did not complete within 1s".into())
    );
    drop(listener);
    assert_eq!(
        grpc::probe("127.0.0.1", port, "", 10).await,
        Outcome::Failure(format!(
            "error: failed to connect service at \"127.0.0.1:{port}\": dial tcp 127.0.0.1:{port}: connect: connection refused"
        ))
    );
}

async fn as_h2(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    if request
        .uri()
        .authority()
        .is_none_or(|a| a.host() != "127.0.0.1")
    {
        *response.status_mut() = ::http::StatusCode::BAD_REQUEST;
    }
    Ok(response)
}

#[tokio::test]
async fn https_with_http2_where_the_server_speaks_it() {
    let own = rcgen::generate_simple_self_signed(vec!["other".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![tls::H2.to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        let _ = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service_fn(as_h2))
            .await;
    });
    let url = Url {
        is_https: true,
        host: "127.0.0.1".into(),
        port,
        target: "/".into(),
    };
    assert_eq!(http::probe(&url, &[], 10).await, Outcome::Success);
}

#[tokio::test]
async fn https_to_a_server_without_tls() {
    use tokio::io::AsyncWriteExt;
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    });
    let url = Url {
        is_https: true,
        host: "127.0.0.1".into(),
        port,
        target: "/".into(),
    };
    assert_eq!(
        http::probe(&url, &[], 10).await,
        Outcome::Failure(format!(
            "Get \"{url}\": http: server gave HTTP response to HTTPS client"
        ))
    );
}
