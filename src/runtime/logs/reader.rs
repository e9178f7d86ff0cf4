//! Reading a container's log: the last lines, from a time on, following it across rotation.

use super::changes::Changes;
use super::format::parse;
use super::tail::tail_start;
use super::writer::rotated;
use bytes::Bytes;
use futures::Stream;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::pin::Pin;

/// Read at a time.
const BLOCK_BYTES: usize = 16 * 1024;
/// Longest line kept until its end comes: the longest text and its front, with room.
const LINE_BYTES_MAX: usize = 2 * BLOCK_BYTES;

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

/// The log at `path`, its CRI fronts stripped. With `follow` it ends when `ended` says that the container has ended,
/// and everything is read.
pub fn read(
    path: PathBuf,
    options: LogOptions,
    ended: impl Future<Output = ()> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> {
    let follower = Follower {
        // Before the first look: what is written after a look is then told.
        changes: options.follow.then(|| Changes::of(&path)),
        reader: Reader::new(path, options),
        ended: Box::pin(ended),
        over: false,
    };
    futures::stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        match follower.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(follower))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

struct Follower {
    reader: Reader,
    changes: Option<Changes>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: bool,
}

impl Follower {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if self.reader.left == 0 {
                return Ok(None);
            }
            // Asked before reading: what a container wrote before its end is then surely read.
            self.over = self.over || futures::poll!(&mut self.ended).is_ready();
            let mut reader = std::mem::take(&mut self.reader);
            let (reader, step) = tokio::task::spawn_blocking(move || {
                let step = reader.step();
                (reader, step)
            })
            .await
            .map_err(io::Error::other)?;
            self.reader = reader;
            match step? {
                Some(bytes) if bytes.is_empty() => {}
                Some(bytes) => return Ok(Some(bytes)),
                None => match &mut self.changes {
                    Some(changes) if !self.over => tokio::select! {
                        () = changes.next() => {}
                        () = &mut self.ended => self.over = true,
                    },
                    _ => return Ok(None),
                },
            }
        }
    }
}

#[derive(Default)]
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
    fn new(path: PathBuf, options: LogOptions) -> Reader {
        Reader {
            path,
            left: options.limit_bytes.unwrap_or(u64::MAX),
            options,
            ..Reader::default()
        }
    }

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
            let data = file.metadata()?;
            if Some(data.ino()) != number && !self.is_too_old(&data) {
                files.push(file);
            }
        }
        if current.is_none() && files.is_empty() && rotated(&self.path)?.is_empty() {
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

    /// Rotated files end before a time: those whose last line is too old need not be read.
    fn is_too_old(&self, data: &std::fs::Metadata) -> bool {
        let Some(since) = self.options.since else {
            return false;
        };
        data.modified()
            .ok()
            .and_then(|time| jiff::Timestamp::try_from(time).ok())
            .is_some_and(|time| time < since)
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
        if rest.len() <= LINE_BYTES_MAX {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::format_collect)]
    use super::super::writer::{LogWriter, Stream as Output};
    use super::*;
    use futures::StreamExt;

    async fn text(path: PathBuf, options: LogOptions) -> String {
        let chunks: Vec<_> = read(path, options, std::future::pending()).collect().await;
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
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let options = LogOptions {
            follow: true,
            ..LogOptions::default()
        };
        let stream = read(path, options, async {
            let _ = ended.await;
        });
        futures::pin_mut!(stream);
        let mut seen = stream.next().await.unwrap().unwrap().to_vec();
        for number in 3..60 {
            log.write(Output::Stdout, format!("line {number}\n").as_bytes());
        }
        drop(end);
        while let Some(chunk) = stream.next().await {
            seen.extend_from_slice(&chunk.unwrap());
        }
        let expected: String = (0..60).map(|n| format!("line {n}\n")).collect();
        assert_eq!(String::from_utf8(seen).unwrap(), expected);
    }

    fn follower(path: PathBuf) -> Reader {
        let options = LogOptions {
            follow: true,
            ..LogOptions::default()
        };
        Reader::new(path, options)
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
