//! `port-forward`: connections to a pod's ports, each a pair of SPDY streams (data and error), tunnelled through a
//! WebSocket by kubectl 1.31 and newer, or on a connection that became SPDY by older ones.
//! Source: kubernetes `pkg/kubelet/server/portforward`, KEP-4006.

mod channels;
mod dial;

use super::remote::{is_spdy, spdy_protocols, spdy_upgrade, websocket_upgrade};
use super::{Refusal, Server, query};
use crate::kubelet::manager::View;
use crate::streaming::channel::{CHUNK_BYTES, V4};
use crate::streaming::session::session;
use crate::streaming::spdy::Role;
use crate::streaming::stream::{Stream, Writer};
use crate::streaming::tunnel::{PORT_FORWARD, Tunnel};
use ::http::{Request, Response};
use axum::body::Body;
use axum::extract::ws::Message;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use bytes::{Bytes, BytesMut};
use dial::Target;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The protocol inside SPDY.
const PROTOCOL: &str = "portforward.k8s.io";
/// A half of a pair waits so long for the other; upstream's.
const PAIR_TIME: Duration = Duration::from_secs(30);
/// Halves that wait: a client opens the second right after the first.
const HALVES_MAX: usize = 64;

pub async fn port_forward(
    State(server): State<Server>,
    Path((namespace, pod)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let target = Arc::new(target(&server, &namespace, &pod).await?);
    let view = server.pod(&namespace, &pod)?;
    if is_spdy(request.headers()) {
        tracing::debug!(offered = ?spdy_protocols(request.headers()), "port-forward over SPDY");
        let (upgrading, response) = spdy_upgrade(request, PROTOCOL)?;
        // The task ends with the connection.
        tokio::spawn(async move {
            match upgrading.await {
                Ok(upgraded) => while_pod(view, serve(TokioIo::new(upgraded), target)).await,
                Err(error) => tracing::debug!(%error, "the connection was not upgraded"),
            }
        });
        return Ok(response);
    }
    let ports = channels::ports(&query(request.uri()))?;
    let (upgrade, protocol) =
        websocket_upgrade(request, "port-forward", &[PORT_FORWARD, V4]).await?;
    if protocol == V4 {
        if ports.is_empty() {
            return Err(Refusal::bad_request(format!(
                "query parameter \"ports\" is required with {V4}"
            )));
        }
        return Ok(upgrade
            .on_upgrade(move |socket| while_pod(view, channels::serve(socket, ports, target)))
            .into_response());
    }
    Ok(upgrade
        .on_upgrade(move |socket| while_pod(view, serve(Tunnel::<_, Message>::new(socket), target)))
        .into_response())
}

async fn target(server: &Server, namespace: &str, name: &str) -> Result<Target, Refusal> {
    let view = server.pod(namespace, name)?;
    let uid = view.borrow().pod.metadata.uid.clone().unwrap_or_default();
    let Some(sandbox) = server.ctx.runtime.sandbox(&uid).await else {
        return Err(Refusal::internal(format!(
            "unable to upgrade connection: pod not found (\"{name}_{namespace}\")"
        )));
    };
    Target::open(format!("{name}_{namespace}"), uid, sandbox.pid).map_err(|error| {
        Refusal::internal(format!(
            "unable to upgrade connection: network namespace of pod \"{name}_{namespace}\": {error}"
        ))
    })
}

/// Serves as long as the pod uses anything of the node.
async fn while_pod(mut view: watch::Receiver<View>, serving: impl Future<Output = ()>) {
    let over =
        async move { while !view.borrow_and_update().over && view.changed().await.is_ok() {} };
    tokio::select! {
        () = serving => {}
        () = over => {}
    }
}

/// Serves one client until it leaves.
async fn serve(io: impl AsyncRead + AsyncWrite, target: Arc<Target>) {
    let (mut incoming, opener, driving) = session(io, Role::Server);
    drop(opener);
    let serving = async move {
        let mut halves: HashMap<String, (Stream, tokio::time::Instant)> = HashMap::new();
        let mut connections = JoinSet::new();
        loop {
            let deadline = halves.values().map(|(_, until)| *until).min();
            let expiry = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                stream = incoming.recv() => {
                    // The client is gone; its connections go with the set.
                    let Some(stream) = stream else { return };
                    let Some(id) = request_id(&stream) else { continue };
                    match halves.remove(&id) {
                        Some((other, _)) => {
                            if let Some((data, error)) = pair(other, stream) {
                                connections.spawn(connection(data, error, target.clone()));
                            }
                        }
                        None if halves.len() < HALVES_MAX => {
                            halves.insert(id, (stream, tokio::time::Instant::now() + PAIR_TIME));
                        }
                        // Dropped, and so reset.
                        None => {}
                    }
                }
                () = expiry => {
                    let now = tokio::time::Instant::now();
                    halves.retain(|_, (_, until)| *until > now);
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    };
    // The streams are the driver's to end: when it is done, so are the connections.
    tokio::select! {
        result = driving => {
            if let Err(error) = result {
                tracing::debug!(%error, "port-forward connection ended");
            }
        }
        () = serving => {}
    }
}

/// What pairs two streams; very old clients send none, and their pairs have numbers that follow one another.
fn request_id(stream: &Stream) -> Option<String> {
    let id = stream.header("requestid").filter(|id| !id.is_empty())?;
    Some(format!("{id}/{}", stream.header("port")?))
}

/// Data stream and error stream.
fn pair(first: Stream, second: Stream) -> Option<(Stream, Stream)> {
    match (first.header("streamtype")?, second.header("streamtype")?) {
        ("data", "error") => Some((first, second)),
        ("error", "data") => Some((second, first)),
        _ => None,
    }
}

/// One forwarded connection.
async fn connection(data: Stream, error: Stream, target: Arc<Target>) {
    let port = data.header("port").and_then(|port| port.parse().ok());
    let result = match port {
        Some(port @ 1..) => match target.connect(port).await {
            Ok(socket) => {
                exchange(socket, data).await;
                Ok(())
            }
            Err(cause) => {
                data.writer.finish().await;
                Err(target.explain(port, &cause))
            }
        },
        _ => Err(format!(
            "port {:?} is no port",
            data.header("port").unwrap_or_default()
        )),
    };
    if let Err(message) = result {
        tracing::debug!(pod = target.pod, "{message}");
        let _ = error.writer.send(Bytes::from(message)).await;
    }
    error.writer.finish().await;
    // The client ends its side when it has read ours; until then the stream is not reset.
    let mut reader = error.reader;
    while reader.next().await.is_some() {}
}

/// Bytes both ways; an end of one way is passed on and leaves the other open.
async fn exchange(socket: TcpStream, data: Stream) {
    let (mut from_pod, mut to_pod) = socket.into_split();
    let Stream {
        mut reader, writer, ..
    } = data;
    let down = send_all(&mut from_pod, &writer);
    let up = async {
        while let Some(bytes) = reader.next().await {
            if to_pod.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = to_pod.shutdown().await;
        reader
    };
    tokio::pin!(down, up);
    let mut up_done = false;
    loop {
        tokio::select! {
            () = &mut down => {
                // The pod says nothing more, but may still listen; where it does not, the next write fails.
                if up_done {
                    return;
                }
                tokio::select! {
                    _ = &mut up => {}
                    () = writer.closed() => {}
                }
                return;
            }
            reader = &mut up, if !up_done => {
                up_done = true;
                // Reset, or the whole connection gone: nobody reads what the pod still says.
                if !reader.is_finished() {
                    return;
                }
            }
            () = writer.closed() => return,
        }
    }
}

async fn send_all(from: &mut (impl AsyncRead + Unpin), writer: &Writer) {
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        match from.read_buf(&mut chunk).await {
            Ok(1..) => {
                if writer.send(chunk.freeze()).await.is_err() {
                    return;
                }
            }
            _ => return writer.finish().await,
        }
    }
}
