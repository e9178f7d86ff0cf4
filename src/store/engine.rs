//! The narrow door to the disk: ordered bytes to bytes, atomic batches, an explicit flush.
//!
//! Everything above names only this trait, so that an engine can be measured against another. A consistent view of an
//! older moment is not asked of the engine: [`super::Store`] rolls changes back from its history.

use bytes::Bytes;

/// What an engine's disk refused.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(pub String);

/// A key and its value, as stored.
pub type Pair = (Bytes, Bytes);

/// Rows in ascending order of their keys.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<Pair, EngineError>> + 'a>;

/// Puts and deletions that reach the disk all or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    /// `None` deletes.
    pub rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.rows.push((key, Some(value)));
    }
    pub fn delete(&mut self, key: Vec<u8>) {
        self.rows.push((key, None));
    }
}

/// An ordered key-value engine.
pub trait Engine: std::fmt::Debug + Send + Sync + 'static {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Rows with `from <= key < to`, none where `from >= to`. Rows written meanwhile may or may not appear.
    fn range(&self, from: &[u8], to: &[u8]) -> Rows<'_>;

    /// Applies `batch` atomically, also with respect to a crash. Later batches never survive a crash that an earlier
    /// one did not survive.
    fn write(&self, batch: Batch) -> Result<(), EngineError>;

    /// Returns once everything written before is on stable storage. Writes nothing where nothing is outstanding.
    fn flush(&self) -> Result<(), EngineError>;

    /// Bytes the engine's files occupy.
    fn size_on_disk(&self) -> Result<u64, EngineError>;
}
