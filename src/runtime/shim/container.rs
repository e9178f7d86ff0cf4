//! One run of a container as the shim holds it: its state, its streams, its log.

use super::launch::{self, Streams};
use crate::runtime::logs::{LogWriter, Stream};
use crate::runtime::types::{ContainerSpec, ContainerStatus};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

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
    /// Keeps an interactive container's input open.
    #[allow(dead_code)] // Held, never read.
    pub input: Option<OwnedFd>,
}

/// Reads what the container has written; `rounds` bounds it, so that one container does not starve the others.
pub fn drain(container: &mut Container, rounds: u32) {
    // On the heap, and only while there is something to read: an idle shim keeps no page for it.
    let mut block = vec![0u8; READ_BYTES];
    let log = &mut container.log;
    container.outputs.retain_mut(|(stream, file)| {
        for _ in 0..rounds {
            match file.read(&mut block) {
                Ok(0) => return false,
                Ok(count) => {
                    if let Some(log) = log {
                        log.write(*stream, &block[..count]);
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

fn non_blocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(fd.as_raw_fd(), FcntlArg::F_GETFL)?);
    fcntl(fd.as_raw_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// The container's ends; ours go into `container`.
pub fn streams(container: &mut Container, spec: &ContainerSpec) -> io::Result<Streams> {
    if spec.tty {
        let (master, slave) = crate::runtime::exec::open_terminal()?;
        non_blocking(&master)?;
        container.outputs.push((Stream::Stdout, File::from(master)));
        return launch::terminal_streams(slave);
    }
    let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC);
    let stdin = if spec.stdin {
        let (read, write) = pipe()?;
        container.input = Some(write);
        read
    } else {
        OwnedFd::from(File::open(Path::new("/dev/null"))?)
    };
    let mut ends = Vec::new();
    for stream in [Stream::Stdout, Stream::Stderr] {
        let (read, write) = pipe()?;
        non_blocking(&read)?;
        container.outputs.push((stream, File::from(read)));
        ends.push(write);
    }
    match <[OwnedFd; 2]>::try_from(ends) {
        Ok([stdout, stderr]) => Ok([stdin, stdout, stderr]),
        Err(_) => Err(io::ErrorKind::Other.into()),
    }
}
