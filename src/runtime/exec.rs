//! `exec`: streams made here, handed to the shim, and the process's end.
#![allow(unsafe_code)] // ptsname and the terminal's size go through ioctl.

use super::protocol::{FromShim, Request, Response, ToShim, frame, take};
use super::types::{ExecSpec, RuntimeError};
use nix::fcntl::OFlag;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

pub type Input = Box<dyn AsyncWrite + Send + Sync + Unpin>;
pub type Output = Box<dyn AsyncRead + Send + Sync + Unpin>;

/// A running `exec`. Dropping it closes the streams; the process then gets SIGHUP (TTY) or end of input.
pub struct ExecSession {
    pub stdin: Option<Input>,
    /// The terminal's output where a TTY was asked for.
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    terminal: Option<Arc<AsyncFd<std::fs::File>>>,
    shim: UnixStream,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecSession")
            .field("tty", &self.terminal.is_some())
            .finish_non_exhaustive()
    }
}

/// A new pseudoterminal: our end and the process's.
pub(super) fn open_terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::pty::{grantpt, posix_openpt, unlockpt};
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = nix::pty::ptsname_r(&master)?;
    let slave = std::os::unix::fs::OpenOptionsExt::custom_flags(
        std::fs::OpenOptions::new().read(true).write(true),
        libc::O_NOCTTY | libc::O_CLOEXEC,
    )
    .open(name)?;
    // SAFETY: the descriptor leaves its only owner and finds the next.
    let master = unsafe { OwnedFd::from_raw_fd(master.into_raw_fd()) };
    Ok((master, slave.into()))
}

impl ExecSession {
    pub(super) async fn start(
        socket: &Path,
        pod_uid: &str,
        container: &str,
        spec: &ExecSpec,
        tethered: bool,
    ) -> Result<ExecSession, RuntimeError> {
        let failed = |what: &str, e: io::Error| RuntimeError::Other(format!("exec: {what}: {e}"));
        let shim = UnixStream::connect(socket)
            .await
            .map_err(|_| RuntimeError::NoSandbox(pod_uid.to_owned()))?;
        let mut session = ExecSession {
            stdin: None,
            stdout: None,
            stderr: None,
            terminal: None,
            shim,
            buffer: Vec::new(),
        };
        let theirs = session
            .streams(spec)
            .map_err(|e| failed("making streams", e))?;
        let request = Request::Exec {
            container: container.to_owned(),
            spec: spec.clone(),
        };
        let mut message = Vec::new();
        if tethered {
            let request = Request::Tether;
            message = frame(&ToShim { id: 0, request }).map_err(RuntimeError::Other)?;
        }
        message.extend(frame(&ToShim { id: 0, request }).map_err(RuntimeError::Other)?);
        session
            .send(&message, &theirs)
            .await
            .map_err(|e| failed("asking the shim", e))?;
        drop(theirs);
        loop {
            match session.next().await? {
                FromShim::Reply { response, .. } => {
                    return match response {
                        Response::Done => Ok(session),
                        Response::NotRunning => Err(RuntimeError::NotRunning {
                            pod_uid: pod_uid.to_owned(),
                            container: container.to_owned(),
                        }),
                        Response::Failed(text) => Err(RuntimeError::Start(text)),
                        other => Err(RuntimeError::Other(format!("unexpected answer {other:?}"))),
                    };
                }
                FromShim::ContainerExited { .. } | FromShim::ExecExited { .. } => {}
            }
        }
    }

    fn streams(&mut self, spec: &ExecSpec) -> io::Result<[OwnedFd; 3]> {
        if spec.tty {
            let (master, slave) = open_terminal()?;
            set_non_blocking(&master)?;
            // SAFETY: a File keeps its descriptor open and the same for as long as it lives.
            let terminal = Arc::new(unsafe { AsyncFd::register(std::fs::File::from(master)) }?);
            self.stdin = spec
                .stdin
                .then(|| Box::new(Terminal(terminal.clone())) as Input);
            self.stdout = Some(Box::new(Terminal(terminal.clone())));
            self.terminal = Some(terminal);
            return Ok([slave.try_clone()?, slave.try_clone()?, slave]);
        }
        let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC);
        let stdin = if spec.stdin {
            let (read, write) = pipe()?;
            self.stdin = Some(Box::new(pipe::Sender::from_owned_fd(write)?));
            read
        } else {
            std::fs::File::open("/dev/null")?.into()
        };
        let (read, stdout) = pipe()?;
        self.stdout = Some(Box::new(pipe::Receiver::from_owned_fd(read)?));
        let (read, stderr) = pipe()?;
        self.stderr = Some(Box::new(pipe::Receiver::from_owned_fd(read)?));
        Ok([stdin, stdout, stderr])
    }

    /// The descriptors travel with the first bytes.
    async fn send(&self, message: &[u8], theirs: &[OwnedFd; 3]) -> io::Result<()> {
        let numbers: Vec<_> = theirs.iter().map(AsRawFd::as_raw_fd).collect();
        let mut sent = 0;
        while sent < message.len() {
            self.shim.writable().await?;
            let result = self.shim.try_io(tokio::io::Interest::WRITABLE, || {
                let rights = [ControlMessage::ScmRights(&numbers)];
                let control: &[ControlMessage<'_>] = if sent == 0 { &rights } else { &[] };
                let parts = [IoSlice::new(&message[sent..])];
                sendmsg::<()>(
                    self.shim.as_raw_fd(),
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

    async fn next(&mut self) -> Result<FromShim, RuntimeError> {
        loop {
            if let Some(message) = take(&mut self.buffer).map_err(RuntimeError::Other)? {
                return Ok(message);
            }
            if !matches!(self.shim.read_buf(&mut self.buffer).await, Ok(1..)) {
                return Err(RuntimeError::Other(
                    "the pod ended during an exec".to_owned(),
                ));
            }
        }
    }

    /// Sets the terminal's size.
    #[allow(clippy::unused_async)] // Callers await all of this interface.
    pub async fn resize(&self, columns: u16, rows: u16) -> Result<(), RuntimeError> {
        let Some(terminal) = &self.terminal else {
            return Err(RuntimeError::Other(
                "resizing needs an exec with a TTY".to_owned(),
            ));
        };
        let size = libc::winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the descriptor is a terminal of ours and `size` outlives the call.
        let result =
            unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        if result == 0 {
            return Ok(());
        }
        Err(RuntimeError::Other(format!(
            "resizing the terminal: {}",
            io::Error::last_os_error()
        )))
    }

    /// Waits for the process; 128 + signal where a signal ended it.
    pub async fn wait(&mut self) -> Result<i32, RuntimeError> {
        loop {
            if let FromShim::ExecExited { code } = self.next().await? {
                return Ok(code);
            }
        }
    }
}

fn set_non_blocking(fd: &OwnedFd) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, fcntl};
    fcntl(
        fd.as_raw_fd(),
        FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK),
    )?;
    Ok(())
}

/// One of a terminal's two directions.
struct Terminal(Arc<AsyncFd<std::fs::File>>);

impl AsyncRead for Terminal {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let result = guard.try_io(|fd| fd.get_ref().read(buffer.initialize_unfilled()));
            match result {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // The last process closed its end: that is a terminal's end of file.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            if let Ok(result) = guard.try_io(|fd| fd.get_ref().write(bytes)) {
                return Poll::Ready(result);
            }
        }
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    /// A terminal has no half-close; its end of input is the character 4.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write(context, &[4]).map_ok(|_| ())
    }
}
