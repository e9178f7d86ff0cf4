//! Local ends to and from the container, until the end comes.

use super::{Finish, Socket};
use crate::cli::terminal::{self, RawMode};
use crate::streaming::channel::{self, CHUNK_BYTES, Input, Output};
use anyhow::Context;
use bytes::BytesMut;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

/// Messages waiting to be sent: enough to keep a link busy, few enough to feel the other side's pace.
const QUEUE_MESSAGES: usize = 2;

/// The process's own standard streams, its terminal in raw mode where both sides have one.
pub async fn with_terminal(socket: Socket, stdin: bool, tty: bool) -> anyhow::Result<Finish> {
    let raw = if tty && stdin { RawMode::enter() } else { None };
    let input = stdin.then(tokio::io::stdin);
    let finish = carry(socket, input, tty, tokio::io::stdout(), tokio::io::stderr()).await;
    drop(raw);
    finish
}

/// Carries the streams until the session ends. With `sizes` the terminal's size goes along, now and at every change.
pub async fn carry(
    socket: Socket,
    input: Option<impl AsyncRead + Send + Unpin>,
    sizes: bool,
    mut stdout: impl AsyncWrite + Unpin,
    mut stderr: impl AsyncWrite + Unpin,
) -> anyhow::Result<Finish> {
    let (mut sink, mut source) = socket.split();
    let (sender, mut queue) = mpsc::channel::<Input>(QUEUE_MESSAGES);
    let sending = async {
        while let Some(input) = queue.recv().await {
            let message = Message::Binary(channel::write_input(&input));
            if sink.send(message).await.is_err() {
                break;
            }
        }
        // What the server says decides how this ends.
        std::future::pending::<()>().await;
    };
    let inputs = send_input(input, sender.clone());
    let sizing = send_sizes(sizes, sender);
    let receiving = async {
        while let Some(message) = source.next().await {
            let message = message.context("the connection to the container broke off")?;
            let Message::Binary(bytes) = message else {
                continue;
            };
            match channel::read_output(&bytes) {
                Some((Output::Stdout, bytes)) => {
                    stdout.write_all(&bytes).await?;
                    stdout.flush().await?;
                }
                Some((Output::Stderr, bytes)) => {
                    stderr.write_all(&bytes).await?;
                    stderr.flush().await?;
                }
                Some((Output::Error, bytes)) if bytes.is_empty() => {}
                Some((Output::Error, bytes)) => return Ok(Finish::read(&bytes)),
                None => {}
            }
        }
        anyhow::bail!("the connection to the container ended before the command's exit code came")
    };
    tokio::select! {
        finish = receiving => finish,
        never = async { tokio::join!(sending, inputs, sizing); std::future::pending().await } => never,
    }
}

async fn send_input(input: Option<impl AsyncRead + Unpin>, sender: mpsc::Sender<Input>) {
    let Some(mut input) = input else { return };
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let piece = match input.read_buf(&mut chunk).await {
            Ok(1..) => Input::Stdin(chunk.freeze()),
            _ => Input::StdinEnd,
        };
        let last = piece == Input::StdinEnd;
        if sender.send(piece).await.is_err() || last {
            return;
        }
    }
}

async fn send_sizes(wanted: bool, sender: mpsc::Sender<Input>) {
    if !wanted {
        return;
    }
    let Ok(mut window) = signal(SignalKind::window_change()) else {
        return;
    };
    loop {
        if let Some((columns, rows)) = terminal::size()
            && sender.send(Input::Resize(columns, rows)).await.is_err()
        {
            return;
        }
        if window.recv().await.is_none() {
            return;
        }
    }
}
