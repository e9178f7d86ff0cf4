//! A SPDY connection over any byte stream: one task that owns the protocol's state, and streams that others hold.
//!
//! A stream holds at most [`stream::PIECES_MAX`] pieces each way. When a stream's holder does not take what came, the whole
//! connection stops reading: peers that count no windows (Kubernetes' Go library) can be slowed down in no other way.

use super::spdy::{Connection, Event, Role, SpdyError, StreamId};
use super::stream::{self, Command, Commands, Next, Over, Piece, Receiving, Stream, next_command};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::HashMap;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// Read from the connection at a time.
const READ_BYTES: usize = 16 * 1024;
/// Bytes that wait to be written; over it nothing more is taken from streams.
const DATA_BYTES_MAX: usize = 16 * 1024;
/// Over this nothing more is read either: then it is the peer's pings and resets that fill it. Far above the other
/// bound, or two such sessions could wait for each other, each with data to write and neither reading.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Streams opened by the peer that nobody has looked at yet, and requests of ours to open one.
pub const OPENING_MAX: usize = 8;

/// A stream that our side wants.
pub struct Open {
    pub headers: Vec<(&'static str, String)>,
    pub answer: oneshot::Sender<Stream>,
}

/// Bound for streams that our side opens.
#[derive(Debug, Clone)]
pub struct Opener(mpsc::Sender<Open>);

impl Opener {
    pub async fn open(&self, headers: Vec<(&'static str, String)>) -> Result<Stream, Over> {
        let (answer, stream) = oneshot::channel();
        self.0
            .send(Open { headers, answer })
            .await
            .map_err(|_| Over)?;
        stream.await.map_err(|_| Over)
    }

    /// Returns when the connection is gone.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// The peer's streams as they come, a way to open our own, and the future that carries the connection: it ends with it,
/// or when both others are dropped and every stream is over.
pub fn session<T>(
    io: T,
    role: Role,
) -> (
    mpsc::Receiver<Stream>,
    Opener,
    impl Future<Output = io::Result<()>>,
)
where
    T: AsyncRead + AsyncWrite,
{
    let (incoming, streams) = mpsc::channel(OPENING_MAX);
    let (opens, wanted) = mpsc::channel(OPENING_MAX);
    (streams, Opener(opens), drive(io, role, incoming, wanted))
}

struct Driver {
    core: Connection,
    receiving: HashMap<StreamId, Receiving>,
    /// One per stream that may send: its next command.
    commands: FuturesUnordered<Next>,
    /// Streams whose data found no room, and what is left of it.
    blocked: HashMap<StreamId, (Commands, Bytes)>,
    /// Our streams that the peer has not taken yet.
    opening: HashMap<StreamId, Opening>,
}

struct Opening {
    answer: oneshot::Sender<Stream>,
    stream: Stream,
}

/// What must be handed over before anything else is read.
enum Stalled {
    Piece(StreamId, mpsc::Sender<Piece>, Piece),
    Stream(Stream),
}

impl Stalled {
    /// Waits for room, or for the end of whom it is meant for.
    async fn room(this: Option<&Stalled>, incoming: &mpsc::Sender<Stream>) {
        match this {
            None => std::future::pending().await,
            Some(Stalled::Piece(_, pieces, _)) => drop(pieces.reserve().await),
            Some(Stalled::Stream(_)) => drop(incoming.reserve().await),
        }
    }
}

async fn drive<T>(
    io: T,
    role: Role,
    incoming: mpsc::Sender<Stream>,
    mut wanted: mpsc::Receiver<Open>,
) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite,
{
    let (mut reading, mut writing) = tokio::io::split(io);
    let mut driver = Driver {
        core: Connection::new(role),
        receiving: HashMap::new(),
        commands: FuturesUnordered::new(),
        blocked: HashMap::new(),
        opening: HashMap::new(),
    };
    let mut input = Bytes::new();
    let mut block = BytesMut::new();
    let mut stalled: Option<Stalled> = None;
    let mut unflushed = false;
    let mut wanting = true;
    loop {
        while stalled.is_none() && driver.core.output().len() <= OUTPUT_BYTES_MAX {
            match driver.core.receive(&mut input) {
                Ok(Some(event)) => stalled = driver.happened(event),
                Ok(None) => break,
                Err(error) => {
                    // The farewell that says so is the last thing sent.
                    let farewell = driver.core.output().split();
                    let _ = writing.write_all(&farewell).await;
                    let _ = writing.flush().await;
                    return Err(error.into());
                }
            }
        }
        if !wanting && incoming.is_closed() && driver.core.streams() == 0 {
            driver.core.close();
            let farewell = driver.core.output().split();
            writing.write_all(&farewell).await?;
            return writing.shutdown().await;
        }
        let waiting = driver.core.output().len();
        let may_take = waiting <= DATA_BYTES_MAX;
        let may_read = waiting <= OUTPUT_BYTES_MAX && stalled.is_none();
        if may_read {
            block.reserve(READ_BYTES);
        }
        tokio::select! {
            read = reading.read_buf(&mut block), if may_read => {
                if read? == 0 {
                    return Ok(());
                }
                input = block.split().freeze();
            }
            () = Stalled::room(stalled.as_ref(), &incoming), if stalled.is_some() => {
                driver.deliver(stalled.take(), &incoming);
            }
            written = write(&mut writing, driver.core.output()), if waiting > 0 || unflushed => {
                unflushed = written?;
            }
            Some((id, commands, command)) = driver.commands.next(), if may_take => {
                driver.commanded(id, commands, command);
            }
            open = wanted.recv(), if wanting && may_take => match open {
                Some(open) => driver.open(open),
                None => wanting = false,
            },
            () = incoming.closed(), if !wanting && !incoming.is_closed() => {}
        }
    }
}

/// Writes some of what waits, or flushes where nothing does; true where a flush is still needed.
async fn write(writing: &mut (impl AsyncWrite + Unpin), output: &mut BytesMut) -> io::Result<bool> {
    if output.is_empty() {
        writing.flush().await?;
        return Ok(false);
    }
    match writing.write_buf(output).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(true),
    }
}

impl Driver {
    fn stream(&mut self, id: StreamId, headers: Vec<(String, String)>) -> Stream {
        let (stream, receiving, commands) = stream::pair(headers);
        self.receiving.insert(id, receiving);
        self.commands.push(Box::pin(next_command(id, commands)));
        stream
    }

