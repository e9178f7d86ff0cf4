//! Attaching to a running container: pipes whose other ends the shim serves beside the log.

use super::protocol::{FromShim, Request};
use super::shim_stream::{Input, Output, ShimStream};
use super::types::{AttachSpec, RuntimeError};
use nix::fcntl::OFlag;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use tokio::net::unix::pipe;

/// A client of a running container. Dropping it detaches; the container goes on.
pub struct AttachSession {
    pub stdin: Option<Input>,
    /// The terminal's output where the container has one.
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    shim: ShimStream,
}

impl std::fmt::Debug for AttachSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AttachSession").finish_non_exhaustive()
    }
}

impl AttachSession {
    pub(super) async fn start(
        socket: &Path,
        pod_uid: &str,
        container: &str,
        spec: AttachSpec,
    ) -> Result<AttachSession, RuntimeError> {
        let failed = |e: io::Error| RuntimeError::Other(format!("attach: making streams: {e}"));
        let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(io::Error::from);
        let null = || File::options().read(true).write(true).open("/dev/null");
        let input = || -> io::Result<(Option<Input>, OwnedFd)> {
            if !spec.stdin {
                return Ok((None, null()?.into()));
            }
            let (read, write) = pipe()?;
            Ok((
                Some(Box::new(pipe::Sender::from_owned_fd(write)?) as Input),
                read,
            ))
        };
        let output = |wanted: bool| -> io::Result<(Option<Output>, OwnedFd)> {
            if !wanted {
                return Ok((None, null()?.into()));
            }
            let (read, write) = pipe()?;
            Ok((
                Some(Box::new(pipe::Receiver::from_owned_fd(read)?) as Output),
                write,
            ))
        };
        let (stdin, theirs_in) = input().map_err(failed)?;
        let (stdout, theirs_out) = output(spec.stdout).map_err(failed)?;
        let (stderr, theirs_err) = output(spec.stderr).map_err(failed)?;
        let request = Request::Attach {
            container: container.to_owned(),
            streams: spec,
        };
        let theirs = [theirs_in, theirs_out, theirs_err];
        let shim = ShimStream::open(socket, pod_uid, container, [request], theirs).await?;
        Ok(AttachSession {
            stdin,
            stdout,
            stderr,
            shim,
        })
    }

    /// Sets the size of the container's terminal; nothing where it has none.
    pub fn resize(&self, columns: u16, rows: u16) -> Result<(), RuntimeError> {
        self.shim.tell(Request::Resize { columns, rows })
    }

    /// Waits until the shim lets go of the client: `None` at the container's end or by the client's own wish,
    /// else why.
    pub async fn wait(&mut self) -> Result<Option<String>, RuntimeError> {
        loop {
            if let FromShim::Detached { reason } = self.shim.next().await? {
                return Ok(reason);
            }
        }
    }
}
