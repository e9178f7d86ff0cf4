//! A byte stream through the binary messages of a WebSocket, in whose middle SPDY runs (KEP-4006, port-forward).

use bytes::Bytes;
use futures::{Sink, Stream};
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Subprotocol of a WebSocket in which SPDY carries a port-forward.
pub const PORT_FORWARD: &str = "SPDY/3.1+portforward.k8s.io";

/// Bytes in one message of ours.
const MESSAGE_BYTES: usize = 16 * 1024;

/// A WebSocket library's message.
pub trait Message {
    fn binary(bytes: Bytes) -> Self;
    /// `None` for the library's own (ping, pong); `Some(None)` for the end.
    fn payload(self) -> Option<Option<Bytes>>;
}

impl Message for axum::extract::ws::Message {
    fn binary(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
    fn payload(self) -> Option<Option<Bytes>> {
        match self {
            Self::Binary(bytes) => Some(Some(bytes)),
            Self::Close(_) => Some(None),
            _ => None,
        }
    }
}

impl Message for tokio_tungstenite::tungstenite::Message {
    fn binary(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
    fn payload(self) -> Option<Option<Bytes>> {
        match self {
            Self::Binary(bytes) => Some(Some(bytes)),
            Self::Close(_) => Some(None),
            _ => None,
        }
    }
}

/// Reads and writes as if the messages had no bounds.
#[derive(Debug)]
pub struct Tunnel<S, M> {
    socket: S,
    message: PhantomData<fn() -> M>,
    /// Of a message, what has not been read yet.
    left: Bytes,
}

impl<S, M> Tunnel<S, M> {
    pub fn new(socket: S) -> Tunnel<S, M> {
        Tunnel {
            socket,
            message: PhantomData,
            left: Bytes::new(),
        }
    }
}

fn other<E: std::error::Error + Send + Sync + 'static>(error: E) -> io::Error {
    io::Error::other(error)
}

impl<S, M, E> AsyncRead for Tunnel<S, M>
where
    S: Stream<Item = Result<M, E>> + Unpin,
    M: Message,
    E: std::error::Error + Send + Sync + 'static,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(other(error))),
                Some(Ok(message)) => match message.payload() {
                    Some(Some(bytes)) => self.left = bytes,
                    Some(None) => return Poll::Ready(Ok(())),
                    None => {}
                },
            }
        }
        let count = self.left.len().min(buffer.remaining());
        buffer.put_slice(&self.left.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<S, M> AsyncWrite for Tunnel<S, M>
where
    S: Sink<M> + Unpin,
    M: Message,
    S::Error: std::error::Error + Send + Sync + 'static,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(other)?;
        let count = bytes.len().min(MESSAGE_BYTES);
        let message = M::binary(Bytes::copy_from_slice(&bytes[..count]));
        Pin::new(&mut self.socket)
            .start_send(message)
            .map_err(other)?;
        Poll::Ready(Ok(count))
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket)
            .poll_flush(context)
            .map_err(other)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket)
            .poll_close(context)
            .map_err(other)
    }
}
