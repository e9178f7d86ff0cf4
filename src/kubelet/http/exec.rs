//! `exec` over WebSocket: one connection, a channel number before each frame.
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/> and KEP-4006, "v5.channel.k8s.io".

use super::{Refusal, Server, flag, query};
use crate::runtime::{ExecSession, ExecSpec, RuntimeError};
use ::http::{Request, Response};
use axum::body::{Body, Bytes};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts, Path, State};
use axum::response::IntoResponse;
use futures::stream::{SplitSink, SplitStream};
use futures::{FutureExt, SinkExt, StreamExt};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Newest first: v5 can close standard input by itself.
const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// v5: the next byte names the channel the client is done with.
const CLOSE: u8 = 255;

/// Bytes read from the process for one frame.
const CHUNK_BYTES: usize = 32 * 1024;
/// Largest frame from a client; kubectl sends 32 KiB at most.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Frames waiting for the client. Beyond this the process is slowed down.
const FRAMES_MAX: usize = 16;
/// Sizes waiting for the terminal; only the last matters.
const RESIZES_MAX: usize = 8;
/// How long output may still come after the process ended: its children may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_secs(2);

/// SPDY clients come with POST.
pub async fn spdy() -> Refusal {
    not_offered()
}

fn not_offered() -> Refusal {
    Refusal::bad_request(
        "exec needs a WebSocket upgrade with subprotocol v5.channel.k8s.io or v4.channel.k8s.io; SPDY is not offered: use kubectl 1.31 or newer (KUBECTL_REMOTE_COMMAND_WEBSOCKETS not false)"
            .to_string(),
    )
}

pub async fn exec(
    State(server): State<Server>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let query = query(request.uri());
    let args: Vec<String> = query
        .iter()
        .filter(|(k, _)| k == "command")
        .map(|(_, v)| v.clone())
        .collect();
    if args.is_empty() {
        return Err(Refusal::bad_request(
            "you must specify at least one command for the container".to_string(),
        ));
    }
    // The API's names, and the kubelet's own of old.
    let wants = |name: &str, old: &str| flag(&query, name) || flag(&query, old);
    let wanted = Wanted {
        stdin: wants("stdin", "input"),
        stdout: wants("stdout", "output"),
        tty: flag(&query, "tty"),
        stderr: wants("stderr", "error"),
    };
    if !(wanted.stdin || wanted.stdout || wanted.stderr) {
        return Err(Refusal::bad_request(
            "you must specify at least 1 of stdin, stdout, stderr".to_string(),
        ));
    }
    let view = server.pod(&namespace, &pod)?;
    let uid = {
        let view = view.borrow();
        let Some(state) = view.containers.get(&container) else {
            return Err(Refusal::not_found(format!(
                "container not found (\"{container}\") in pod \"{pod}\""
            )));
        };
        if !state.running {
            return Err(Refusal::internal(format!(
                "unable to upgrade connection: container not found (\"{container}\")"
            )));
        }
        view.pod.metadata.uid.clone().unwrap_or_default()
    };
    let (mut parts, _) = request.into_parts();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        return Err(not_offered());
    };
    let upgrade = upgrade
        .protocols(PROTOCOLS)
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX);
    let Some(protocol) = upgrade
        .selected_protocol()
        .and_then(|p| p.to_str().ok().map(str::to_string))
    else {
        return Err(not_offered());
    };
    let spec = ExecSpec {
        args,
        tty: wanted.tty,
        stdin: wanted.stdin,
    };
    let is_v5 = protocol == PROTOCOLS[0];
    Ok(upgrade
        .on_upgrade(move |socket| async move {
            let session = server.ctx.runtime.exec(&uid, &container, &spec).await;
            serve(socket, session, wanted, is_v5).await;
        })
        .into_response())
}

/// The streams the client asked for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

async fn serve(
    socket: WebSocket,
    session: Result<ExecSession, RuntimeError>,
    wanted: Wanted,
    is_v5: bool,
) {
    let (mut sink, stream) = socket.split();
    // Clients take a first empty frame as the sign that the connection stands.
    let first = if wanted.stdout {
        STDOUT
    } else if wanted.stderr {
        STDERR
    } else {
        ERROR
    };
    if sink.send(frame(first, &[])).await.is_err() {
        return;
    }
    let status = match session {
        Ok(session) => match bridge(&mut sink, stream, session, wanted, is_v5).await {
            Some(status) => status,
            // The client is gone; dropping the session ended the process' streams.
            None => return,
        },
        Err(error) => failure(&error.to_string()),
    };
    let text = status.to_string();
    let _ = sink.send(frame(ERROR, text.as_bytes())).await;
    // Without a code the client takes the end for a broken connection.
    let normal = CloseFrame {
        code: close_code::NORMAL,
        reason: "".into(),
    };
    let _ = sink.send(Message::Close(Some(normal))).await;
}

