//! An HTTPS server with a certificate nobody signed. It only answers well to the request the test's probe makes.

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::convert::Infallible;
use std::sync::Arc;

/// Returns its port.
pub fn start() -> u16 {
    let (listener, port) = super::listen();
    let own = rcgen::generate_simple_self_signed(vec!["somebody.else".to_owned()])
        .expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("the certificate fits its key");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    super::run(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                }
            });
        }
    });
    port
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let as_expected = request.uri().path() == "/healthz"
        && request.uri().query() == Some("deep=1")
        && header("x-who") == "probe"
        && header("user-agent").starts_with("kube-probe/1.");
    let mut response = Response::new(Full::default());
    if !as_expected {
        *response.status_mut() = http::StatusCode::BAD_REQUEST;
    }
    Ok(response)
}
