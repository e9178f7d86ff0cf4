//! A client attached to a running container: what it gets of the output, what it gives as input.
//!
//! Its streams are pipes whose other ends the node process holds: the kernel buffers them, not the shim. A client that
//! takes its output slowly slows the container down, as with containerd: `kubectl run -i --rm … > file` must not lose
//! anything. But only as long as it takes something at all: one that has taken nothing for [`PATIENCE`] is let go with
//! the reason, so that a client whose link died never holds the container or its log for longer than that.

use crate::runtime::logs::Stream;
use crate::runtime::types::RunId;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// How long a client may take nothing while something waits for it.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Clients attached to one pod's containers at once.
pub const ATTACHED_MAX: usize = 32;
/// Read from a container at a time while somebody is attached: this much may then wait in the shim for each client.
pub const READ_BYTES: usize = 16 * 1024;
/// Most that may wait for one client: what two pipes hold when the container ends, and one read.
const WAITING_BYTES_MAX: usize = 192 * 1024;
/// Input taken at a time: what a terminal's line discipline holds, termios(3).
pub const INPUT_BYTES: usize = 4096;

#[derive(Debug)]
pub struct Attached {
    pub client: u64,
    pub run: RunId,
    pub input: Option<File>,
    outputs: [Option<File>; 2],
    waiting: VecDeque<(Stream, Vec<u8>)>,
    waiting_bytes: usize,
    /// Since when nothing was taken.
    stalled: Option<Instant>,
    /// It is to be told that this is the end, once nothing waits.
    pub ending: bool,
}

impl Attached {
    pub fn new(client: u64, run: RunId, input: Option<File>, outputs: [Option<File>; 2]) -> Self {
        Attached {
            client,
            run,
            input,
            outputs,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            stalled: None,
            ending: false,
        }
    }

    /// The container is not read while this is so.
    pub fn is_stalled(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Gives it what the container wrote.
    pub fn offer(&mut self, stream: Stream, bytes: &[u8], now: Instant) {
        if bytes.is_empty() || self.outputs[stream as usize].is_none() {
            return;
        }
        let taken = if self.is_stalled() {
            0
        } else {
            self.give(stream, bytes)
        };
        let rest = &bytes[taken..];
        if rest.is_empty() || self.outputs[stream as usize].is_none() {
            return;
        }
        if self.waiting_bytes + rest.len() > WAITING_BYTES_MAX {
            // Only at the end of a container, and only of one that went on writing after its end.
            return self.outputs[stream as usize] = None;
        }
        self.stalled.get_or_insert(now);
        self.waiting_bytes += rest.len();
        self.waiting.push_back((stream, rest.to_vec()));
    }

    /// How much was taken. A stream that nobody reads any more is closed.
    fn give(&mut self, stream: Stream, bytes: &[u8]) -> usize {
        let slot = &mut self.outputs[stream as usize];
        let Some(file) = slot else {
            return bytes.len();
        };
        let mut taken = 0;
        while taken < bytes.len() {
            match file.write(&bytes[taken..]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    *slot = None;
                    return bytes.len();
                }
            }
        }
        taken
    }

    /// Gives what waits, as far as it is taken.
    pub fn flush(&mut self, now: Instant) {
        while let Some((stream, bytes)) = self.waiting.pop_front() {
            let taken = self.give(stream, &bytes);
            self.waiting_bytes -= taken;
            if taken > 0 {
                self.stalled = Some(now);
            }
            if taken < bytes.len() {
                self.waiting.push_front((stream, bytes[taken..].to_vec()));
                return;
            }
        }
        self.waiting_bytes = 0;
        self.stalled = None;
    }

    /// The pipe that must take something first.
    pub fn waits_for(&self) -> Option<RawFd> {
        let (stream, _) = self.waiting.front()?;
        self.outputs[*stream as usize]
            .as_ref()
            .map(AsRawFd::as_raw_fd)
    }

    /// When its patience ends, if it takes nothing.
    pub fn deadline(&self) -> Option<Instant> {
        self.stalled.map(|since| since + PATIENCE)
    }

    /// Input; an empty one is its end.
    pub fn take_input(&mut self) -> Option<Vec<u8>> {
        let mut block = vec![0; INPUT_BYTES];
        loop {
            match self.input.as_mut()?.read(&mut block) {
                Ok(count) => {
                    block.truncate(count);
                    return Some(block);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => return Some(Vec::new()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::runtime::shim::sys::non_blocking;

    fn attached() -> (Attached, File) {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        non_blocking(&write).unwrap();
        let run = RunId {
            container: "main".into(),
            attempt: 0,
        };
        let client = Attached::new(1, run, None, [Some(File::from(write)), None]);
        (client, File::from(read))
    }

    #[test]
    fn what_is_not_taken_waits_in_order() {
        let (mut client, mut reader) = attached();
        let now = Instant::now();
        let block: Vec<u8> = (0..READ_BYTES).map(|n| n as u8).collect();
        let mut sent = 0;
        while !client.is_stalled() {
            client.offer(Stream::Stdout, &block, now);
            sent += 1;
        }
        assert_eq!(client.deadline(), Some(now + PATIENCE));
        client.offer(Stream::Stderr, b"not wanted", now);
        let later = now + Duration::from_secs(3);
        let mut seen = vec![0; sent * block.len()];
        let mut at = 0;
        while at < seen.len() {
            at += reader.read(&mut seen[at..]).unwrap();
            client.flush(later);
        }
        assert_eq!(seen, block.repeat(sent));
        assert!(!client.is_stalled());
        assert_eq!(client.deadline(), None);
    }

    #[test]
    fn a_reader_that_left_holds_nothing_up() {
        let (mut client, reader) = attached();
        drop(reader);
        client.offer(Stream::Stdout, &[0; READ_BYTES], Instant::now());
        assert!(!client.is_stalled());
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut client, _reader) = attached();
        for _ in 0..100 {
            client.offer(Stream::Stdout, &[0; READ_BYTES], Instant::now());
        }
        assert!(client.waiting_bytes <= WAITING_BYTES_MAX);
    }
}
