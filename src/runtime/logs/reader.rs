//! Reading a container's log: the last lines, from a time on, following it across rotation.

use super::format::parse;
use super::writer::rotated;
use bytes::Bytes;
use futures::Stream;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::Duration;

/// Read at a time; also more than the longest line (16 KiB and its front).
const BLOCK_BYTES: usize = 32 * 1024;
/// Between looks at a file that is followed.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);

/// As `GET …/pods/<name>/log` has them.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    pub follow: bool,
    pub tail_lines: Option<u64>,
    pub since: Option<jiff::Timestamp>,
    pub limit_bytes: Option<u64>,
    pub timestamps: bool,
    /// `stdout` or `stderr` alone.
    pub stream: Option<String>,
}

/// The log at `path`, its CRI fronts stripped. With `follow` it ends when `running` says the container has ended
/// and everything is read.
pub fn read(
    path: PathBuf,
    options: LogOptions,
    running: impl Fn() -> bool + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> {
    let reader = Reader {
        path,
        left: options.limit_bytes.unwrap_or(u64::MAX),
        options,
        files: VecDeque::new(),
        current: None,
        buffer: Vec::new(),
        line_open: false,
        opened: false,
    };
    futures::stream::unfold(Some((reader, running)), |state| async move {
        let (mut reader, running) = state?;
        loop {
            if reader.left == 0 {
                return None;
            }
            // Asked before reading: what a container wrote before its end is then surely read.
            let alive = reader.options.follow && running();
            let step = tokio::task::spawn_blocking(move || {
                let step = reader.step();
                (reader, step)
            })
            .await;
            let (back, step) = match step {
                Ok(both) => both,
                Err(error) => return Some((Err(io::Error::other(error)), None)),
            };
            reader = back;
            match step {
                Err(error) => return Some((Err(error), None)),
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(Some(bytes)) => return Some((Ok(bytes), Some((reader, running)))),
                Ok(None) if alive => tokio::time::sleep(FOLLOW_PAUSE).await,
                Ok(None) => return None,
            }
        }
    })
}

struct Reader {
    path: PathBuf,
    options: LogOptions,
    left: u64,
    /// Still to come after `current`.
    files: VecDeque<File>,
    current: Option<File>,
    /// Bytes of a line that is not whole yet.
    buffer: Vec<u8>,
    /// The last part given out was a `P`.
    line_open: bool,
    opened: bool,
}

impl Reader {
    /// Some bytes (possibly none of them wanted), or `None` at the present end.
    fn step(&mut self) -> io::Result<Option<Bytes>> {
        if !self.opened {
            self.open()?;
        }
        loop {
            let Some(file) = &mut self.current else {
                return Ok(None);
            };
            let mut block = vec![0; BLOCK_BYTES];
            let count = file.read(&mut block)?;
            if count > 0 {
                block.truncate(count);
                return Ok(Some(self.convert(&block)));
            }
            if let Some(next) = self.files.pop_front() {
                self.current = Some(next);
            } else if !(self.options.follow && self.rotated_away()?) {
                return Ok(None);
            }
        }
    }

    fn open(&mut self) -> io::Result<()> {
        // The current file first: a rotation in between then shows it twice rather than not at all.
        let current = match File::open(&self.path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let number = match &current {
            Some(file) => Some(file.metadata()?.ino()),
            None => None,
        };
        let mut files = Vec::new();
        for file in existing(rotated(&self.path)?) {
            let file = file?;
            if Some(file.metadata()?.ino()) != number {
                files.push(file);
            }
        }
        if current.is_none() && files.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        files.extend(current);
        if let Some(lines) = self.options.tail_lines {
            let mut wanted = lines;
            let mut kept = VecDeque::new();
            while let Some(mut file) = files.pop() {
                let (start, found) = tail_start(&file, wanted)?;
                file.seek(SeekFrom::Start(start))?;
                wanted -= found;
                kept.push_front(file);
                if wanted == 0 {
                    break;
                }
            }
            self.files = kept;
        } else {
            self.files = files.into();
        }
        self.current = self.files.pop_front();
        self.opened = true;
        Ok(())
    }

    /// The path names another file now: queue what came after the one we hold. That one is read to its end first,
    /// since it may have grown after we last looked; now it cannot any more.
    fn rotated_away(&mut self) -> io::Result<bool> {
        let Some(held) = &self.current else {
            return Ok(false);
        };
        let held = held.metadata()?;
        let mut paths = rotated(&self.path)?;
        paths.push(self.path.clone());
        let mut newer = VecDeque::new();
        // Removed while we were reading it: all that is left is newer.
        let mut found = held.nlink() == 0;
        for file in existing(paths) {
            let file = file?;
            if file.metadata()?.ino() == held.ino() {
                found = true;
                newer.clear();
            } else {
                newer.push_back(file);
            }
        }
        // Not found: it was rotated between the listing and the opening, and the next look will tell.
        if !found || newer.is_empty() {
            return Ok(false);
        }
        self.files = newer;
        Ok(true)
    }

    fn convert(&mut self, block: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(block.len());
        self.buffer.extend_from_slice(block);
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = buffer.as_slice();
        while let Some(at) = rest.iter().position(|b| *b == b'\n') {
            self.line(&rest[..at], &mut out);
            rest = &rest[at + 1..];
        }
        // Something else's file without newlines must not fill the memory.
        if rest.len() <= 2 * BLOCK_BYTES {
            self.buffer = rest.to_vec();
        }
        let keep = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(out.len());
        out.truncate(keep);
        self.left -= keep as u64;
        Bytes::from(out)
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(parts) = parse(line) else { return };
        if let Some(stream) = &self.options.stream
            && stream.as_bytes() != parts.stream
        {
            return;
        }
        if let Some(since) = self.options.since {
            let time = std::str::from_utf8(parts.time)
                .ok()
                .and_then(|t| t.parse().ok());
            if time.is_none_or(|time: jiff::Timestamp| time < since) {
                return;
            }
        }
        if self.options.timestamps && !self.line_open {
            out.extend_from_slice(parts.time);
            out.push(b' ');
        }
        out.extend_from_slice(parts.text);
        self.line_open = parts.partial;
        if !parts.partial {
            out.push(b'\n');
        }
    }
}

/// Opens what is still there of `paths`.
fn existing(paths: Vec<PathBuf>) -> impl Iterator<Item = io::Result<File>> {
    paths.into_iter().filter_map(|path| match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        opened => Some(opened),
    })
}

/// Where the last `wanted` lines of `file` begin, and how many of them it has. Reads blocks from the end.
fn tail_start(file: &File, wanted: u64) -> io::Result<(u64, u64)> {
    let size = file.metadata()?.len();
    if wanted == 0 {
        return Ok((size, 0));
    }
    let mut end = size;
    let mut newlines = 0u64;
    let mut block = vec![0; BLOCK_BYTES];
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES as u64);
        let length = (end - start) as usize;
        file.read_exact_at(&mut block[..length], start)?;
        for at in (0..length).rev() {
            if block[at] == b'\n' {
                newlines += 1;
                // The newline before the first wanted line.
                if newlines == wanted + 1 {
                    return Ok((start + at as u64 + 1, wanted));
                }
            }
        }
        end = start;
    }
    Ok((0, newlines.min(wanted)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::format_collect)]
    use super::super::writer::{LogWriter, Stream as Output};
    use super::*;
    use futures::StreamExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    async fn text(path: PathBuf, options: LogOptions) -> String {
        let chunks: Vec<_> = read(path, options, || false).collect().await;
        let bytes: Vec<u8> = chunks
            .into_iter()
            .flat_map(|c| c.unwrap().to_vec())
            .collect();
        String::from_utf8(bytes).unwrap()
    }

    fn written(directory: &std::path::Path, lines: u32, bytes_max: u64) -> (PathBuf, LogWriter) {
        let path = directory.join("0.log");
        let mut log = LogWriter::open(&path, bytes_max, 100).unwrap();
        for number in 0..lines {
            log.write(Output::Stdout, format!("line {number}\n").as_bytes());
        }
        (path, log)
    }

    #[tokio::test]
    async fn rotated_files_are_read_in_order_and_tailed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, _log) = written(directory.path(), 100, 500);
        let all = text(path.clone(), LogOptions::default()).await;
        let expected: String = (0..100).map(|n| format!("line {n}\n")).collect();
        assert_eq!(all, expected);
        for count in [0, 1, 3, 50, 100, 1000] {
            let options = LogOptions {
                tail_lines: Some(count),
                ..LogOptions::default()
            };
            let first = 100u64.saturating_sub(count);
            let expected: String = (first..100).map(|n| format!("line {n}\n")).collect();
            assert_eq!(text(path.clone(), options).await, expected, "tail {count}");
        }
        let options = LogOptions {
            limit_bytes: Some(9),
            ..LogOptions::default()
        };
        assert_eq!(text(path, options).await, "line 0\nli");
    }

    #[tokio::test]
    async fn following_crosses_a_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut log) = written(directory.path(), 3, 500);
        let running = Arc::new(AtomicBool::new(true));
        let flag = running.clone();
        let options = LogOptions {
            follow: true,
            ..LogOptions::default()
        };
        let stream = read(path, options, move || flag.load(Ordering::SeqCst));
        futures::pin_mut!(stream);
        let mut seen = stream.next().await.unwrap().unwrap().to_vec();
        for number in 3..60 {
            log.write(Output::Stdout, format!("line {number}\n").as_bytes());
        }
        running.store(false, Ordering::SeqCst);
        while let Some(chunk) = stream.next().await {
            seen.extend_from_slice(&chunk.unwrap());
        }
        let expected: String = (0..60).map(|n| format!("line {n}\n")).collect();
        assert_eq!(String::from_utf8(seen).unwrap(), expected);
    }

    fn follower(path: PathBuf) -> Reader {
        Reader {
            path,
            left: u64::MAX,
            options: LogOptions {
                follow: true,
                ..LogOptions::default()
            },
            files: VecDeque::new(),
            current: None,
            buffer: Vec::new(),
            line_open: false,
            opened: false,
        }
    }

    /// Reads to the present end.
    fn numbers(reader: &mut Reader) -> Vec<u32> {
        let mut text = Vec::new();
        while let Some(bytes) = reader.step().unwrap() {
            text.extend_from_slice(&bytes);
        }
        let text = String::from_utf8(text).unwrap();
        text.lines()
            .map(|l| l.strip_prefix("line ").unwrap().parse().unwrap())
            .collect()
    }

    #[test]
    fn a_follower_that_rotation_leaves_behind_goes_on_with_the_oldest_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut log = LogWriter::open(&path, 500, 3).unwrap();
        log.write(Output::Stdout, b"line 0\n");
        let mut reader = follower(path.clone());
        assert_eq!(numbers(&mut reader), [0]);
        for number in 1..1_000 {
            log.write(Output::Stdout, format!("line {number}\n").as_bytes());
        }
        let seen = numbers(&mut reader);
        // The file it held to its end, then without a gap from the oldest one on.
        let gap = seen.windows(2).position(|w| w[1] != w[0] + 1).unwrap();
        assert_eq!(seen[..=gap], (1..=seen[gap]).collect::<Vec<_>>());
        assert_eq!(seen[gap + 1..], (seen[gap + 1]..1_000).collect::<Vec<_>>());
        assert_eq!(numbers(&mut reader), [0u32; 0]);
    }

    #[test]
    fn what_was_written_between_the_last_look_and_the_rotation_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut log = LogWriter::open(&path, 500, 100).unwrap();
        log.write(Output::Stdout, b"line 0\n");
        let mut reader = follower(path);
        let held = reader.step().unwrap().unwrap();
        assert_eq!(held, "line 0\n");
        // Stands at its end; now the file grows and is rotated before it looks again.
        for number in 1..60 {
            log.write(Output::Stdout, format!("line {number}\n").as_bytes());
        }
        assert!(reader.rotated_away().unwrap());
        assert_eq!(numbers(&mut reader), (1..60).collect::<Vec<_>>());
    }
}