fn frame(channel: u8, data: &[u8]) -> Message {
    let mut bytes = Vec::with_capacity(data.len() + 1);
    bytes.push(channel);
    bytes.extend_from_slice(data);
    Message::Binary(Bytes::from(bytes))
}

/// Carries bytes both ways until the process has ended. `None`: the client left before.
async fn bridge(
    sink: &mut SplitSink<WebSocket, Message>,
    stream: SplitStream<WebSocket>,
    mut session: ExecSession,
    wanted: Wanted,
    is_v5: bool,
) -> Option<serde_json::Value> {
    let (frames, mut outgoing) = mpsc::channel::<Message>(FRAMES_MAX);
    let (sizes, mut resizes) = mpsc::channel::<(u16, u16)>(RESIZES_MAX);
    let stdout = session.stdout.take();
    let stderr = session.stderr.take();
    let stdin = session.stdin.take();
    let out = {
        let frames = frames.clone();
        async move {
            tokio::join!(
                pump(stdout, STDOUT, wanted.stdout, frames.clone()),
                pump(stderr, STDERR, wanted.stderr, frames),
            );
        }
    };
    drop(frames);
    let sending = async {
        while let Some(message) = outgoing.recv().await {
            if sink.send(message).await.is_err() {
                return false;
            }
        }
        true
    };
    let output = async { tokio::join!(out, sending).1 };
    let input = receive(stream, stdin, sizes, is_v5);
    let process = async {
        loop {
            tokio::select! {
                code = session.wait() => return code,
                Some((columns, rows)) = resizes.recv() => {
                    // One ioctl: it is done when first polled, and the session stays free of shared borrows between waits.
                    if let Some(Err(error)) = session.resize(columns, rows).now_or_never() {
                        tracing::debug!(%error, "terminal not resized");
                    }
                }
            }
        }
    };
    tokio::pin!(output, input, process);
    let mut output_done = false;
    let code = loop {
        tokio::select! {
            code = &mut process => break code,
            alive = &mut output, if !output_done => {
                if !alive {
                    return None;
                }
                output_done = true;
            }
            () = &mut input => return None,
        }
    };
    if !output_done {
        let drained = tokio::time::timeout(DRAIN, &mut output).await;
        if drained == Ok(false) {
            return None;
        }
    }
    Some(match code {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => exit_status(code),
        Err(error) => failure(&error.to_string()),
    })
}

/// Reads all the process writes; what the client did not ask for is thrown away, so that the process never blocks.
async fn pump(
    pipe: Option<impl AsyncRead + Unpin>,
    channel: u8,
    wanted: bool,
    frames: mpsc::Sender<Message>,
) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; CHUNK_BYTES];
    // A terminal whose last process is gone reads as EIO, which is its end of file.
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        if wanted && frames.send(frame(channel, &buffer[..count])).await.is_err() {
            return;
        }
    }
}

/// Returns when the client has gone.
async fn receive(
    mut stream: SplitStream<WebSocket>,
    mut stdin: Option<impl AsyncWrite + Unpin>,
    sizes: mpsc::Sender<(u16, u16)>,
    is_v5: bool,
) {
    while let Some(Ok(message)) = stream.next().await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        let Some((&channel, data)) = bytes.split_first() else {
            continue;
        };
        match channel {
            STDIN => {
                if let Some(pipe) = &mut stdin
                    && pipe.write_all(data).await.is_err()
                {
                    // The process no longer reads; it may still write.
                    stdin = None;
                }
            }
            CLOSE if is_v5 && data.first() == Some(&STDIN) => stdin = None,
            RESIZE => {
                if let Some(size) = terminal_size(data) {
                    let _ = sizes.try_send(size);
                }
            }
            _ => {}
        }
    }
}

fn terminal_size(data: &[u8]) -> Option<(u16, u16)> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Size {
        width: u16,
        height: u16,
    }
    let size: Size = serde_json::from_slice(data).ok()?;
    (size.width > 0 && size.height > 0).then_some((size.width, size.height))
}

/// Upstream's status for a command that ended with another code than 0.
fn exit_status(code: i32) -> serde_json::Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

fn failure(message: &str) -> serde_json::Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {message}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_statuses() {
        assert_eq!(
            terminal_size(br#"{"Width":80,"Height":24}"#),
            Some((80, 24))
        );
        assert_eq!(terminal_size(br#"{"Width":0,"Height":24}"#), None);
        assert_eq!(terminal_size(b"junk"), None);
        assert_eq!(
            exit_status(3)["details"]["causes"][0],
            json!({"reason": "ExitCode", "message": "3"})
        );
    }
}
