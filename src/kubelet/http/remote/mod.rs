//! `exec` and `attach`: a process's streams to a client, over WebSocket channels or SPDY streams.
//!
//! In: a request to upgrade, and the process that the runtime gives. Out: bytes both ways, then a `Status`.
//! Invariants: at most one piece waits in each direction; a client that is gone ends the session, whatever the process
//! does; what a process wrote before its end reaches a client that reads. Never knows about shims or pods' states.
//! <https://kubernetes.io/blog/2024/08/20/websockets-transition/>

mod bridge;
mod spdy;
mod status;
mod websocket;

pub use spdy::{protocols as spdy_protocols, upgrade as spdy_upgrade, wanted as is_spdy};
pub use websocket::upgrade as websocket_upgrade;

use super::{Refusal, Server, flag, query};
use crate::runtime::{AttachSpec, ExecSpec, RuntimeError};
use crate::streaming::channel::{Input, Output};
use ::http::{Request, Response};
use axum::body::Body;
use axum::extract::{Path, State};
use bridge::Process;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

/// Pieces waiting for the client or for the process, besides those in their own buffers.
const PIECES_MAX: usize = 1;

/// The streams the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

/// The client, whatever carries its streams.
struct Remote {
    input: mpsc::Receiver<Input>,
    output: mpsc::Sender<(Output, Bytes)>,
}

/// What the carrier holds.
struct Carried {
    input: mpsc::Sender<Input>,
    output: mpsc::Receiver<(Output, Bytes)>,
}

fn remote() -> (Remote, Carried) {
    let (input_sender, input) = mpsc::channel(PIECES_MAX);
    let (output, output_receiver) = mpsc::channel(PIECES_MAX);
    let carried = Carried {
        input: input_sender,
        output: output_receiver,
    };
    (Remote { input, output }, carried)
}

type Starting = BoxFuture<'static, Result<Process, RuntimeError>>;

impl Wanted {
    fn parse(query: &[(String, String)]) -> Result<Wanted, Refusal> {
        // The API's names, and the kubelet's own of old.
        let wants = |name: &str, old: &str| flag(query, name) || flag(query, old);
        let tty = flag(query, "tty");
        let wanted = Wanted {
            stdin: wants("stdin", "input"),
            stdout: wants("stdout", "output"),
            // A terminal has one output.
            stderr: wants("stderr", "error") && !tty,
            tty,
        };
        if !(wanted.stdin || wanted.stdout || wanted.stderr) {
            return Err(Refusal::bad_request(
                "you must specify at least 1 of stdin, stdout, stderr".to_string(),
            ));
        }
        Ok(wanted)
    }
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
    let wanted = Wanted::parse(&query)?;
    let uid = running(&server, &namespace, &pod, &container)?;
    let spec = ExecSpec {
        args,
        tty: wanted.tty,
        stdin: wanted.stdin,
    };
    let starting = Box::pin(async move {
        let session = server.ctx.runtime.exec(&uid, &container, &spec).await?;
        Ok(Process::Exec(session))
    });
    upgrade(request, wanted, starting).await
}

pub async fn attach(
    State(server): State<Server>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let wanted = Wanted::parse(&query(request.uri()))?;
    let uid = running(&server, &namespace, &pod, &container)?;
    let spec = AttachSpec {
        stdin: wanted.stdin,
        stdout: wanted.stdout,
        stderr: wanted.stderr,
    };
    let starting = Box::pin(async move {
        let session = server.ctx.runtime.attach(&uid, &container, spec).await?;
        Ok(Process::Attach(session))
    });
    upgrade(request, wanted, starting).await
}

/// The uid of a pod whose container runs.
fn running(
    server: &Server,
    namespace: &str,
    pod: &str,
    container: &str,
) -> Result<String, Refusal> {
    let view = server.pod(namespace, pod)?;
    let view = view.borrow();
    let Some(state) = view.containers.get(container) else {
        return Err(Refusal::not_found(format!(
            "container not found (\"{container}\") in pod \"{pod}\""
        )));
    };
    if !state.running {
        return Err(Refusal::internal(format!(
            "unable to upgrade connection: container not found (\"{container}\")"
        )));
    }
    Ok(view.pod.metadata.uid.clone().unwrap_or_default())
}

async fn upgrade(
    request: Request<Body>,
    wanted: Wanted,
    starting: Starting,
) -> Result<Response<Body>, Refusal> {
    if is_spdy(request.headers()) {
        spdy::serve(request, wanted, starting)
    } else {
        websocket::serve(request, wanted, starting).await
    }
}

/// Starts the process and carries its streams; the last piece is the status.
async fn attend(mut remote: Remote, wanted: Wanted, starting: Starting) {
    let status = match starting.await {
        // The client is gone; dropping the session has ended the process's streams.
        Ok(process) => match bridge::bridge(&mut remote, process, wanted).await {
            Some(status) => status,
            None => return,
        },
        Err(error) => status::failure(&error.to_string()),
    };
    let bytes = Bytes::from(status.to_string());
    let _ = remote.output.send((Output::Error, bytes)).await;
}
