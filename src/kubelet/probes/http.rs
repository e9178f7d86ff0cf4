//! `httpGet`: one request, redirects on the same host followed, an answer from 200 to 399.
//!
//! Facts from upstream's `pkg/probe/http`: certificates are not verified, no connection is kept, at most 10 KiB of the
//! answer are read, a redirect to another host is a success with a warning.

use super::answer::{Outcome, dial_error};
use super::url::Url;
use super::{grpc, tls};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use axum::body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// Upstream's `maxRespBodyLength`.
pub const BODY_BYTES_MAX: usize = 10 * 1024;
/// Requests in a row, redirects included; Go's and so upstream's limit.
const REQUESTS_MAX: usize = 10;
/// The Kubernetes version this API speaks, as in `/version`.
pub const USER_AGENT: &str = "kube-probe/1.37";
/// Go's words for a request that took longer than its client allows.
const TIMED_OUT: &str =
    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";

pub async fn probe(url: &Url, headers: &[(String, String)], timeout_s: u64) -> Outcome {
    let limit = Duration::from_secs(timeout_s);
    let headers = request_headers(headers);
    let mut at = url.clone();
    let asked = tokio::time::timeout(limit, follow(&mut at, &headers)).await;
    asked.unwrap_or_else(|_| Outcome::Failure(format!("Get \"{at}\": {TIMED_OUT}")))
}

/// One request whose answer does not matter, as a lifecycle hook makes it.
pub async fn touch(url: &Url, headers: &[(String, String)]) -> Result<(), String> {
    let (response, connection) = get(url, &request_headers(headers))
        .await
        .map_err(|text| format!("Get \"{url}\": {text}"))?;
    // Taken in, so that the server is not cut off in the middle of it.
    let _ = read(response.into_body()).await;
    drop(connection);
    Ok(())
}

async fn follow(at: &mut Url, headers: &HeaderMap) -> Outcome {
    let first_host = at.host.clone();
    for _ in 0..REQUESTS_MAX {
        let (response, connection) = match get(at, headers).await {
            Ok(answered) => answered,
            Err(text) => return Outcome::Failure(format!("Get \"{at}\": {text}")),
        };
        let status = response.status().as_u16();
        match redirect(at, status, location(&response)) {
            Ok(Some(next)) if next.host.eq_ignore_ascii_case(&first_host) => *at = next,
            Ok(_) => {
                let body = match read(response.into_body()).await {
                    Ok(body) => body,
                    Err(text) => {
                        return Outcome::Error {
                            state: "failure",
                            text,
                        };
                    }
                };
                drop(connection);
                return judge(status, &body);
            }
            Err(text) => return Outcome::Failure(format!("Get \"{at}\": {text}")),
        }
    }
    Outcome::Failure(format!(
        "Get \"{at}\": stopped after {REQUESTS_MAX} redirects"
    ))
}

/// What an answer says. Pure: status code and as much of the body as was read.
pub fn judge(status: u16, body: &[u8]) -> Outcome {
    match status {
        200..300 => Outcome::Success,
        300..400 => Outcome::Warning(format!(
            "Probe terminated redirects, Response body: {}",
            String::from_utf8_lossy(body)
        )),
        // Upstream keeps the body out of the event: it is the container's, not the operator's.
        _ => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
    }
}

/// Where an answer sends on to, if it does. Pure; `location` is the header as it came.
pub fn redirect(from: &Url, status: u16, location: Option<&[u8]>) -> Result<Option<Url>, String> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    match location.filter(|l| !l.is_empty()) {
        None => Ok(None),
        Some(bytes) => from.join(&String::from_utf8_lossy(bytes)).map(Some),
    }
}

fn location(response: &Response<Incoming>) -> Option<&[u8]> {
    response
        .headers()
        .get(header::LOCATION)
        .map(HeaderValue::as_bytes)
}

/// The probe's headers with what every probe sends. A header that HTTP does not allow is left out: the API has
/// refused such names.
fn request_headers(list: &[(String, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            headers.append(name, value);
        }
    }
    for (name, default) in [(header::USER_AGENT, USER_AGENT), (header::ACCEPT, "*/*")] {
        match headers.get(&name) {
            None => {
                headers.insert(name, HeaderValue::from_static(default));
            }
            // Written and empty: not to be sent.
            Some(value) if value.is_empty() => {
                headers.remove(name);
            }
            Some(_) => {}
        }
    }
    headers
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Drives one connection; the connection ends with it.
type Connection = AbortOnDropHandle<()>;

async fn get(url: &Url, headers: &HeaderMap) -> Result<(Response<Incoming>, Connection), String> {
    let stream = TcpStream::connect((url.host.as_str(), url.port))
        .await
        .map_err(|e| dial_error(&url.authority(), &e))?;
    if !url.is_https {
        return http1(Box::new(stream), url, headers).await;
    }
    let stream = tls::connect(&url.host, stream).await.map_err(|e| {
        if e.to_string().contains("InvalidContentType") {
            "http: server gave HTTP response to HTTPS client".to_string()
        } else {
            e.to_string()
        }
    })?;
    if stream.get_ref().1.alpn_protocol() == Some(tls::H2) {
        let (mut sender, connection) = grpc::connect(stream).await?;
        let answer = sender.send_request(request(url, headers, true)?).await;
        return Ok((answer.map_err(|e| explain(&e))?, connection));
    }
    http1(Box::new(stream), url, headers).await
}

async fn http1(
    stream: Box<dyn Stream>,
    url: &Url,
    headers: &HeaderMap,
) -> Result<(Response<Incoming>, Connection), String> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| explain(&e))?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let answer = sender.send_request(request(url, headers, false)?).await;
    Ok((answer.map_err(|e| explain(&e))?, connection))
}

fn request(url: &Url, headers: &HeaderMap, is_h2: bool) -> Result<Request<Body>, String> {
    let host = headers
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .filter(|h| !h.is_empty())
        .map_or_else(|| url.authority(), str::to_string);
    let uri = if is_h2 {
        format!("https://{host}{}", url.target)
    } else {
        url.target.clone()
    };
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(uri)
        .body(Body::empty())
        .map_err(|e| e.to_string())?;
    *request.headers_mut() = headers.clone();
    let list = request.headers_mut();
    if is_h2 {
        list.remove(header::HOST);
    } else {
        let host = HeaderValue::from_str(&host).map_err(|e| e.to_string())?;
        list.insert(header::HOST, host);
        list.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(request)
}

/// The innermost cause says the most.
pub(super) fn explain(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        return "EOF".to_string();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The body as far as it is looked at.
async fn read(mut body: Incoming) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while bytes.len() < BODY_BYTES_MAX {
        let Some(frame) = body.frame().await else {
            break;
        };
        if let Ok(data) = frame.map_err(|e| explain(&e))?.into_data() {
            let room = BODY_BYTES_MAX - bytes.len();
            bytes.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
