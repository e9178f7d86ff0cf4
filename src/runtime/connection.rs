//! The node's side of one shim: requests answered in any order, events passed on.

use super::protocol::{FromShim, Request, Response, ToShim, frame, take};
use super::types::{RuntimeError, RuntimeEvent};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

/// Requests on their way to one shim.
const REQUESTS_MAX: usize = 64;

type Waiting = (Request, oneshot::Sender<Response>);

/// Cheap to clone; the task behind it ends with the shim.
#[derive(Debug, Clone)]
pub struct Connection {
    requests: mpsc::Sender<Waiting>,
}

impl Connection {
    pub async fn open(
        socket: &Path,
        pod_uid: &str,
        events: mpsc::Sender<RuntimeEvent>,
    ) -> io::Result<Connection> {
        let stream = UnixStream::connect(socket).await?;
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        tokio::spawn(serve(stream, queue, pod_uid.to_owned(), events));
        Ok(Connection { requests })
    }

    /// `Failed` becomes an error.
    pub async fn ask(&self, request: Request) -> Result<Response, RuntimeError> {
        let gone = || RuntimeError::Other("the pod's shim has ended".to_owned());
        let (sender, answer) = oneshot::channel();
        self.requests
            .send((request, sender))
            .await
            .map_err(|_| gone())?;
        match answer.await.map_err(|_| gone())? {
            Response::Failed(text) => Err(RuntimeError::Other(text)),
            response => Ok(response),
        }
    }

    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }
    /// Waits until the shim is gone.
    pub async fn closed(&self) {
        self.requests.closed().await;
    }
}

async fn serve(
    stream: UnixStream,
    mut queue: mpsc::Receiver<Waiting>,
    pod_uid: String,
    events: mpsc::Sender<RuntimeEvent>,
) {
    let (mut reader, mut writer) = stream.into_split();
    let mut pending: HashMap<u64, oneshot::Sender<Response>> = HashMap::new();
    let mut next = 0u64;
    let mut buffer = Vec::new();
    let mut leaving = false;
    loop {
        tokio::select! {
            read = reader.read_buf(&mut buffer) => {
                if !matches!(read, Ok(1..)) {
                    break;
                }
                loop {
                    match take(&mut buffer) {
                        Ok(Some(FromShim::Reply { id, response })) => {
                            if let Some(sender) = pending.remove(&id) {
                                let _ = sender.send(response);
                            }
                        }
                        Ok(Some(FromShim::ContainerExited { run, exit })) => {
                            let event = RuntimeEvent::ContainerExited { pod_uid: pod_uid.clone(), run, exit };
                            // Nobody listening is no reason to stop: states are asked for as well.
                            let _ = events.send(event).await;
                        }
                        Ok(Some(FromShim::ExecExited { .. } | FromShim::Detached { .. })) => {}
                        Ok(None) => break,
                        Err(error) => {
                            tracing::warn!(%error, pod_uid, "shim speaks nonsense");
                            return;
                        }
                    }
                }
            }
            waiting = queue.recv() => {
                // The runtime was dropped: the shim goes on without us.
                let Some((request, sender)) = waiting else { return };
                leaving |= matches!(request, Request::Shutdown);
                next += 1;
                match frame(&ToShim { id: next, request }) {
                    Ok(bytes) => {
                        pending.insert(next, sender);
                        if writer.write_all(&bytes).await.is_err() {
                            break;
                        }
                    }
                    Err(text) => {
                        let _ = sender.send(Response::Failed(text));
                    }
                }
            }
        }
    }
    drop(queue);
    if !leaving {
        let _ = events.send(RuntimeEvent::SandboxDied { pod_uid }).await;
    }
}
