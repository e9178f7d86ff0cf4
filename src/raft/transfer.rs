//! A snapshot on its way: the state at one revision as a stream of bytes, and back into a store.
//!
//! Format: [`MAGIC`], then frames of a little-endian u32 length and that many bytes: the revision (u64), the tag (`postcard` of
//! [`Progress`]), then per object its key and its envelope; last, [`END`] in place of a length.
//! Outgoing, a page of objects is in memory at a time; incoming, the stream goes to a file that is complete and on
//! stable storage before the state is touched.

use super::log::decode;
use super::machine::Progress;
use crate::store::engine::EngineError;
use crate::store::{Applier, Revision, Row, Store};
use bytes::{Buf, Bytes};
use std::fs::File;
use std::io::{self, BufReader, Read, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

const MAGIC: &[u8; 8] = b"coracle1";
const END: u32 = u32::MAX;
/// Objects read from the store at a time.
const PAGE_ROWS: usize = 64;
/// Longest frame believed: a stored object is never longer than a proposal.
const FRAME_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// A stream being received.
const RECEIVING: &str = "snapshot.part";
/// A stream received in full, being taken over.
const PENDING: &str = "snapshot";

/// One direction of a snapshot.
#[derive(Debug)]
pub enum Transfer {
    Outgoing(Outgoing),
    Incoming(tokio::fs::File),
}

/// The state at a revision, serialised while it is read. History must reach back to that revision until the end;
/// where it does not, reading fails and openraft takes a newer snapshot.
#[derive(Debug)]
pub struct Outgoing {
    store: Store,
    revision: Revision,
    tag: Vec<u8>,
    stage: Stage,
    buffer: Bytes,
    position: u64,
    /// Bytes to drop after a seek.
    skip: u64,
}

#[derive(Debug)]
enum Stage {
    Start,
    Objects { after: Option<String> },
    Done,
}

impl Transfer {
    pub fn outgoing(store: Store, tag: Vec<u8>) -> Transfer {
        Transfer::Outgoing(Outgoing {
            revision: store.revision(),
            store,
            tag,
            stage: Stage::Start,
            buffer: Bytes::new(),
            position: 0,
            skip: 0,
        })
    }

    pub async fn incoming(dir: &Path) -> io::Result<Transfer> {
        let mut options = tokio::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Transfer::Incoming(options.open(dir.join(RECEIVING)).await?))
    }

    /// Puts a received stream where a restart finds it; returns its path.
    pub async fn finish(self, dir: &Path) -> Result<PathBuf, EngineError> {
        let Transfer::Incoming(file) = self else {
            return Err(EngineError(
                "an outgoing snapshot cannot be installed".to_owned(),
            ));
        };
        let path = dir.join(PENDING);
        let done = async {
            file.sync_all().await?;
            tokio::fs::rename(dir.join(RECEIVING), &path).await?;
            File::open(dir)?.sync_all()
        };
        done.await.map_err(|e| io_error(&path, &e))?;
        Ok(path)
    }
}

impl Outgoing {
    fn fill(&mut self) -> Result<(), EngineError> {
        let mut out = Vec::new();
        match &mut self.stage {
            Stage::Start => {
                out.extend_from_slice(MAGIC);
                frame(&mut out, &self.revision.0.to_le_bytes());
                frame(&mut out, &self.tag);
                self.stage = Stage::Objects { after: None };
            }
            Stage::Objects { after } => {
                let rows = self
                    .store
                    .rows_at(self.revision, after.as_deref(), PAGE_ROWS)
                    .map_err(|e| EngineError(format!("snapshot: {e}")))?;
                for (key, row) in &rows {
                    frame(&mut out, key.as_bytes());
                    frame(&mut out, &row.encode());
                }
                if let Some((last, _)) = rows.into_iter().next_back() {
                    *after = Some(last);
                } else {
                    out.extend_from_slice(&END.to_le_bytes());
                    self.stage = Stage::Done;
                }
            }
            Stage::Done => {}
        }
        self.buffer = Bytes::from(out);
        Ok(())
    }

    fn read(&mut self, into: &mut ReadBuf<'_>) -> io::Result<()> {
        loop {
            let skipped = self.skip.min(self.buffer.len() as u64);
            self.buffer.advance(skipped as usize);
            self.skip -= skipped;
            if !self.buffer.is_empty() {
                break;
            }
            if matches!(self.stage, Stage::Done) {
                return Ok(());
            }
            self.fill().map_err(io::Error::other)?;
        }
        let length = self.buffer.len().min(into.remaining());
        into.put_slice(&self.buffer.split_to(length));
        self.position += length as u64;
        Ok(())
    }

    /// The stream is the same every time, so a place further back is reached by starting again.
    fn seek(&mut self, to: SeekFrom) -> io::Result<()> {
        let target = match to {
            SeekFrom::Start(target) => Some(target),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(_) => None,
        };
        let target = target.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "a snapshot's end is not known before it is read",
            )
        })?;
        if target < self.position {
            self.stage = Stage::Start;
            self.buffer = Bytes::new();
            self.skip = target;
        } else {
            self.skip += target - self.position;
        }
        self.position = target;
        Ok(())
    }
}

