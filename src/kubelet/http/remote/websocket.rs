//! A client over WebSocket channels.

use super::{Carried, Starting, Wanted, attend, remote};
use crate::kubelet::http::Refusal;
use crate::streaming::channel::{self, MESSAGE_BYTES_MAX, Output, V4, V5};
use ::http::{Request, Response};
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::sync::mpsc;

/// Asks an idle client whether it is there: one that vanished without a word is noticed by the answer that its host
/// gives, even while the process does not take its input and nothing is read.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long the client may take to close after the end. Closing first, with something of its unread, could make its
/// kernel throw away the end.
const LINGER: Duration = Duration::from_secs(5);
/// Buffers of the connection.
const READ_BUFFER_BYTES: usize = 8 * 1024;
const WRITE_BUFFER_BYTES_MAX: usize = 128 * 1024;

/// An upgrade with this server's bounds.
fn limited(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        // Written at once.
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
}

/// The upgrade with one of `protocols`, or what the client should do.
pub async fn upgrade(
    request: Request<Body>,
    what: &str,
    protocols: &[&'static str],
) -> Result<(WebSocketUpgrade, String), Refusal> {
    let refuse = || {
        Refusal::bad_request(format!(
            "{what} needs an upgrade of the connection: a WebSocket with subprotocol {}, or SPDY/3.1",
            protocols.join(" or ")
        ))
    };
    let (mut parts, _) = request.into_parts();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        return Err(refuse());
    };
    let upgrade = limited(upgrade).protocols(protocols.to_vec());
    let protocol = upgrade
        .selected_protocol()
        .and_then(|protocol| protocol.to_str().ok())
        .map(str::to_owned)
        .ok_or_else(refuse)?;
    Ok((upgrade, protocol))
}

pub(super) async fn serve(
    request: Request<Body>,
    wanted: Wanted,
    starting: Starting,
) -> Result<Response<Body>, Refusal> {
    let (upgrade, protocol) = upgrade(request, "this", &[V5, V4]).await?;
    let version_5 = protocol == V5;
    Ok(upgrade
        .on_upgrade(move |socket| async move {
            let (remote, carried) = remote();
            // Clients take a first empty frame as the sign that the connection stands.
            let first = if wanted.stdout {
                Output::Stdout
            } else if wanted.stderr {
                Output::Stderr
            } else {
                Output::Error
            };
            tokio::join!(
                attend(remote, wanted, starting),
                carry(socket, carried, first, version_5)
            );
        })
        .into_response())
}

/// Ends with the client, or after the last piece.
async fn carry(socket: WebSocket, carried: Carried, first: Output, version_5: bool) {
    let (mut sink, mut stream) = socket.split();
    let sending = send(&mut sink, carried.output, first);
    let receiving = receive(&mut stream, carried.input, version_5);
    tokio::select! {
        sent = sending => if !sent { return },
        () = receiving => return,
    }
    // Without a code the client takes the end for a broken connection.
    let normal = CloseFrame {
        code: close_code::NORMAL,
        reason: "".into(),
    };
    if sink.send(Message::Close(Some(normal))).await.is_err() {
        return;
    }
    let closed = async { while let Some(Ok(_)) = stream.next().await {} };
    let _ = tokio::time::timeout(LINGER, closed).await;
}

/// True when everything was sent.
async fn send(
    sink: &mut SplitSink<WebSocket, Message>,
    mut output: mpsc::Receiver<(Output, Bytes)>,
    first: Output,
) -> bool {
    let frame =
        |output: Output, bytes: &[u8]| Message::Binary(channel::message(output.number(), bytes));
    if sink.send(frame(first, &[])).await.is_err() {
        return false;
    }
    loop {
        let message = tokio::select! {
            piece = output.recv() => match piece {
                Some((output, bytes)) => frame(output, &bytes),
                None => return true,
            },
            () = tokio::time::sleep(PING_INTERVAL) => Message::Ping(Bytes::new()),
        };
        if sink.send(message).await.is_err() {
            return false;
        }
    }
}

/// Returns when the client has gone.
async fn receive(
    stream: &mut SplitStream<WebSocket>,
    input: mpsc::Sender<channel::Input>,
    version_5: bool,
) {
    while let Some(Ok(message)) = stream.next().await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        if let Some(piece) = channel::read_input(&bytes, version_5) {
            // Nobody takes it when the process has ended; the end is on its way to the client.
            if input.send(piece).await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
