//! One stream of a session: the ends that its holder has, and the session's ends of the same two queues.

use super::spdy::StreamId;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

/// Pieces waiting in one direction of a stream; each is at most as long as one reading from the connection.
pub const PIECES_MAX: usize = 1;

/// What happens on the sending side of a stream.
pub(super) enum Command {
    Data(Bytes),
    Finish,
}

/// Data, or the peer's orderly end.
pub(super) enum Piece {
    Data(Bytes),
    End,
}

/// One stream. Dropping it before both sides have ended resets it.
#[derive(Debug)]
pub struct Stream {
    pub headers: Vec<(String, String)>,
    pub reader: Reader,
    pub writer: Writer,
}

impl Stream {
    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
pub struct Reader {
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
}

impl Reader {
    /// The next bytes; `None` at the end, be it orderly ([`Self::is_finished`]) or not.
    pub async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        match self.pieces.recv().await {
            Some(Piece::Data(bytes)) => Some(bytes),
            Some(Piece::End) => {
                self.ended = true;
                None
            }
            None => None,
        }
    }

    /// The peer said that it has finished.
    pub fn is_finished(&self) -> bool {
        self.ended
    }
}

#[derive(Debug)]
pub struct Writer {
    commands: mpsc::Sender<Command>,
}

/// The stream or its connection is over.
#[derive(Debug, thiserror::Error)]
#[error("the stream has ended")]
pub struct Over;

impl Writer {
    /// Waits until there is room.
    pub async fn send(&self, bytes: Bytes) -> Result<(), Over> {
        self.commands
            .send(Command::Data(bytes))
            .await
            .map_err(|_| Over)
    }

    /// Nothing more comes.
    pub async fn finish(&self) {
        let _ = self.commands.send(Command::Finish).await;
    }

    /// Returns when nobody will take anything any more: reset by the peer, or the connection is gone.
    pub async fn closed(&self) {
        self.commands.closed().await;
    }
}

/// The session's end of a stream's [`Writer`].
pub(super) struct Commands {
    queue: mpsc::Receiver<Command>,
    /// Resolves when the stream is reset.
    over: oneshot::Receiver<()>,
}

pub(super) type Next = BoxFuture<'static, (StreamId, Commands, Option<Command>)>;

pub(super) async fn next_command(
    id: StreamId,
    mut commands: Commands,
) -> (StreamId, Commands, Option<Command>) {
    let command = tokio::select! {
        biased;
        _ = &mut commands.over => None,
        command = commands.queue.recv() => command,
    };
    (id, commands, command)
}

/// The session's end of a stream's [`Reader`].
pub(super) struct Receiving {
    pub(super) pieces: mpsc::Sender<Piece>,
    /// Dropped with this: tells the sending side that the stream is over.
    #[allow(dead_code)] // Held, never sent on.
    over: oneshot::Sender<()>,
}

/// A stream and the session's ends of it.
pub(super) fn pair(headers: Vec<(String, String)>) -> (Stream, Receiving, Commands) {
    let (piece_sender, pieces) = mpsc::channel(PIECES_MAX);
    let (command_sender, queue) = mpsc::channel(PIECES_MAX);
    let (over, reset) = oneshot::channel();
    let receiving = Receiving {
        pieces: piece_sender,
        over,
    };
    let stream = Stream {
        headers,
        reader: Reader {
            pieces,
            ended: false,
        },
        writer: Writer {
            commands: command_sender,
        },
    };
    (stream, receiving, Commands { queue, over: reset })
}