fn frame(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// A received stream that was not yet wholly taken over.
pub fn pending(dir: &Path) -> Result<Option<PathBuf>, EngineError> {
    let path = dir.join(PENDING);
    let exists = path.try_exists().map_err(|e| io_error(&path, &e))?;
    Ok(exists.then_some(path))
}

/// Replaces the state by the stream in `path`, flushes, and removes the file. May be repeated after a crash.
pub fn install(applier: &Applier, dir: &Path, path: &Path) -> Result<Progress, EngineError> {
    // Read once before anything is replaced: a damaged stream must not cost the state.
    let (_, _, rows) = Frames::open(path)?;
    for row in rows {
        row?;
    }
    let (revision, tag, rows) = Frames::open(path)?;
    let progress = decode(&tag)?;
    applier.replace(rows, revision, &tag)?;
    applier.flush()?;
    std::fs::remove_file(path)
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(|e| io_error(path, &e))?;
    Ok(progress)
}

/// The objects of a stream.
struct Frames {
    file: BufReader<File>,
    path: PathBuf,
    done: bool,
}

impl Frames {
    fn open(path: &Path) -> Result<(Revision, Vec<u8>, Frames), EngineError> {
        let file = File::open(path).map_err(|e| io_error(path, &e))?;
        let mut frames = Frames {
            file: BufReader::new(file),
            path: path.to_owned(),
            done: false,
        };
        let mut magic = [0; MAGIC.len()];
        frames.read_exact(&mut magic)?;
        let revision = frames.next_frame()?.unwrap_or_default();
        let tag = frames.next_frame()?;
        match (
            &magic == MAGIC,
            <[u8; 8]>::try_from(revision.as_slice()),
            tag,
        ) {
            (true, Ok(revision), Some(tag)) => {
                Ok((Revision(u64::from_le_bytes(revision)), tag, frames))
            }
            _ => Err(frames.damaged("its head is not that of a snapshot")),
        }
    }

    fn read_exact(&mut self, into: &mut [u8]) -> Result<(), EngineError> {
        let read = self.file.read_exact(into);
        read.map_err(|e| io_error(&self.path, &e))
    }

    fn next_frame(&mut self) -> Result<Option<Vec<u8>>, EngineError> {
        let mut length = [0; 4];
        self.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length == END {
            return Ok(None);
        }
        if length > FRAME_BYTES_MAX {
            return Err(self.damaged("a frame is longer than any object"));
        }
        let mut bytes = vec![0; length as usize];
        self.read_exact(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn object(&mut self) -> Result<Option<(String, Row)>, EngineError> {
        let Some(key) = self.next_frame()? else {
            return Ok(None);
        };
        let key = String::from_utf8(key).map_err(|_| self.damaged("a key is not UTF-8"))?;
        let row = self.next_frame()?;
        let row = row.ok_or_else(|| self.damaged("it ends between a key and its object"))?;
        Ok(Some((key, Row::decode(Bytes::from(row))?)))
    }

    fn damaged(&self, what: &str) -> EngineError {
        EngineError(format!(
            "{}: the snapshot is damaged: {what}",
            self.path.display()
        ))
    }
}

impl Iterator for Frames {
    type Item = Result<(String, Row), EngineError>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let object = self.object().transpose();
        self.done = !matches!(object, Some(Ok(_)));
        object
    }
}

fn io_error(path: &Path, error: &io::Error) -> EngineError {
    EngineError(format!("{}: {error}", path.display()))
}

fn one_way() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a snapshot goes one way")
}

impl AsyncRead for Transfer {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transfer::Outgoing(outgoing) => Poll::Ready(outgoing.read(buf)),
            Transfer::Incoming(file) => Pin::new(file).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transfer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transfer::Outgoing(_) => Poll::Ready(Err(one_way())),
            Transfer::Incoming(file) => Pin::new(file).poll_write(cx, buf),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transfer::Outgoing(_) => Poll::Ready(Ok(())),
            Transfer::Incoming(file) => Pin::new(file).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transfer::Outgoing(_) => Poll::Ready(Ok(())),
            Transfer::Incoming(file) => Pin::new(file).poll_shutdown(cx),
        }
    }
}

impl AsyncSeek for Transfer {
    fn start_seek(self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        match self.get_mut() {
            Transfer::Outgoing(outgoing) => outgoing.seek(to),
            Transfer::Incoming(file) => Pin::new(file).start_seek(to),
        }
    }
    fn poll_complete(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        match self.get_mut() {
            Transfer::Outgoing(outgoing) => Poll::Ready(Ok(outgoing.position)),
            Transfer::Incoming(file) => Poll::Ready(Ok(ready!(Pin::new(file).poll_complete(cx))?)),
        }
    }
}
