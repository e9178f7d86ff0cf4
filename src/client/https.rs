//! The door over the network: HTTP/1.1 on TLS, trusted and authenticated as a kubeconfig says.

use super::kubeconfig::Endpoint;
use super::{ClientError, Door};
use axum::body::Body;
use futures::future::BoxFuture;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Longest wait for a connection and its TLS handshake: a slow board behind a slow link answers within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    #[error("server {0:?} is no URL such as https://127.0.0.1:6443")]
    Server(String),
    #[error(
        "the kubeconfig names no certificate-authority for {0}, and coracle trusts no public ones"
    )]
    NoAuthority(String),
    /// `what` is `certificate-authority`, `client-certificate` or `client-key`.
    #[error("{what} in the kubeconfig is not PEM: {cause}")]
    Pem { what: &'static str, cause: String },
    #[error("the client certificate cannot be used: {0}")]
    ClientCertificate(String),
    #[error("the token in the kubeconfig has characters that HTTP does not allow")]
    Token,
}

/// Speaks to one server; keeps one idle connection.
pub struct HttpsDoor {
    inner: Arc<Inner>,
}

struct Inner {
    /// `host:port`, for `Host` and messages.
    authority: String,
    address: String,
    /// Path before every request's own, without a trailing slash.
    prefix: String,
    tls: Option<(tokio_rustls::TlsConnector, ServerName<'static>)>,
    authorization: Option<HeaderValue>,
    idle: Mutex<Option<SendRequest<Body>>>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl HttpsDoor {
    /// Reads the endpoint's certificates; connects at the first call.
    pub fn new(endpoint: &Endpoint) -> Result<HttpsDoor, HttpsError> {
        let wrong = || HttpsError::Server(endpoint.server.clone());
        let uri: Uri = endpoint.server.parse().map_err(|_| wrong())?;
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            // `kubectl proxy` and the like.
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(wrong()),
        };
        let host = uri.host().ok_or_else(wrong)?;
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let bare_host = host.trim_start_matches('[').trim_end_matches(']');
        let tls = if secure {
            let name = endpoint.tls_server_name.as_deref().unwrap_or(bare_host);
            let name = ServerName::try_from(name.to_owned()).map_err(|_| wrong())?;
            let config = tls_config(endpoint)?;
            Some((tokio_rustls::TlsConnector::from(Arc::new(config)), name))
        } else {
            None
        };
        let authorization = match &endpoint.token {
            None => None,
            Some(token) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                    .map_err(|_| HttpsError::Token)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(HttpsDoor {
            inner: Arc::new(Inner {
                authority: format!("{host}:{port}"),
                address: format!("{host}:{port}"),
                prefix: uri.path().trim_end_matches('/').to_owned(),
                tls,
                authorization,
                idle: Mutex::new(None),
            }),
        })
    }
}

fn tls_config(endpoint: &Endpoint) -> Result<rustls::ClientConfig, HttpsError> {
    let authority = endpoint
        .certificate_authority
        .as_deref()
        .ok_or_else(|| HttpsError::NoAuthority(endpoint.server.clone()))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates("certificate-authority", authority)? {
        roots.add(certificate).map_err(|cause| HttpsError::Pem {
            what: "certificate-authority",
            cause: cause.to_string(),
        })?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| HttpsError::ClientCertificate(cause.to_string()))?
        .with_root_certificates(roots);
    let mut config = match &endpoint.client_certificate {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = certificates("client-certificate", chain)?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|cause| HttpsError::Pem {
                what: "client-key",
                cause: cause.to_string(),
            })?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|cause| HttpsError::ClientCertificate(cause.to_string()))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(
    what: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, HttpsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|cause| HttpsError::Pem {
            what,
            cause: cause.to_string(),
        })?;
    if found.is_empty() {
        return Err(HttpsError::Pem {
            what,
            cause: "no certificate in it".to_owned(),
        });
    }
    Ok(found)
}

impl Door for HttpsDoor {
    fn call(
        &self,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, ClientError>> {
        let inner = self.inner.clone();
        Box::pin(async move { inner.call(request).await })
    }
}

impl Inner {
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let mut request = self.address(request)?;
        if let Some(mut sender) = self.take_idle() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.finish(sender, response)),
                Err(mut failure) => match failure.take_message() {
                    // The server closed the idle connection before it saw the request.
                    Some(unsent) => request = unsent,
                    None => return Err(self.broken(&failure.into_error())),
                },
            }
        }
        let mut sender = self.connect().await?;
        match sender.send_request(request).await {
            Ok(response) => Ok(self.finish(sender, response)),
            Err(cause) => Err(self.broken(&cause)),
        }
    }

    /// Adds what the server needs beside the path.
    fn address(&self, mut request: Request<Body>) -> Result<Request<Body>, ClientError> {
        let own = request
            .uri()
            .path_and_query()
            .map_or("/", PathAndQuery::as_str);
        let uri = format!("{}{own}", self.prefix);
        *request.uri_mut() = uri
            .parse()
            .map_err(|cause| ClientError::Request(format!("{uri}: {cause}")))?;
        let host = HeaderValue::from_str(&self.authority)
            .map_err(|cause| ClientError::Request(cause.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, host);
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }

    fn take_idle(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // One that still carries a watch is not ready: it stays where it is until the watch ends.
        idle.take_if(|sender| sender.is_closed() || sender.is_ready())
            .filter(|sender| !sender.is_closed())
    }

    fn finish(
        &self,
        sender: SendRequest<Body>,
        response: Response<hyper::body::Incoming>,
    ) -> Response<Body> {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        response.map(Body::new)
    }

    async fn connect(&self) -> Result<SendRequest<Body>, ClientError> {
        let attempt = tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await;
        let stream = attempt.map_err(|_| {
            self.unreachable(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))
        })??;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|cause| self.broken(&cause))?;
        // Ends with the sender and the last body; its errors reach the caller through them.
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    async fn open(&self) -> Result<Box<dyn Stream>, ClientError> {
        let tcp = TcpStream::connect(&self.address)
            .await
            .map_err(|cause| match cause.kind() {
                std::io::ErrorKind::ConnectionRefused => ClientError::Refused {
                    server: self.authority.clone(),
                },
                _ => self.unreachable(cause.to_string()),
            })?;
        // Requests are small and waited for.
        tcp.set_nodelay(true)
            .map_err(|cause| self.unreachable(cause.to_string()))?;
        match &self.tls {
            None => Ok(Box::new(tcp)),
            Some((connector, name)) => {
                let stream = connector
                    .connect(name.clone(), tcp)
                    .await
                    .map_err(|cause| self.unreachable(explain_tls(&cause)))?;
                Ok(Box::new(stream))
            }
        }
    }

    fn unreachable(&self, cause: String) -> ClientError {
        ClientError::Connect {
            server: self.authority.clone(),
            cause,
        }
    }

    fn broken(&self, cause: &hyper::Error) -> ClientError {
        use std::error::Error;
        let mut text = cause.to_string();
        if let Some(source) = cause.source() {
            text = format!("{text}: {source}");
        }
        self.unreachable(text)
    }
}

/// Adds what to do to rustls' own words, for the cases that happen on boards.
fn explain_tls(cause: &std::io::Error) -> String {
    let text = cause.to_string();
    let advice = if text.contains("NotValidYet") || text.contains("not valid yet") {
        "this machine's clock is before the certificate's beginning: set the clock"
    } else if text.contains("Expired") || text.contains("expired") {
        "the certificate has expired, or this machine's clock is ahead"
    } else if text.contains("UnknownIssuer") || text.contains("BadSignature") {
        "the kubeconfig belongs to another cluster: take the new one (`coracle kubeconfig` on the node)"
    } else {
        return text;
    };
    format!("{text} ({advice})")
}

#[cfg(test)]
#[path = "https_tests.rs"]
mod tests;
