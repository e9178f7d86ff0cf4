//! The user's terminal: raw mode, its size, signals. The one file of the command line with system calls.
#![allow(unsafe_code)] // Reading the window's size and setting a signal's disposition have no safe wrapper.

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io::IsTerminal;

mod request {
    nix::ioctl_read_bad!(window_size, libc::TIOCGWINSZ, libc::winsize);
}

/// Standard input in raw mode; the mode before comes back when this is dropped.
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// `None` where standard input is no terminal.
    pub fn enter() -> Option<RawMode> {
        let input = std::io::stdin();
        if !input.is_terminal() {
            return None;
        }
        let before = tcgetattr(&input).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&input, SetArg::TCSANOW, &raw).ok()?;
        Some(RawMode { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Nothing can be done for a terminal that is gone.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// Columns and rows of the terminal on standard output, if it is one.
pub fn size() -> Option<(u16, u16)> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one `winsize`, which `size` is; it lives through the call.
    unsafe { request::window_size(libc::STDOUT_FILENO, &raw mut size) }.ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Lets a closed standard output end the process, as it ends every filter (`coracle get pods | head`).
/// Rust ignores SIGPIPE by default, and printing would then panic. Sockets are not affected: they are written to
/// with MSG_NOSIGNAL.
pub fn die_by_closed_pipe() {
    // SAFETY: the default disposition runs no code of ours.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
}