    /// What must be handed over because of it.
    fn happened(&mut self, event: Event) -> Option<Stalled> {
        let piece = |driver: &Driver, id: StreamId, piece| {
            let pieces = driver.receiving.get(&id)?.pieces.clone();
            Some(Stalled::Piece(id, pieces, piece))
        };
        match event {
            Event::Opened { stream, headers } => {
                if self.core.reply(stream).is_err() {
                    self.core.reset(stream);
                    return None;
                }
                Some(Stalled::Stream(self.stream(stream, headers)))
            }
            Event::Replied { stream } => {
                if let Some(opening) = self.opening.remove(&stream) {
                    // Nobody waits for it any more: dropped, it is reset.
                    let _ = opening.answer.send(opening.stream);
                }
                None
            }
            Event::Data { stream, bytes } => piece(self, stream, Piece::Data(bytes)),
            Event::Finished { stream } => {
                let end = piece(self, stream, Piece::End);
                if !self.core.is_open(stream) {
                    self.receiving.remove(&stream);
                }
                end
            }
            Event::Reset { stream } => {
                self.receiving.remove(&stream);
                self.blocked.remove(&stream);
                self.opening.remove(&stream);
                None
            }
            Event::Writable { stream } => {
                if let Some((commands, rest)) = self.blocked.remove(&stream) {
                    self.send(stream, commands, rest);
                }
                None
            }
            Event::GoneAway => None,
        }
    }

    /// There is room, or nobody is left to take it.
    fn deliver(&mut self, stalled: Option<Stalled>, incoming: &mpsc::Sender<Stream>) {
        match stalled {
            Some(Stalled::Piece(id, pieces, piece)) => {
                let count = match &piece {
                    Piece::Data(bytes) => bytes.len(),
                    Piece::End => 0,
                };
                let _ = pieces.try_send(piece);
                self.core.taken(id, count);
            }
            Some(Stalled::Stream(stream)) => {
                let _ = incoming.try_send(stream);
            }
            None => {}
        }
    }

