//! `exec`: streams made here, handed to the shim, and the process's end.

use super::protocol::{FromShim, Request};
use super::shim_stream::{Input, Output, ShimStream};
use super::terminal::{self, Terminal};
use super::types::{ExecSpec, RuntimeError};
use nix::fcntl::OFlag;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

/// A running `exec`. Dropping it closes the streams; a process that still runs gets SIGHUP.
pub struct ExecSession {
    pub stdin: Option<Input>,
    /// The terminal's output where a TTY was asked for.
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    terminal: Option<Arc<AsyncFd<File>>>,
    shim: ShimStream,
}

impl std::fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecSession")
            .field("tty", &self.terminal.is_some())
            .finish_non_exhaustive()
    }
}

/// Our ends.
#[derive(Default)]
struct Ends {
    stdin: Option<Input>,
    stdout: Option<Output>,
    stderr: Option<Output>,
    terminal: Option<Arc<AsyncFd<File>>>,
}

impl ExecSession {
    pub(super) async fn start(
        socket: &Path,
        pod_uid: &str,
        container: &str,
        spec: &ExecSpec,
        tethered: bool,
    ) -> Result<ExecSession, RuntimeError> {
        let (ours, theirs) =
            streams(spec).map_err(|e| RuntimeError::Other(format!("exec: making streams: {e}")))?;
        let request = Request::Exec {
            container: container.to_owned(),
            spec: spec.clone(),
        };
        let before = tethered.then_some(Request::Tether);
        let requests = before.into_iter().chain([request]);
        let shim = ShimStream::open(socket, pod_uid, container, requests, theirs).await?;
        Ok(ExecSession {
            stdin: ours.stdin,
            stdout: ours.stdout,
            stderr: ours.stderr,
            terminal: ours.terminal,
            shim,
        })
    }

    /// Sets the terminal's size.
    #[allow(clippy::unused_async)] // Callers await all of this interface.
    pub async fn resize(&self, columns: u16, rows: u16) -> Result<(), RuntimeError> {
        let Some(terminal) = &self.terminal else {
            return Err(RuntimeError::Other(
                "resizing needs an exec with a TTY".to_owned(),
            ));
        };
        terminal::resize(terminal.as_ref(), columns, rows)
            .map_err(|e| RuntimeError::Other(format!("resizing the terminal: {e}")))
    }

    /// Waits for the process; 128 + signal where a signal ended it.
    pub async fn wait(&mut self) -> Result<i32, RuntimeError> {
        loop {
            if let FromShim::ExecExited { code } = self.shim.next().await? {
                return Ok(code);
            }
        }
    }
}

/// Our ends and the process's.
fn streams(spec: &ExecSpec) -> io::Result<(Ends, [OwnedFd; 3])> {
    let mut ours = Ends::default();
    if spec.tty {
        let (master, slave) = terminal::open()?;
        let terminal = terminal::register(master)?;
        ours.stdin = spec
            .stdin
            .then(|| Box::new(Terminal(terminal.clone())) as Input);
        ours.stdout = Some(Box::new(Terminal(terminal.clone())));
        ours.terminal = Some(terminal);
        return Ok((ours, [slave.try_clone()?, slave.try_clone()?, slave]));
    }
    let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC);
    let stdin = if spec.stdin {
        let (read, write) = pipe()?;
        ours.stdin = Some(Box::new(pipe::Sender::from_owned_fd(write)?));
        read
    } else {
        File::open("/dev/null")?.into()
    };
    let (read, stdout) = pipe()?;
    ours.stdout = Some(Box::new(pipe::Receiver::from_owned_fd(read)?));
    let (read, stderr) = pipe()?;
    ours.stderr = Some(Box::new(pipe::Receiver::from_owned_fd(read)?));
    Ok((ours, [stdin, stdout, stderr]))
}
