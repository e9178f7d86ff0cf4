//! One lifecycle hook: a command in the container, a request to it, or a pause.
//! <https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/>
//!
//! A hook has no time limit of its own; whoever runs it gives it up.

use crate::runtime::{ExecSession, ExecSpec, Runtime};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

/// Of a hook's output for the message of a failure.
const OUTPUT_BYTES_MAX: usize = 1024;
/// Of an answer that nobody reads: enough for the peer to be done with it.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Where a hook runs.
pub struct Place {
    pub uid: String,
    /// As messages name it: `name_namespace(uid)`.
    pub pod: String,
    pub pod_ip: String,
}

/// Runs `handler`; the error is upstream's message.
pub async fn run(
    runtime: &Runtime,
    place: &Place,
    container: &Container,
    handler: &LifecycleHandler,
) -> Result<(), String> {
    let of = format!(
        "for Container \"{}\" in Pod \"{}\" failed - error",
        container.name, place.pod
    );
    if let Some(exec) = &handler.exec {
        let command = exec.command.clone().unwrap_or_default();
        let shown = command.join(" ");
        return in_container(runtime, &place.uid, &container.name, command)
            .await
            .map_err(|(error, output)| {
                format!("Exec lifecycle hook ([{shown}]) {of}: {error}, message: {output:?}")
            });
    }
    if let Some(get) = &handler.http_get {
        let path = get.path.as_deref().unwrap_or_default();
        return request(place, container, get)
            .await
            .map_err(|error| format!("HTTP lifecycle hook ({path}) {of}: {error}"));
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(sleep.seconds.max(0).unsigned_abs())).await;
        return Ok(());
    }
    Err("Cannot run handler: it is neither exec, httpGet nor sleep".to_string())
}

/// The error and what the command said.
async fn in_container(
    runtime: &Runtime,
    uid: &str,
    container: &str,
    args: Vec<String>,
) -> Result<(), (String, String)> {
    let shown = args.join(" ");
    let spec = ExecSpec {
        args,
        tty: false,
        stdin: false,
    };
    let mut session = runtime
        .exec(uid, container, &spec)
        .await
        .map_err(|e| (e.to_string(), String::new()))?;
    let mut output = Vec::new();
    let code = outcome(&mut session, &mut output)
        .await
        .map_err(|e| (e, String::new()))?;
    if code == 0 {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output).into_owned();
    Err((
        format!("command '{shown}' exited with {code}: {output}"),
        output,
    ))
}

/// Waits for the end, reading along so that the command is not held up. Its children may keep the streams open.
async fn outcome(session: &mut ExecSession, output: &mut Vec<u8>) -> Result<i32, String> {
    let (mut stdout, mut stderr) = (session.stdout.take(), session.stderr.take());
    let reading = async {
        let mut kept = (Vec::new(), Vec::new());
        tokio::join!(
            keep(stdout.as_mut(), &mut kept.0),
            keep(stderr.as_mut(), &mut kept.1)
        );
        output.append(&mut kept.0);
        output.append(&mut kept.1);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = reading => Err("the hook's output never ends".to_string()),
        code = session.wait() => code.map_err(|e| e.to_string()),
    }
}

async fn keep(stream: Option<&mut crate::runtime::Output>, kept: &mut Vec<u8>) {
    let Some(stream) = stream else { return };
    let mut block = [0u8; 512];
    while let Ok(count @ 1..) = stream.read(&mut block).await {
        let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&block[..room]);
    }
}

/// Any answer will do: upstream looks at the connection only.
async fn request(place: &Place, container: &Container, get: &HTTPGetAction) -> Result<(), String> {
    let host = match get.host.as_deref() {
        Some(host) if !host.is_empty() => host.to_string(),
        _ if place.pod_ip.is_empty() => return Err("the pod has no address".to_string()),
        _ => place.pod_ip.clone(),
    };
    let port = port(container, &get.port)?;
    let stream = TcpStream::connect((host.as_str(), port))
        .await
        .map_err(|e| format!("Get \"http://{host}:{port}\": {e}"))?;
    let path = get.path.as_deref().unwrap_or_default();
    let path = if path.starts_with('/') {
        path.to_string()
    } else {
        format!("/{path}")
    };
    let mut request = http::Request::get(path)
        .header(http::header::USER_AGENT, "kube-lifecycle/1.37")
        .header(http::header::ACCEPT, "*/*");
    let mut named = false;
    for header in get.http_headers.iter().flatten() {
        named |= header.name.eq_ignore_ascii_case("host");
        request = request.header(&header.name, &header.value);
    }
    if !named {
        request = request.header(http::header::HOST, format!("{host}:{port}"));
    }
    let request = request
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|e| e.to_string())?;
    if get.scheme.as_deref() == Some("HTTPS") {
        return exchange(encrypted(&host, stream).await?, request).await;
    }
    exchange(stream, request).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: http::Request<Empty<bytes::Bytes>>,
) -> Result<(), String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| e.to_string())?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let mut body = answer.into_body();
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, bytes::Bytes::len);
            if read > ANSWER_BYTES_MAX {
                break;
            }
        }
        Ok::<(), hyper::Error>(())
    };
    let pending = async {
        let ended = connection.await;
        // The answer, if there is one, has been handed over.
        std::future::pending::<()>().await;
        ended
    };
    tokio::select! {
        answered = answer => answered.map_err(|e| e.to_string()),
        _ = pending => Err("the connection was closed".to_string()),
    }
}

async fn encrypted(
    host: &str,
    stream: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anyone::Anyone(provider)))
        .with_no_client_auth();
    let name =
        rustls::pki_types::ServerName::try_from(host.to_string()).map_err(|e| e.to_string())?;
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|e| e.to_string())
}

/// Containers have certificates of their own making: upstream does not verify them either.
mod anyone {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::CryptoProvider;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};
    use std::sync::Arc;

    #[derive(Debug)]
    pub struct Anyone(pub Arc<CryptoProvider>);

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

/// A number, or the name of one of the container's ports.
fn port(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(text) => text.parse().ok().or_else(|| {
            container
                .ports
                .iter()
                .flatten()
                .find(|p| p.name.as_deref() == Some(text))
                .map(|p| p.container_port)
        }),
    };
    number
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n > 0)
        .ok_or_else(|| format!("container {} has no port {port:?}", container.name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn ports_by_number_and_name() {
        let container: Container = serde_json::from_value(
            json!({"name": "a", "ports": [{"name": "web", "containerPort": 8080}]}),
        )
        .unwrap();
        for (asked, expected) in [
            (json!(80), Some(80)),
            (json!("81"), Some(81)),
            (json!("web"), Some(8080)),
            (json!("none"), None),
            (json!(0), None),
            (json!(70000), None),
        ] {
            let asked: IntOrString = serde_json::from_value(asked).unwrap();
            assert_eq!(port(&container, &asked).ok(), expected, "{asked:?}");
        }
    }
}