    fn commanded(&mut self, id: StreamId, commands: Commands, command: Option<Command>) {
        match command {
            Some(Command::Data(bytes)) => self.send(id, commands, bytes),
            Some(Command::Finish) => {
                self.core.finish(id);
                // Kept: when the holder lets go of the stream, that is heard.
                self.commands.push(Box::pin(next_command(id, commands)));
            }
            None => {
                let unread = self
                    .receiving
                    .get(&id)
                    .is_none_or(|receiving| receiving.pieces.is_closed());
                if self.core.is_open(id) || unread {
                    self.core.reset(id);
                    self.receiving.remove(&id);
                }
            }
        }
    }

    fn send(&mut self, id: StreamId, commands: Commands, mut bytes: Bytes) {
        let sent = self.core.send(id, &bytes);
        let rest = bytes.split_off(sent.min(bytes.len()));
        if rest.is_empty() {
            self.commands.push(Box::pin(next_command(id, commands)));
        } else if self.core.is_open(id) {
            self.blocked.insert(id, (commands, rest));
        }
    }

    fn open(&mut self, open: Open) {
        let headers: Vec<(&str, &str)> = open
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        match self.core.open(&headers) {
            Ok(id) => {
                let stream = self.stream(id, Vec::new());
                let answer = open.answer;
                self.opening.insert(id, Opening { answer, stream });
            }
            // The asker sees its answer dropped.
            Err(error) => tracing::debug!(%error, "no new stream"),
        }
    }
}

impl From<SpdyError> for io::Error {
    fn from(error: SpdyError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Both sides over an in-memory pipe.
    #[tokio::test]
    async fn streams_carry_bytes_and_ends_both_ways() {
        let (near, far) = tokio::io::duplex(1000);
        let (unwanted, opener, client) = session(near, Role::Client);
        drop(unwanted);
        let (mut incoming, other, server) = session(far, Role::Server);
        drop(other);
        let client = tokio::spawn(client);
        let server = tokio::spawn(server);
        let echo = tokio::spawn(async move {
            while let Some(mut stream) = incoming.recv().await {
                assert_eq!(stream.header("streamtype"), Some("data"));
                tokio::spawn(async move {
                    while let Some(bytes) = stream.reader.next().await {
                        stream.writer.send(bytes).await.unwrap();
                    }
                    assert!(stream.reader.is_finished());
                    stream.writer.finish().await;
                });
            }
        });
        let block: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        for _ in 0..3 {
            let headers = vec![("streamtype", "data".to_owned())];
            let Stream {
                mut reader, writer, ..
            } = opener.open(headers).await.unwrap();
            let sent = block.clone();
            let sending = async {
                for piece in sent.chunks(5000) {
                    writer.send(Bytes::copy_from_slice(piece)).await.unwrap();
                }
                writer.finish().await;
            };
            let receiving = async {
                let mut all = Vec::new();
                while let Some(bytes) = reader.next().await {
                    all.extend_from_slice(&bytes);
                }
                all
            };
            let ((), received) = tokio::join!(sending, receiving);
            assert_eq!(received, block);
            assert!(reader.is_finished());
        }
        drop(opener);
        client.await.unwrap().unwrap();
        server.await.unwrap().unwrap();
        echo.await.unwrap();
    }

    #[tokio::test]
    async fn a_stream_that_is_dropped_is_reset() {
        let (near, far) = tokio::io::duplex(1000);
        let (_unwanted, opener, client) = session(near, Role::Client);
        let (mut incoming, _other, server) = session(far, Role::Server);
        let _client = tokio::spawn(client);
        let _server = tokio::spawn(server);
        let ours = opener.open(Vec::new()).await.unwrap();
        let mut theirs = incoming.recv().await.unwrap();
        drop(ours);
        assert_eq!(theirs.reader.next().await, None);
        assert!(!theirs.reader.is_finished());
        theirs.writer.closed().await;
    }
}
