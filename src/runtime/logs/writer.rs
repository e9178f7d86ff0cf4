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

/// Lines gathered before they are written; a chunk of very short lines grows twentyfold by its fronts.
const BATCH_BYTES: usize = 64 * 1024;

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

    /// Takes what a stream gave, in pieces of any size. Lines that come together share one time and one system call.
    pub fn write(&mut self, stream: Stream, mut data: &[u8]) {
        let time = timestamp(jiff::Timestamp::now());
        let mut pending = std::mem::take(&mut self.pending[stream as usize]);
        let mut batch = Vec::new();
        while !data.is_empty() {
            let room = TEXT_BYTES_MAX - pending.len();
            let head = &data[..room.min(data.len())];
            let (text, used, tag) = match head.iter().position(|b| *b == b'\n') {
                Some(at) => (&head[..at], at + 1, b'F'),
                None if head.len() == room => (head, room, b'P'),
                None => {
                    pending.extend_from_slice(head);
                    break;
                }
            };
            self.line(&mut batch, &time, stream, tag, [&pending, text]);
            pending = Vec::new();
            data = &data[used..];
        }
        self.flush(&mut batch);
        self.pending[stream as usize] = pending;
    }

    /// The stream ended: an unfinished line is written as it is.
    pub fn finish(&mut self) {
        let time = timestamp(jiff::Timestamp::now());
        let mut batch = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let text = std::mem::take(&mut self.pending[stream as usize]);
            if !text.is_empty() {
                self.line(&mut batch, &time, stream, b'P', [&text, &[]]);
            }
        }
        self.flush(&mut batch);
    }

    fn line(&mut self, batch: &mut Vec<u8>, time: &str, stream: Stream, tag: u8, text: [&[u8]; 2]) {
        let name = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        // Time, name and tag with their spaces, and the newline.
        let length = time.len() + name.len() + text[0].len() + text[1].len() + 5;
        self.make_room(batch, length);
        batch.extend_from_slice(time.as_bytes());
        batch.push(b' ');
        batch.extend_from_slice(name.as_bytes());
        batch.extend_from_slice(&[b' ', tag, b' ']);
        batch.extend_from_slice(text[0]);
        batch.extend_from_slice(text[1]);
        batch.push(b'\n');
    }

    /// Writes the batch where one more line of `length` would be too much for it or for the file.
    fn make_room(&mut self, batch: &mut Vec<u8>, length: usize) {
        let bytes = self.bytes + batch.len() as u64;
        let full = self.bytes_max > 0 && bytes > 0 && bytes + length as u64 > self.bytes_max;
        if full || batch.len() + length > BATCH_BYTES {
            self.flush(batch);
        }
        // A log that cannot be rotated goes on growing: better than losing what it says.
        if full && self.bytes > 0 {
            let _ = self.rotate();
        }
    }

    fn flush(&mut self, batch: &mut Vec<u8>) {
        if self.dropped > 0 && !batch.is_empty() {
            let note = format!(
                "{} stderr F [coracle: {} log lines were lost, the disk was full]\n",
                timestamp(jiff::Timestamp::now()),
                self.dropped
            );
            if self.append(note.as_bytes()).is_ok() {
                self.dropped = 0;
            }
        }
        if let Err(lost) = self.append(batch) {
            self.dropped += lost;
        }
        batch.clear();
    }

    /// Appends whole lines; the error is how many could not be.
    fn append(&mut self, lines: &[u8]) -> Result<(), u64> {
        if lines.is_empty() {
            return Ok(());
        }
        let count = |bytes: &[u8]| bytes.split(|b| *b == b'\n').skip(1).count() as u64;
        let Ok(mut file) = self.file.take().map_or_else(|| append(&self.path), Ok) else {
            return Err(count(lines));
        };
        let written = file.write(lines).unwrap_or(0);
        let kept = if written == lines.len() {
            written
        } else {
            // Half a line would spoil the next one.
            let whole = lines[..written].iter().rposition(|b| *b == b'\n');
            let kept = whole.map_or(0, |at| at + 1);
            let _ = file.set_len(self.bytes + kept as u64);
            kept
        };
        self.file = Some(file);
        self.bytes += kept as u64;
        match count(&lines[kept..]) {
            0 => Ok(()),
            lost => Err(lost),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let stamp = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
        let old = rotated(&self.path)?;
        let last = old.last().and_then(|path| {
            let front = self.path.file_name()?.len() + 1;
            path.file_name()?.to_str()?.get(front..)
        });
        match fs::rename(&self.path, suffixed(&self.path, &next_suffix(last, &stamp))) {
            // Somebody removed it: a new one it is.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = None;
        self.bytes = 0;
        // The current file and the one just rotated count; oldest first, so that what remains has no gap.
        let keep = (self.files_max.saturating_sub(1) as usize).max(1) - 1;
        for path in &old[..old.len().saturating_sub(keep)] {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// The rotated file's suffix: the time, or what sorts behind `last` where that is not earlier. Several rotations in
/// one second, and clocks set back, keep the files in order.
fn next_suffix(last: Option<&str>, stamp: &str) -> String {
    match last {
        Some(last) if last >= stamp => {
            let (second, number) = last.split_once('.').unwrap_or((last, "0"));
            let number: u32 = number.parse().unwrap_or(0);
            format!("{second}.{:06}", number.saturating_add(1))
        }
        _ => stamp.to_owned(),
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
    #![allow(clippy::unwrap_used, clippy::format_collect)]
    use super::*;

    #[test]
    fn suffixes_sort_in_the_order_of_rotation() {
        for (last, stamp, next) in [
            (None, "20160102-030405", "20160102-030405"),
            (
                Some("20160102-030405"),
                "20160102-030406",
                "20160102-030406",
            ),
            (
                Some("20160102-030405"),
                "20160102-030405",
                "20160102-030405.000001",
            ),
            (
                Some("20160102-030405.000009"),
                "20160102-030405",
                "20160102-030405.000010",
            ),
            // The clock was set back.
            (
                Some("20260102-030405"),
                "19700101-000000",
                "20260102-030405.000001",
            ),
        ] {
            assert_eq!(next_suffix(last, stamp), next);
            assert!(last.is_none_or(|last| last < next));
        }
    }

    #[test]
    fn many_rotations_in_a_second_leave_the_newest_lines_without_a_gap() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut log = LogWriter::open(&path, 1_000, 3).unwrap();
        let text: String = (0..5_000).map(|n| format!("{n}\n")).collect();
        // Pieces that cut lines anywhere.
        for piece in text.as_bytes().chunks(997) {
            log.write(Stream::Stdout, piece);
        }
        let mut files = rotated(&path).unwrap();
        assert_eq!(files.len(), 2);
        files.push(path);
        let mut numbers = Vec::new();
        for file in files {
            let text = fs::read_to_string(file).unwrap();
            assert!(text.len() <= 1_000, "{}", text.len());
            numbers.extend(text.lines().map(|l| {
                let number = l.rsplit(' ').next().unwrap();
                number.parse::<u32>().unwrap()
            }));
        }
        let first = numbers[0];
        assert_eq!(numbers, (first..5_000).collect::<Vec<_>>());
    }

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
