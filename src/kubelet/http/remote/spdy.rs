//! Older clients: the connection becomes SPDY/3.1, a stream for each of the process's streams, named by `streamtype`.
//! Source: kubernetes `pkg/kubelet/server/remotecommand` (protocol `v4.channel.k8s.io`).

use super::{Carried, Starting, Wanted, attend, remote};
use crate::kubelet::http::Refusal;
use crate::streaming::channel::{Input, Output, V4, terminal_size};
use crate::streaming::session::session;
use crate::streaming::spdy::{Role, UPGRADE};
use crate::streaming::stream::{Reader, Stream, Writer};
use ::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use axum::body::Body;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::sync::mpsc;

/// In it both sides name the protocol inside SPDY.
const PROTOCOL_HEADER: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// Time for the client to open its streams; upstream's.
const STREAMS_TIME: Duration = Duration::from_secs(30);
/// How long a client may take to read the end.
const LINGER: Duration = Duration::from_secs(5);
/// A terminal's size as JSON on one line.
const SIZE_BYTES_MAX: usize = 1024;

/// The request wants the connection to become SPDY.
pub fn wanted(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.eq_ignore_ascii_case(UPGRADE))
}

/// The protocols a client offers, in its order.
pub fn protocols(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(PROTOCOL_HEADER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|protocol| protocol.trim().to_owned())
        .collect()
}

/// Answers the upgrade to SPDY with `protocol`; the connection follows.
pub fn upgrade(
    mut request: Request<Body>,
    protocol: &'static str,
) -> Result<(OnUpgrade, Response<Body>), Refusal> {
    let offered = protocols(request.headers());
    if !offered.iter().any(|one| one == protocol) {
        return Err(Refusal {
            code: StatusCode::FORBIDDEN,
            reason: "Forbidden",
            message: format!(
                "unable to upgrade: unable to negotiate protocol: client supports {offered:?}, server accepts [{protocol}]"
            ),
        });
    }
    let upgrading = hyper::upgrade::on(&mut request);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(UPGRADE));
    headers.insert(PROTOCOL_HEADER, HeaderValue::from_static(protocol));
    Ok((upgrading, response))
}

pub(super) fn serve(
    request: Request<Body>,
    wanted: Wanted,
    starting: Starting,
) -> Result<Response<Body>, Refusal> {
    let (upgrading, response) = upgrade(request, V4)?;
    // The task ends with the connection.
    tokio::spawn(async move {
        match upgrading.await {
            Ok(upgraded) => converse(upgraded, wanted, starting).await,
            Err(error) => tracing::debug!(%error, "the connection was not upgraded"),
        }
    });
    Ok(response)
}

async fn converse(upgraded: Upgraded, wanted: Wanted, starting: Starting) {
    let (mut incoming, opener, driving) = session(TokioIo::new(upgraded), Role::Server);
    drop(opener);
    let serving = async move {
        let streams = tokio::time::timeout(STREAMS_TIME, collect(&mut incoming, wanted)).await;
        let Ok(Some(streams)) = streams else {
            return tracing::debug!("the client did not open its streams");
        };
        let (remote, carried) = remote();
        // Nothing is left to carry when the process has ended and everything is sent.
        tokio::join!(
            attend(remote, wanted, starting),
            carry(streams, carried, wanted)
        );
    };
    tokio::pin!(driving, serving);
    let result = tokio::select! {
        result = &mut driving => result,
        // The last frames still have to go.
        () = &mut serving => (&mut driving).await,
    };
    if let Err(error) = result {
        tracing::debug!(%error, "SPDY connection ended");
    }
}

#[derive(Default)]
struct Streams {
    error: Option<Stream>,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

/// Waits until everything that is needed is open.
async fn collect(incoming: &mut mpsc::Receiver<Stream>, wanted: Wanted) -> Option<Streams> {
    let mut streams = Streams::default();
    loop {
        let complete = streams.error.is_some()
            && streams.stdin.is_some() >= wanted.stdin
            && streams.stdout.is_some() >= wanted.stdout
            && streams.stderr.is_some() >= wanted.stderr
            && streams.resize.is_some() >= wanted.tty;
        if complete {
            return Some(streams);
        }
        let stream = incoming.recv().await?;
        let slot = match stream.header("streamtype") {
            Some("error") => &mut streams.error,
            Some("stdin") => &mut streams.stdin,
            Some("stdout") => &mut streams.stdout,
            Some("stderr") => &mut streams.stderr,
            Some("resize") => &mut streams.resize,
            // Dropped, and so reset.
            _ => continue,
        };
        *slot = Some(stream);
    }
}

async fn carry(streams: Streams, carried: Carried, wanted: Wanted) {
    let Streams {
        error,
        stdin,
        stdout,
        stderr,
        resize,
    } = streams;
    let Some(error) = error else { return };
    // Whole streams are held here to the end: one that is let go of is reset, whatever is on its way in it.
    let (mut stdin, mut resize) = (stdin.filter(|_| wanted.stdin), resize);
    let output = send(carried.output, &error, stdout.as_ref(), stderr.as_ref());
    let input = carried.input;
    let receiving = async {
        tokio::join!(
            receive(stdin.as_mut().map(|stream| &mut stream.reader), &input),
            sizes(resize.as_mut().map(|stream| &mut stream.reader), &input)
        );
        // The input stays open until the end: an end of input is not an end of the client.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = output => {}
        () = receiving => {}
        () = error.writer.closed() => return,
    }
    // The client closes when it has read everything. Closing first could make it forget what it has not handled yet.
    let _ = tokio::time::timeout(LINGER, error.writer.closed()).await;
}

async fn send(
    mut output: mpsc::Receiver<(Output, bytes::Bytes)>,
    error: &Stream,
    stdout: Option<&Stream>,
    stderr: Option<&Stream>,
) {
    let writer = |output| -> Option<&Writer> {
        let stream = match output {
            Output::Stdout => stdout,
            Output::Stderr => stderr,
            Output::Error => Some(error),
        };
        stream.map(|stream| &stream.writer)
    };
    while let Some((output, bytes)) = output.recv().await {
        if let Some(writer) = writer(output)
            && writer.send(bytes).await.is_err()
            && matches!(output, Output::Error)
        {
            return;
        }
    }
    for output in [Output::Stdout, Output::Stderr, Output::Error] {
        if let Some(writer) = writer(output) {
            writer.finish().await;
        }
    }
}

async fn receive(stdin: Option<&mut Reader>, input: &mpsc::Sender<Input>) {
    let Some(stdin) = stdin else { return };
    while let Some(bytes) = stdin.next().await {
        if input.send(Input::Stdin(bytes)).await.is_err() {
            return;
        }
    }
    let _ = input.send(Input::StdinEnd).await;
}

/// JSON texts one after the other, each ended by a newline.
async fn sizes(resize: Option<&mut Reader>, input: &mpsc::Sender<Input>) {
    let Some(resize) = resize else { return };
    let mut text = Vec::new();
    while let Some(bytes) = resize.next().await {
        text.extend_from_slice(&bytes);
        while let Some(at) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=at).collect();
            if let Some((columns, rows)) = terminal_size(&line)
                && input.send(Input::Resize(columns, rows)).await.is_err()
            {
                return;
            }
        }
        if text.len() > SIZE_BYTES_MAX {
            return;
        }
    }
}
