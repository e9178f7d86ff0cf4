//! Connections from node processes: whole messages in, whole messages out, nothing blocks.

use super::sys;
use crate::runtime::protocol::{FromShim, MESSAGE_BYTES_MAX, ToShim, frame, take};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::io::{self, IoSliceMut, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Streams that come with one exec.
pub const STREAMS: usize = 3;
/// Answers waiting for a client that does not read; over it, the client is cut off and asks anew.
const WAITING_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// Read from a client at a time.
const READ_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub struct Client {
    pub number: u64,
    pub stream: UnixStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    pub gone: bool,
}

impl Client {
    pub fn new(number: u64, stream: UnixStream) -> io::Result<Client> {
        stream.set_nonblocking(true)?;
        Ok(Client {
            number,
            stream,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            descriptors: Vec::new(),
            gone: false,
        })
    }

    pub fn interest(&self) -> i16 {
        if self.outgoing.is_empty() {
            libc::POLLIN
        } else {
            libc::POLLIN | libc::POLLOUT
        }
    }

    /// Reads what there is; returns the whole messages. Anything wrong marks the client as gone.
    pub fn receive(&mut self) -> Vec<ToShim> {
        if let Err(error) = self.fill() {
            tracing::debug!(%error, "client gone");
            self.gone = true;
        }
        let mut messages = Vec::new();
        loop {
            match take(&mut self.incoming) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return messages,
                Err(_) => {
                    self.gone = true;
                    return messages;
                }
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut block = vec![0u8; READ_BYTES];
        let mut space = nix::cmsg_space!([std::os::fd::RawFd; STREAMS]);
        let mut parts = [IoSliceMut::new(&mut block)];
        let message = match recvmsg::<()>(
            self.stream.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(message) => message,
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let count = message.bytes;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = control {
                self.descriptors
                    .extend(numbers.into_iter().map(sys::received));
            }
        }
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.descriptors.len() > STREAMS {
            return Err(io::Error::other("more descriptors than streams"));
        }
        self.incoming.extend_from_slice(&block[..count]);
        Ok(())
    }

    pub fn descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }

    pub fn send(&mut self, message: &FromShim) {
        match frame(message) {
            Ok(bytes) if self.outgoing.len() + bytes.len() <= WAITING_BYTES_MAX + 8 => {
                self.outgoing.extend_from_slice(&bytes);
                self.flush();
            }
            _ => self.gone = true,
        }
    }

    pub fn flush(&mut self) {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(count) => {
                    self.outgoing.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
        self.outgoing.shrink_to_fit();
    }
}
