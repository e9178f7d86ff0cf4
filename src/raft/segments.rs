//! The log's files: appended to, synced, cut at the end after a crash, removed from the front.
//!
//! Records are `u32 length, u32 CRC-32 of index and payload, u64 index, payload`, little-endian, in files named by their first index.
//! A synchronised append costs the file's last page or two, where an ordered engine writes its pages several times over.

use crate::store::engine::EngineError;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const HEADER_BYTES: usize = 16;
/// Size at which the next file is begun: what is purged goes file by file.
const FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Longest record believed: a group of proposals and one more.
const RECORD_BYTES_MAX: u32 = 32 * 1024 * 1024;

/// All files, oldest first.
#[derive(Debug)]
pub struct Segments {
    dir: PathBuf,
    files: VecDeque<Segment>,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: File,
    first: u64,
    /// Offset and length of each payload; record `first + i` is at `i`.
    places: Vec<(u64, u32)>,
    bytes: u64,
}

impl Segments {
    /// Opens the files in `dir`; a record cut short by a crash ends the log and is removed.
    pub fn open(dir: &Path) -> Result<Segments, EngineError> {
        let failed = |e: io::Error| error(dir, &e);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if let Some(first) = stem.and_then(|stem| stem.parse::<u64>().ok()) {
                paths.push((first, path));
            }
        }
        paths.sort();
        let last = paths.last().map(|(first, _)| *first);
        let mut files: VecDeque<Segment> = VecDeque::new();
        for (first, path) in paths {
            let segment = Segment::open(path, first, Some(first) == last)?;
            if let Some(before) = files.back()
                && before.next() != first
            {
                return Err(EngineError(format!(
                    "{}: the log has a gap before this file: it should begin at {}",
                    segment.path.display(),
                    before.next()
                )));
            }
            files.push_back(segment);
        }
        Ok(Segments {
            dir: dir.to_owned(),
            files,
        })
    }

    /// The newest record's index.
    pub fn last(&self) -> Option<u64> {
        let newest = self
            .files
            .iter()
            .rev()
            .find(|file| !file.places.is_empty())?;
        Some(newest.next() - 1)
    }

    /// Appends consecutive records and returns once they are on stable storage.
    pub fn append(&mut self, records: &[(u64, Vec<u8>)]) -> Result<(), EngineError> {
        let Some((first, _)) = records.first() else {
            return Ok(());
        };
        let fits = self
            .files
            .back()
            .is_some_and(|file| file.bytes < FILE_BYTES && file.next() == *first);
        if !fits {
            self.begin(*first)?;
        }
        let Some(file) = self.files.back_mut() else {
            return Ok(());
        };
        file.append(records).map_err(|e| error(&file.path, &e))
    }

    fn begin(&mut self, first: u64) -> Result<(), EngineError> {
        if let Some(next) = self.files.back().map(Segment::next)
            && next != first
        {
            // Records before a snapshot that was installed: nothing follows them.
            self.remove(|_| true)?;
        }
        let path = self.dir.join(format!("{first:020}.log"));
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)
            .and_then(|file| File::open(&self.dir)?.sync_all().map(|()| file))
            .map_err(|e| error(&path, &e))?;
        self.files.push_back(Segment {
            path,
            file,
            first,
            places: Vec::new(),
            bytes: 0,
        });
        Ok(())
    }

    /// Payloads with `from <= index < to`, in order.
    pub fn read(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, EngineError> {
        let mut payloads = Vec::new();
        for file in &self.files {
            for (index, (offset, length)) in (file.first..).zip(&file.places) {
                if index < from || index >= to {
                    continue;
                }
                let mut payload = vec![0; *length as usize];
                file.file
                    .read_exact_at(&mut payload, *offset)
                    .map_err(|e| error(&file.path, &e))?;
                payloads.push(payload);
            }
        }
        Ok(payloads)
    }

    /// Removes the records from `index` on, durably.
    pub fn truncate(&mut self, index: u64) -> Result<(), EngineError> {
        self.remove(|file| file.first >= index)?;
        if let Some(file) = self.files.back_mut()
            && file.next() > index
        {
            let keep = (index - file.first) as usize;
            let end = file
                .places
                .get(keep)
                .map_or(file.bytes, |(offset, _)| offset - HEADER_BYTES as u64);
            file.file
                .set_len(end)
                .and_then(|()| file.file.sync_all())
                .map_err(|e| error(&file.path, &e))?;
            file.places.truncate(keep);
            file.bytes = end;
        }
        Ok(())
    }

    /// Removes the files that hold nothing after `index`.
    pub fn purge(&mut self, index: u64) -> Result<(), EngineError> {
        self.remove(|file| file.next() <= index.saturating_add(1))
    }

    /// Removes files at one end of the log, durably. In either order a crash in between leaves no gap: what is cut off at the end
    /// goes newest first, and what goes from the front lies before the purge position, which was written before.
    fn remove(&mut self, gone: impl Fn(&Segment) -> bool) -> Result<(), EngineError> {
        let mut removed = false;
        while self.files.front().is_some_and(&gone) {
            removed |= remove_file(self.files.pop_front())?;
        }
        while self.files.back().is_some_and(&gone) {
            removed |= remove_file(self.files.pop_back())?;
        }
        if removed {
            File::open(&self.dir)
                .and_then(|dir| dir.sync_all())
                .map_err(|e| error(&self.dir, &e))?;
        }
        Ok(())
    }
}

