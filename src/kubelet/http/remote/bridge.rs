//! Between a process and a client, whatever carries either.

use super::{Remote, Wanted, status};
use crate::runtime::{self, AttachSession, ExecSession, RuntimeError};
use crate::streaming::channel::{CHUNK_BYTES, Input, Output};
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// Sizes waiting for the terminal; only the last matters.
const RESIZES_MAX: usize = 8;
/// How long a silent stream is still listened to after the process's end: its children may hold it open for ever.
const SILENCE: Duration = Duration::from_secs(2);

pub enum Process {
    Exec(ExecSession),
    Attach(AttachSession),
}

/// How a session ended.
enum End {
    Exit(i32),
    Detached(Option<String>),
}

type Streams = (
    Option<runtime::Input>,
    Option<runtime::Output>,
    Option<runtime::Output>,
);

impl Process {
    fn take_streams(&mut self) -> Streams {
        match self {
            Process::Exec(s) => (s.stdin.take(), s.stdout.take(), s.stderr.take()),
            Process::Attach(s) => (s.stdin.take(), s.stdout.take(), s.stderr.take()),
        }
    }

    async fn end(&mut self) -> Result<End, RuntimeError> {
        match self {
            Process::Exec(session) => session.wait().await.map(End::Exit),
            Process::Attach(session) => session.wait().await.map(End::Detached),
        }
    }

    fn resize(&self, columns: u16, rows: u16) -> Result<(), RuntimeError> {
        match self {
            // One ioctl: it is done when first polled.
            Process::Exec(session) => session
                .resize(columns, rows)
                .now_or_never()
                .unwrap_or(Ok(())),
            Process::Attach(session) => session.resize(columns, rows),
        }
    }
}

/// Carries bytes both ways until the process has ended. `None`: the client left before.
pub async fn bridge(remote: &mut Remote, mut process: Process, wanted: Wanted) -> Option<Value> {
    let (stdin, stdout, stderr) = process.take_streams();
    let (sizes, mut resizes) = mpsc::channel::<(u16, u16)>(RESIZES_MAX);
    let (ended, over) = tokio::sync::watch::channel(false);
    let sender = &remote.output;
    let output = async {
        tokio::join!(
            pump(stdout, Output::Stdout, wanted.stdout, sender, over.clone()),
            pump(stderr, Output::Stderr, wanted.stderr, sender, over.clone()),
        );
    };
    let input = feed(&mut remote.input, stdin, sizes);
    let running = async {
        loop {
            tokio::select! {
                end = process.end() => return end,
                Some((columns, rows)) = resizes.recv() => {
                    if let Err(error) = process.resize(columns, rows) {
                        tracing::debug!(%error, "terminal not resized");
                    }
                }
            }
        }
    };
    tokio::pin!(output, input, running);
    let mut output_done = false;
    let end = loop {
        tokio::select! {
            end = &mut running => break end,
            () = &mut output, if !output_done => output_done = true,
            () = &mut input => return None,
            // Seen even while the process does not take its input.
            () = sender.closed() => return None,
        }
    };
    let _ = ended.send(true);
    if !output_done {
        tokio::select! {
            () = &mut output => {}
            () = sender.closed() => return None,
        }
    }
    Some(match end {
        Ok(End::Exit(0) | End::Detached(None)) => status::success(),
        Ok(End::Exit(code)) => status::exit(code),
        Ok(End::Detached(Some(reason))) => status::failure(&reason),
        Err(error) => status::failure(&error.to_string()),
    })
}

/// Reads all the process writes; what the client did not ask for is thrown away, so that the process never blocks.
/// Once the process is over, a silence ends the stream as well.
async fn pump(
    pipe: Option<runtime::Output>,
    output: Output,
    wanted: bool,
    remote: &mpsc::Sender<(Output, Bytes)>,
    mut over: tokio::sync::watch::Receiver<bool>,
) {
    let Some(mut pipe) = pipe else { return };
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let read = tokio::select! {
            biased;
            read = pipe.read_buf(&mut chunk) => read,
            () = silence(&mut over) => return,
        };
        // A terminal whose last process is gone reads as its end.
        if !matches!(read, Ok(1..)) {
            return;
        }
        if wanted && remote.send((output, chunk.freeze())).await.is_err() {
            return;
        }
    }
}

async fn silence(over: &mut tokio::sync::watch::Receiver<bool>) {
    if over.wait_for(|over| *over).await.is_ok() {
        tokio::time::sleep(SILENCE).await;
    }
}

/// Returns when the client has gone.
async fn feed(
    input: &mut mpsc::Receiver<Input>,
    mut stdin: Option<runtime::Input>,
    sizes: mpsc::Sender<(u16, u16)>,
) {
    while let Some(input) = input.recv().await {
        match input {
            Input::Stdin(bytes) => {
                if let Some(pipe) = &mut stdin
                    && pipe.write_all(&bytes).await.is_err()
                {
                    // The process no longer reads; it may still write.
                    stdin = None;
                }
            }
            Input::StdinEnd => stdin = None,
            Input::Resize(columns, rows) => {
                let _ = sizes.try_send((columns, rows));
            }
        }
    }
}
