//! `grpc`: the standard health service, one call over HTTP/2 without TLS.
//! <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>,
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
//!
//! The two messages are small enough to be written out here: a request with one string, an answer with one enum.

use super::answer::{Outcome, dial_error, go_seconds, join_host_port};
use super::http::{USER_AGENT, explain};
use ::http::{HeaderMap, Method, Request, header};
use axum::body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

const METHOD: &str = "/grpc.health.v1.Health/Check";
/// An answer takes 7 bytes; one that says more says it for nobody.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Compressed-flag and length in front of every message.
const PREFIX_BYTES: usize = 5;
/// Flow control windows: the smallest HTTP/2 allows without changes (RFC 9113, section 6.9.2).
const WINDOW_BYTES: u32 = 65_535;

/// gRPC status codes with a message of their own here.
const DEADLINE_EXCEEDED: u32 = 4;
const UNIMPLEMENTED: u32 = 12;
/// Names of the status codes, as Go prints them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

pub async fn probe(host: &str, port: u16, service: &str, timeout_s: u64) -> Outcome {
    let address = join_host_port(host, port);
    let within = go_seconds(timeout_s);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(timeout_s);
    let connected = async {
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(|e| dial_error(&address, &e))?;
        connect(stream).await
    };
    let (sender, connection) = match tokio::time::timeout_at(deadline, connected).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(text)) => {
            return Outcome::Failure(format!(
                "error: failed to connect service at \"{address}\": {text}"
            ));
        }
        Err(_) => {
            return Outcome::Failure(format!(
                "timeout: failed to connect service \"{address}\" within {within}: context deadline exceeded"
            ));
        }
    };
    let answered = tokio::time::timeout_at(deadline, call(sender, &address, service, timeout_s));
    let outcome = match answered.await {
        Ok(Ok(reply)) => judge(&reply, &within),
        Ok(Err(text)) => failed(14, &text, &within),
        Err(_) => failed(DEADLINE_EXCEEDED, "", &within),
    };
    drop(connection);
    outcome
}

/// HTTP/2 from the first byte.
pub(super) async fn connect<S>(
    stream: S,
) -> Result<(SendRequest<Body>, AbortOnDropHandle<()>), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| explain(&e))?;
    let driver = AbortOnDropHandle::new(tokio::spawn(async move {
        let _ = connection.await;
    }));
    Ok((sender, driver))
}

/// What came back from a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    pub http_status: u16,
    /// `grpc-status`, from the trailers or, where there is no message, from the headers.
    pub code: Option<u32>,
    pub message: String,
    pub body: Vec<u8>,
}

impl Reply {
    fn note(&mut self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        if let Some(code) = text("grpc-status").and_then(|c| c.parse().ok()) {
            self.code = Some(code);
            let message = text("grpc-message").unwrap_or_default();
            self.message = percent_encoding::percent_decode_str(message)
                .decode_utf8_lossy()
                .into_owned();
        }
    }
}

async fn call(
    mut sender: SendRequest<Body>,
    address: &str,
    service: &str,
    timeout_s: u64,
) -> Result<Reply, String> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{address}{METHOD}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, USER_AGENT)
        .header("grpc-timeout", format!("{timeout_s}S"))
        .body(Body::from(encode(service)))
        .map_err(|e| e.to_string())?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|e| explain(&e))?;
    let mut reply = Reply {
        http_status: response.status().as_u16(),
        ..Reply::default()
    };
    reply.note(response.headers());
    let mut body: Incoming = response.into_body();
    while let Some(frame) = body.frame().await {
        match frame.map_err(|e| explain(&e))?.into_data() {
            Ok(data) if reply.body.len() + data.len() > MESSAGE_BYTES_MAX => {
                return Err("the answer is longer than a health check's can be".to_string());
            }
            Ok(data) => reply.body.extend_from_slice(&data),
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    reply.note(&trailers);
                }
            }
        }
    }
    Ok(reply)
}

/// `HealthCheckRequest { string service = 1; }` with its prefix.
pub fn encode(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend(message);
    framed
}

/// `HealthCheckResponse { ServingStatus status = 1; }` with its prefix; the number of the status. Pure, and safe with any
/// bytes.
pub fn decode(framed: &[u8]) -> Result<u64, &'static str> {
    let (prefix, rest) = framed
        .split_at_checked(PREFIX_BYTES)
        .ok_or("the answer has no message")?;
    if prefix[0] != 0 {
        return Err("the answer is compressed, which nobody asked for");
    }
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    let mut message = rest.get(..length).ok_or("the answer is cut short")?;
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match (tag >> 3, tag & 7) {
            (1, 0) => status = varint(&mut message)?,
            (_, 0) => {
                varint(&mut message)?;
            }
            (_, 1) => skip(&mut message, 8)?,
            (_, 2) => {
                let length = varint(&mut message)?;
                skip(&mut message, length)?;
            }
            (_, 5) => skip(&mut message, 4)?,
            _ => return Err("the answer is no protobuf message"),
        }
    }
    Ok(status)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or("the answer is cut short")?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("the answer has a number that is too long")
}

