//! Writing and rotating one container's log.

use super::format::{TEXT_BYTES_MAX, timestamp};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout = 0,
    Stderr = 1,
}

/// A container's log file. Never fsynced, never waits: what cannot be written is counted and dropped.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    bytes_max: u64,
    files_max: u32,
    /// Text since the last newline, by stream.
    pending: [Vec<u8>; 2],
    dropped: u64,
}

impl LogWriter {
    pub fn open(path: &Path, bytes_max: u64, files_max: u32) -> io::Result<LogWriter> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = append(path)?;
        let bytes = file.metadata()?.len();
        Ok(LogWriter {
            path: path.to_owned(),
            file: Some(file),
            bytes,
            bytes_max,
            files_max,
            pending: [Vec::new(), Vec::new()],
            dropped: 0,
        })
    }

    /// Takes what a stream gave, in pieces of any size.
    pub fn write(&mut self, stream: Stream, mut data: &[u8]) {
        while !data.is_empty() {
            let pending = &self.pending[stream as usize];
            let room = TEXT_BYTES_MAX - pending.len();
            let end = data.iter().take(room).position(|b| *b == b'\n');
            let (text, rest, tag) = match end {
                Some(at) => (&data[..at], &data[at + 1..], Some('F')),
                None if data.len() >= room => (&data[..room], &data[room..], Some('P')),
                None => (data, &data[data.len()..], None),
            };
            self.pending[stream as usize].extend_from_slice(text);
            if let Some(tag) = tag {
                self.line(stream, tag);
            }
            data = rest;
        }
    }

    /// The stream ended: an unfinished line is written as it is.
    pub fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.pending[stream as usize].is_empty() {
                self.line(stream, 'P');
            }
        }
    }

    fn line(&mut self, stream: Stream, tag: char) {
        let name = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let text = std::mem::take(&mut self.pending[stream as usize]);
        let time = timestamp(jiff::Timestamp::now());
        let mut line = format!("{time} {name} {tag} ").into_bytes();
        line.extend_from_slice(&text);
        line.push(b'\n');
        if self.dropped > 0 {
            let note = format!(
                "{time} stderr F [coracle: {} log lines were lost, the disk was full]\n",
                self.dropped
            );
            if self.append(note.as_bytes()).is_ok() {
                self.dropped = 0;
            }
        }
        if self.append(&line).is_err() {
            self.dropped += 1;
        }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes_max > 0 && self.bytes + line.len() as u64 > self.bytes_max {
            self.rotate()?;
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => append(&self.path)?,
        };
        let written = file.write(line);
        if !matches!(written, Ok(n) if n == line.len()) {
            // Half a line would spoil the next one.
            let _ = file.set_len(self.bytes);
            self.file = Some(file);
            return Err(written.err().unwrap_or(io::ErrorKind::StorageFull.into()));
        }
        self.file = Some(file);
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let stamp = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
        let mut to = suffixed(&self.path, &stamp);
        // Several rotations in one second keep their order by a further number.
        let mut number = 0u32;
        while to.exists() {
            number += 1;
            to = suffixed(&self.path, &format!("{stamp}.{number:06}"));
        }
        fs::rename(&self.path, &to)?;
        self.file = None;
        self.bytes = 0;
        // The current file counts as one.
        let rotated = rotated(&self.path)?;
        let keep = self.files_max.saturating_sub(1) as usize;
        for old in rotated.iter().rev().skip(keep) {
            fs::remove_file(old)?;
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Rotated files of `path`, oldest first.
pub fn rotated(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut found: Vec<PathBuf> = fs::read_dir(directory)?
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // The rest is a time: `20160102-030405`.
            name.strip_prefix(&prefix)
                .is_some_and(|rest| rest.len() >= 15 && rest.as_bytes()[8] == b'-')
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_cut_and_rotated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut log = LogWriter::open(&path, 2_000, 3).unwrap();
        log.write(Stream::Stdout, b"hel");
        log.write(Stream::Stderr, b"oops\n");
        log.write(Stream::Stdout, b"lo\nrest");
        log.finish();
        let text = fs::read_to_string(&path).unwrap();
        let ends: Vec<&str> = text.lines().map(|l| &l[31..]).collect();
        assert_eq!(ends, ["stderr F oops", "stdout F hello", "stdout P rest"]);
        for _ in 0..100 {
            log.write(Stream::Stdout, &[b'x'; 100]);
            log.write(Stream::Stdout, b"\n");
        }
        assert_eq!(rotated(&path).unwrap().len(), 2);
        assert!(fs::metadata(&path).unwrap().len() <= 2_000);
        log.write(Stream::Stdout, &vec![b'y'; TEXT_BYTES_MAX + 1]);
        log.write(Stream::Stdout, b"\n");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with(" stdout F y\n"), "{}", text.len());
    }
}
