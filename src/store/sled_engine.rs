//! sled behind [`Engine`]: the only file that names it.

use super::engine::{Batch, Engine, EngineError, Rows};
use bytes::Bytes;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes per segment of sled's log. sled's default of 512 KiB fits its cleaner to servers; smaller ones are rewritten
/// in smaller steps, and a small board's store is a few MiB.
const SEGMENT_BYTES: usize = 256 * 1024;

/// Name of sled's data file in its directory.
const DATA: &str = "db";

/// One sled database with one tree.
#[derive(Debug)]
pub struct SledEngine {
    db: sled::Db,
    /// sled's one data file. On Linux sled's own flush is sync_file_range(2), which leaves the file's metadata and the
    /// device's cache alone and so does not survive a power cut; this handle is there for a real fsync.
    data: File,
    /// Where sled puts pages too large for its log, one file each, and never synchronises them.
    blobs: PathBuf,
    /// Blobs up to this number are on stable storage; sled numbers them upwards. Locked while a batch is written.
    blobs_synced: Mutex<i64>,
}

impl SledEngine {
    /// Opens or creates the database in `dir`.
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<SledEngine, EngineError> {
        let db = sled::Config::new()
            .path(dir)
            .mode(sled::Mode::LowSpace)
            .cache_capacity(cache_bytes)
            // An idle store writes nothing; every flush is ours.
            .flush_every_ms(None)
            .segment_size(SEGMENT_BYTES)
            .open()?;
        // What was just created must still have a name after a power cut.
        File::open(dir)?.sync_all()?;
        let data = File::open(dir.join(DATA))?;
        Ok(SledEngine {
            db,
            data,
            blobs: dir.join("blobs"),
            blobs_synced: Mutex::new(i64::MIN),
        })
    }

    fn blobs_synced(&self) -> MutexGuard<'_, i64> {
        self.blobs_synced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.db.get(key)?.map(|v| Bytes::copy_from_slice(&v)))
    }

    fn range(&self, from: &[u8], to: &[u8]) -> Rows<'_> {
        if from >= to {
            return Box::new(std::iter::empty());
        }
        Box::new(self.db.range(from..to).map(|row| {
            let (k, v) = row?;
            Ok((Bytes::copy_from_slice(&k), Bytes::copy_from_slice(&v)))
        }))
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        let mut rows = sled::Batch::default();
        for (key, value) in batch.rows {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(key),
            }
        }
        let _writing = self.blobs_synced();
        Ok(self.db.apply_batch(rows)?)
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.db.flush()?;
        let (blobs, synced) = {
            // No write is under way while the directory is read, so every blob found is whole.
            let synced = self.blobs_synced();
            (blobs_after(&self.blobs, *synced)?, *synced)
        };
        if let Some(highest) = blobs.iter().copied().max() {
            sync_blobs(&self.blobs, &blobs)?;
            *self.blobs_synced() = highest.max(synced);
        }
        self.data.sync_all()?;
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64, EngineError> {
        Ok(self.db.size_on_disk()?)
    }
}

/// The blobs numbered above `synced`.
fn blobs_after(dir: &Path, synced: i64) -> Result<Vec<i64>, EngineError> {
    let mut blobs = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse::<i64>().ok());
        blobs.extend(number.filter(|number| *number > synced));
    }
    Ok(blobs)
}

fn sync_blobs(dir: &Path, blobs: &[i64]) -> Result<(), EngineError> {
    for number in blobs {
        match File::open(dir.join(number.to_string())) {
            Ok(file) => file.sync_all()?,
            // Replaced by a newer one meanwhile.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(File::open(dir)?.sync_all()?)
}

impl From<sled::Error> for EngineError {
    fn from(error: sled::Error) -> Self {
        EngineError(error.to_string())
    }
}

impl From<std::io::Error> for EngineError {
    fn from(error: std::io::Error) -> Self {
        EngineError(error.to_string())
    }
}
