//! One run of a container as the shim holds it: its state, its streams, its log.

use super::attach::{self, Attached};
use super::launch::{self, Streams};
use super::sys;
use crate::runtime::logs::{LogWriter, Stream};
use crate::runtime::types::{ContainerSpec, ContainerStatus};
use nix::fcntl::OFlag;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Read from a container at a time: what a pipe holds unless told otherwise, pipe(7).
const READ_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub struct Container {
    pub status: ContainerStatus,
    pub cgroup: String,
    pub merged: PathBuf,
    pub pid: Option<i32>,
    pub log: Option<LogWriter>,
    pub outputs: Vec<(Stream, File)>,
    /// It was told to end by SIGKILL.
    pub killed: bool,
    /// Keeps an interactive container's input open, and takes what attached clients give.
    pub input: Option<File>,
    /// Given by a client, not yet taken by the container; at most one read.
    pub input_waiting: Vec<u8>,
    /// The input is closed when nothing waits any more.
    pub input_ending: bool,
    /// Its terminal, to set the size of.
    pub terminal: Option<File>,
    /// The first client that leaves takes the input along.
    pub stdin_once: bool,
}

impl Container {
    /// Its processes are gone, or never came.
    pub fn close_streams(&mut self) {
        self.outputs.clear();
        self.input = None;
        self.input_waiting = Vec::new();
        self.terminal = None;
    }

    /// Gives the container what waits for it.
    pub fn feed(&mut self) {
        while let Some(input) = &mut self.input
            && !self.input_waiting.is_empty()
        {
            match input.write(&self.input_waiting) {
                Ok(count) => {
                    self.input_waiting.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody reads it any more.
                Err(_) => self.input = None,
            }
        }
        self.input_waiting = Vec::new();
        if self.input_ending {
            self.input = None;
        }
    }
}

/// Reads what the container has written; `rounds` bounds it, so that one container does not starve the others.
/// A client that holds it up ends the reading after one round; more rounds are its last words, given to all.
pub fn drain(container: &mut Container, rounds: u32, attached: &mut [Attached]) {
    let run = &container.status.run;
    let watched = attached.iter().any(|a| a.run == *run);
    // On the heap, and only while there is something to read: an idle shim keeps no page for it.
    let mut block = vec![
        0u8;
        if watched {
            attach::READ_BYTES
        } else {
            READ_BYTES
        }
    ];
    let now = Instant::now();
    let log = &mut container.log;
    container.outputs.retain_mut(|(stream, file)| {
        for _ in 0..rounds {
            match file.read(&mut block) {
                Ok(0) => return false,
                Ok(count) => {
                    if let Some(log) = log {
                        log.write(*stream, &block[..count]);
                    }
                    for client in attached.iter_mut().filter(|a| a.run == *run) {
                        client.offer(*stream, &block[..count], now);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A terminal whose last user is gone answers EIO.
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    });
}

/// The container's ends; ours go into `container`.
pub fn streams(container: &mut Container, spec: &ContainerSpec) -> io::Result<Streams> {
    if spec.tty {
        let (master, slave) = crate::runtime::terminal::open()?;
        sys::non_blocking(&master)?;
        let master = File::from(master);
        if spec.stdin {
            container.input = Some(master.try_clone()?);
        }
        container.terminal = Some(master.try_clone()?);
        container.outputs.push((Stream::Stdout, master));
        return launch::terminal_streams(slave);
    }
    let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC);
    let stdin = if spec.stdin {
        let (read, write) = pipe()?;
        sys::non_blocking(&write)?;
        container.input = Some(File::from(write));
        read
    } else {
        OwnedFd::from(File::open(Path::new("/dev/null"))?)
    };
    let mut ends = Vec::new();
    for stream in [Stream::Stdout, Stream::Stderr] {
        let (read, write) = pipe()?;
        sys::non_blocking(&read)?;
        container.outputs.push((stream, File::from(read)));
        ends.push(write);
    }
    match <[OwnedFd; 2]>::try_from(ends) {
        Ok([stdout, stderr]) => Ok([stdin, stdout, stderr]),
        Err(_) => Err(io::ErrorKind::Other.into()),
    }
}
