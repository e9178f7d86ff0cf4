//! Pseudoterminals: made, resized, and as a stream both ways.
#![allow(unsafe_code)] // Descriptors change owners, and the size goes through ioctl.

use nix::fcntl::OFlag;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A new pseudoterminal: our end and the process's.
pub(super) fn open() -> io::Result<(OwnedFd, OwnedFd)> {
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

/// Sets its size; its foreground processes get SIGWINCH.
pub(super) fn resize(terminal: &impl AsRawFd, columns: u16, rows: u16) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the descriptor is a terminal of ours and `size` outlives the call.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Our end of a terminal for the event loop.
pub(super) fn register(master: OwnedFd) -> io::Result<Arc<AsyncFd<File>>> {
    crate::runtime::shim::non_blocking(&master)?;
    // SAFETY: a File keeps its descriptor open and the same for as long as it lives.
    Ok(Arc::new(unsafe { AsyncFd::register(File::from(master)) }?))
}

/// One of a terminal's two directions.
pub(super) struct Terminal(pub(super) Arc<AsyncFd<File>>);

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