fn remove_file(segment: Option<Segment>) -> Result<bool, EngineError> {
    let Some(Segment { path, .. }) = segment else {
        return Ok(false);
    };
    std::fs::remove_file(&path).map_err(|e| error(&path, &e))?;
    Ok(true)
}

impl Segment {
    fn open(path: PathBuf, first: u64, newest: bool) -> Result<Segment, EngineError> {
        let failed = |e: io::Error| error(&path, &e);
        let options = File::options().read(true).write(true).open(&path);
        let mut file = options.map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut places = Vec::new();
        let mut offset = 0;
        while let Some(payload) =
            next_record(&mut file, first + places.len() as u64).map_err(failed)?
        {
            places.push((offset + HEADER_BYTES as u64, payload));
            offset += HEADER_BYTES as u64 + u64::from(payload);
        }
        if offset < length {
            if !newest {
                return Err(EngineError(format!(
                    "{}: damaged at byte {offset}",
                    path.display()
                )));
            }
            tracing::info!(
                "{}: cut at byte {offset}: an append was not finished",
                path.display()
            );
            file.set_len(offset)
                .and_then(|()| file.sync_all())
                .map_err(failed)?;
        }
        Ok(Segment {
            path,
            file,
            first,
            places,
            bytes: offset,
        })
    }

    /// The index after the newest record.
    fn next(&self) -> u64 {
        self.first + self.places.len() as u64
    }

    fn append(&mut self, records: &[(u64, Vec<u8>)]) -> io::Result<()> {
        let mut out = Vec::new();
        let mut places = Vec::with_capacity(records.len());
        for (index, payload) in records {
            let length = payload.len() as u32;
            out.write_all(&length.to_le_bytes())?;
            out.write_all(&checksum(*index, payload).to_le_bytes())?;
            out.write_all(&index.to_le_bytes())?;
            places.push((self.bytes + out.len() as u64, length));
            out.write_all(payload)?;
        }
        self.file.write_all_at(&out, self.bytes)?;
        // The length of the file is part of the data's way back and is synchronised with it (fdatasync(2)).
        self.file.sync_data()?;
        self.bytes += out.len() as u64;
        self.places.extend(places);
        Ok(())
    }
}

/// Length of the payload of the whole and sound record that begins here; `None`: there is none.
fn next_record(file: &mut File, expected: u64) -> io::Result<Option<u32>> {
    let mut header = [0; HEADER_BYTES];
    if !read_whole(file, &mut header)? {
        return Ok(None);
    }
    let (length, rest) = header
        .split_first_chunk::<4>()
        .map_or((0, &header[..]), |(length, rest)| {
            (u32::from_le_bytes(*length), rest)
        });
    let (sum, rest) = rest
        .split_first_chunk::<4>()
        .map_or((0, rest), |(sum, rest)| (u32::from_le_bytes(*sum), rest));
    let index = rest
        .first_chunk::<8>()
        .map(|index| u64::from_le_bytes(*index));
    if index != Some(expected) || length > RECORD_BYTES_MAX {
        return Ok(None);
    }
    let mut payload = vec![0; length as usize];
    let sound = read_whole(file, &mut payload)? && checksum(expected, &payload) == sum;
    Ok(sound.then_some(length))
}

fn read_whole(file: &mut File, into: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(into) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

fn checksum(index: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&index.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

fn error(path: &Path, error: &io::Error) -> EngineError {
    EngineError(format!("{}: {error}", path.display()))
}
