//! Changes that are applied and wait to be written to the engine together.

use super::Revision;
use super::engine::{Batch, EngineError};
use super::rows::{self, Head, Row};
use std::collections::BTreeMap;

/// Rows gathered at most; together with [`BYTES_MAX`] the memory that saving writes may cost.
const ROWS_MAX: usize = 2048;
/// Bytes of keys and JSON gathered at most.
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// The newest state of every key changed since the last write to the engine.
#[derive(Debug, Default)]
pub struct Dirty {
    /// `None`: deleted.
    pub rows: BTreeMap<String, Option<Row>>,
    bytes: usize,
    head: Option<Head>,
}

impl Dirty {
    pub fn set(&mut self, key: String, row: Option<Row>) {
        self.bytes += weight(&key, row.as_ref());
        let length = key.len();
        if let Some(old) = self.rows.insert(key, row) {
            self.bytes -= length + old.map_or(0, |row| row.json.len());
        }
    }

    pub fn set_head(&mut self, revision: Revision, tag: &[u8]) {
        self.head = Some(Head {
            revision,
            tag: tag.to_vec(),
        });
    }

    pub fn full(&self) -> bool {
        self.rows.len() >= ROWS_MAX || self.bytes >= BYTES_MAX
    }

    /// Everything as one batch; `None`: there is nothing.
    pub fn batch(&self) -> Result<Option<Batch>, EngineError> {
        let Some(head) = &self.head else {
            return Ok(None);
        };
        let mut batch = Batch::default();
        for (key, row) in &self.rows {
            let row = row.as_ref().map(Row::encode);
            batch.rows.push((rows::object_key(key), row));
        }
        batch.put(rows::HEAD.to_vec(), head.encode()?);
        Ok(Some(batch))
    }
}

fn weight(key: &str, row: Option<&Row>) -> usize {
    key.len() + row.map_or(0, |row| row.json.len())
}
