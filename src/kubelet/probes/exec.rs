//! `exec`: a command in the container ends with 0.

use super::answer::{Outcome, go_seconds};
use crate::runtime::{ExecSession, ExecSpec, Runtime};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Output that is looked at, both streams together (upstream's `maxReadLength`).
const OUTPUT_BYTES_MAX: usize = 10 * 1024;
/// Output is read in pieces of this; more than a piece at a time only comes from a command that floods.
const PIECE_BYTES: usize = 1024;
/// How long output may still come after the command ended: a child it left behind may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_millis(100);

pub async fn probe(
    runtime: &Runtime,
    uid: &str,
    container: &str,
    command: &[String],
    timeout_s: u64,
) -> Outcome {
    let spec = ExecSpec {
        args: command.to_vec(),
        tty: false,
        stdin: false,
    };
    let run = async {
        // Its process dies with the session, so that one that hangs is gone when the timeout drops this.
        let session = runtime.exec_tethered(uid, container, &spec).await;
        match session {
            Ok(session) => finish(session).await,
            Err(error) => Outcome::unknown(error.to_string()),
        }
    };
    let limit = Duration::from_secs(timeout_s);
    tokio::time::timeout(limit, run).await.unwrap_or_else(|_| {
        Outcome::Failure(format!(
            "command timed out: {:?} timed out after {}",
            command.join(" "),
            go_seconds(timeout_s)
        ))
    })
}

async fn finish(mut session: ExecSession) -> Outcome {
    let mut output = Output::default();
    let (mut stdout, mut stderr) = (session.stdout.take(), session.stderr.take());
    let mut code = None;
    while code.is_none() && (stdout.is_some() || stderr.is_some()) {
        tokio::select! {
            ended = session.wait() => code = Some(ended),
            piece = piece(&mut stdout) => output.take(&mut stdout, piece),
            piece = piece(&mut stderr) => output.take(&mut stderr, piece),
        }
    }
    let code = match code {
        Some(code) => code,
        // Both pipes are closed; the command goes on without them.
        None => session.wait().await,
    };
    let rest = async {
        while stdout.is_some() || stderr.is_some() {
            tokio::select! {
                piece = piece(&mut stdout) => output.take(&mut stdout, piece),
                piece = piece(&mut stderr) => output.take(&mut stderr, piece),
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN, rest).await;
    match code {
        Ok(0) => Outcome::Success,
        Ok(_) => Outcome::Failure(String::from_utf8_lossy(&output.bytes).into_owned()),
        Err(error) => Outcome::unknown(error.to_string()),
    }
}

#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
}

impl Output {
    /// Keeps what there is room for; an end of file closes the stream.
    fn take<S>(&mut self, stream: &mut Option<S>, piece: Vec<u8>) {
        if piece.is_empty() {
            *stream = None;
        }
        let room = OUTPUT_BYTES_MAX - self.bytes.len();
        self.bytes
            .extend_from_slice(&piece[..piece.len().min(room)]);
    }
}

/// The next piece of a stream; empty at its end, and never for one that is closed.
async fn piece(stream: &mut Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let Some(open) = stream else {
        return std::future::pending().await;
    };
    let mut piece = vec![0; PIECE_BYTES];
    let count = open.read(&mut piece).await.unwrap_or(0);
    piece.truncate(count);
    piece
}
