//! A connection to a shim that belongs to one exec or one attached client, and hands streams over with its request.

use super::protocol::{FromShim, Request, Response, ToShim, frame, take};
use super::types::RuntimeError;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::UnixStream;

pub type Input = Box<dyn AsyncWrite + Send + Sync + Unpin>;
pub type Output = Box<dyn AsyncRead + Send + Sync + Unpin>;

#[derive(Debug)]
pub(super) struct ShimStream {
    socket: UnixStream,
    buffer: Vec<u8>,
}

impl ShimStream {
    /// Sends `requests`, the last of them with an answer; returns when the shim has agreed.
    pub(super) async fn open(
        socket: &Path,
        pod_uid: &str,
        container: &str,
        requests: impl IntoIterator<Item = Request>,
        theirs: [OwnedFd; 3],
    ) -> Result<ShimStream, RuntimeError> {
        let socket = UnixStream::connect(socket)
            .await
            .map_err(|_| RuntimeError::NoSandbox(pod_uid.to_owned()))?;
        let mut stream = ShimStream {
            socket,
            buffer: Vec::new(),
        };
        let mut message = Vec::new();
        for request in requests {
            message.extend(frame(&ToShim { id: 0, request }).map_err(RuntimeError::Other)?);
        }
        stream
            .send(&message, &theirs)
            .await
            .map_err(|e| RuntimeError::Other(format!("asking the pod's shim: {e}")))?;
        drop(theirs);
        loop {
            let FromShim::Reply { response, .. } = stream.next().await? else {
                continue;
            };
            return match response {
                Response::Done => Ok(stream),
                Response::NotRunning => Err(RuntimeError::NotRunning {
                    pod_uid: pod_uid.to_owned(),
                    container: container.to_owned(),
                }),
                Response::Failed(text) => Err(RuntimeError::Start(text)),
                other => Err(RuntimeError::Other(format!("unexpected answer {other:?}"))),
            };
        }
    }

    /// The descriptors travel with the first bytes.
    async fn send(&self, message: &[u8], theirs: &[OwnedFd; 3]) -> io::Result<()> {
        let numbers: Vec<_> = theirs.iter().map(AsRawFd::as_raw_fd).collect();
        let mut sent = 0;
        while sent < message.len() {
            self.socket.writable().await?;
            let result = self.socket.try_io(tokio::io::Interest::WRITABLE, || {
                let rights = [ControlMessage::ScmRights(&numbers)];
                let control: &[ControlMessage<'_>] = if sent == 0 { &rights } else { &[] };
                let parts = [IoSlice::new(&message[sent..])];
                sendmsg::<()>(
                    self.socket.as_raw_fd(),
                    &parts,
                    control,
                    MsgFlags::MSG_DONTWAIT,
                    None,
                )
                .map_err(io::Error::from)
            });
            match result {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A request without an answer and without waiting: small enough for a socket that nothing else is sent on.
    pub(super) fn tell(&self, request: Request) -> Result<(), RuntimeError> {
        let message = frame(&ToShim { id: 0, request }).map_err(RuntimeError::Other)?;
        match self.socket.try_write(&message) {
            Ok(count) if count == message.len() => Ok(()),
            Ok(_) => Err(RuntimeError::Other("the pod's shim is busy".to_owned())),
            Err(error) => Err(RuntimeError::Other(format!(
                "telling the pod's shim: {error}"
            ))),
        }
    }

    /// The shim's next message. Nothing is lost when this is dropped half-way.
    pub(super) async fn next(&mut self) -> Result<FromShim, RuntimeError> {
        loop {
            if let Some(message) = take(&mut self.buffer).map_err(RuntimeError::Other)? {
                return Ok(message);
            }
            if !matches!(self.socket.read_buf(&mut self.buffer).await, Ok(1..)) {
                return Err(RuntimeError::Other(
                    "the pod ended during this session".to_owned(),
                ));
            }
        }
    }
}