fn skip(bytes: &mut &[u8], count: u64) -> Result<(), &'static str> {
    let count = usize::try_from(count).map_err(|_| "the answer is cut short")?;
    *bytes = bytes.get(count..).ok_or("the answer is cut short")?;
    Ok(())
}

/// What a reply says, in upstream's words. Pure.
pub fn judge(reply: &Reply, within: &str) -> Outcome {
    match reply.code {
        Some(0) => match decode(&reply.body) {
            Ok(1) => Outcome::Success,
            Ok(status) => Outcome::Failure(format!(
                "service unhealthy (responded with \"{}\")",
                serving(status)
            )),
            Err(text) => failed(13, text, within),
        },
        Some(code) => failed(code, &reply.message, within),
        None if reply.http_status == 200 => failed(
            13,
            "server closed the stream without sending trailers",
            within,
        ),
        None => {
            let text = format!(
                "unexpected HTTP status code received from server: {}",
                reply.http_status
            );
            failed(if reply.http_status == 404 { 12 } else { 2 }, &text, within)
        }
    }
}

fn serving(status: u64) -> String {
    match status {
        0 => "UNKNOWN".to_string(),
        1 => "SERVING".to_string(),
        2 => "NOT_SERVING".to_string(),
        3 => "SERVICE_UNKNOWN".to_string(),
        other => other.to_string(),
    }
}

fn failed(code: u32, message: &str, within: &str) -> Outcome {
    Outcome::Failure(match code {
        UNIMPLEMENTED => format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        ),
        DEADLINE_EXCEEDED => format!("timeout: health rpc did not complete within {within}"),
        code => {
            let name = CODES
                .get(code as usize)
                .map_or_else(|| format!("Code({code})"), |name| (*name).to_string());
            format!("error: health rpc probe failed: rpc error: code = {name} desc = {message}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply(code: u32, body: &[u8]) -> Reply {
        Reply {
            http_status: 200,
            code: Some(code),
            message: "why".into(),
            body: body.to_vec(),
        }
    }

    #[test]
    fn requests() {
        assert_eq!(encode(""), [0, 0, 0, 0, 0]);
        assert_eq!(encode("ab"), [0, 0, 0, 0, 4, 10, 2, b'a', b'b']);
        let long = encode(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 10, 0xac, 2]);
    }

    #[test]
    fn answers() {
        for (reply, expected) in [
            (reply(0, &[0, 0, 0, 0, 2, 8, 1]), Ok(())),
            (
                reply(0, &[0, 0, 0, 0, 2, 8, 2]),
                Err("service unhealthy (responded with \"NOT_SERVING\")"),
            ),
            (
                reply(0, &[0, 0, 0, 0, 0]),
                Err("service unhealthy (responded with \"UNKNOWN\")"),
            ),
            (
                reply(0, &[0, 0, 0, 0, 2, 8, 3]),
                Err("service unhealthy (responded with \"SERVICE_UNKNOWN\")"),
            ),
            (
                reply(12, &[]),
                Err(
                    "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): why",
                ),
            ),
            (
                reply(4, &[]),
                Err("timeout: health rpc did not complete within 1s"),
            ),
            (
                reply(5, &[]),
                Err("error: health rpc probe failed: rpc error: code = NotFound desc = why"),
            ),
            (
                reply(0, &[0, 0]),
                Err(
                    "error: health rpc probe failed: rpc error: code = Internal desc = the answer has no message",
                ),
            ),
        ] {
            let expected = match expected {
                Ok(()) => Outcome::Success,
                Err(text) => Outcome::Failure(text.into()),
            };
            assert_eq!(judge(&reply, "1s"), expected);
        }
    }

    #[test]
    fn unknown_fields_are_skipped() {
        let message = [0, 0, 0, 0, 10, 18, 2, 9, 9, 29, 1, 2, 3, 4, 8];
        assert_eq!(decode(&message), Err("the answer is cut short"));
        let message = [0, 0, 0, 0, 11, 18, 2, 9, 9, 29, 1, 2, 3, 4, 8, 1];
        assert_eq!(decode(&message), Ok(1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
