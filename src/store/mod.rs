//! Everything the cluster knows, by key and revision, in memory-bounded form on disk.
//!
//! In: transactions, from whoever orders them and makes them durable first ([`Applier`]); keys and revisions, from
//! everyone who reads ([`Store`]).
//!
//! Out: objects as stored, bytes copied and never decoded; watches; `Compacted` for what history no longer holds.
//!
//! Invariants: a transaction takes effect at one revision or not at all; revisions only rise; a list shows exactly one
//! revision, also while writes go on; changes gather in memory and reach the engine in large batches, so that an object that
//! changes often is written seldom; the head row (revision and the caller's tag) is written in the same atomic batch as the
//! objects it speaks of; memory is bounded by the profile (engine cache, history window).
//!
//! It never knows about raft, HTTP, Kubernetes kinds or JSON: an object is bytes with a place for its revision.
//! What it writes is not flushed here; its owner can replay it, and calls [`Applier::flush`] before it forgets how.

mod apply;
mod dirty;
pub mod engine;
mod list;
mod rows;
mod sled_engine;
mod watch;
mod window;

#[cfg(test)]
mod tests;

pub use apply::Applier;
pub use rows::FOREIGN;
pub(crate) use rows::Row;
pub use sled_engine::SledEngine;
pub use watch::Watch;

use bytes::Bytes;
use dirty::Dirty;
use engine::{Engine, EngineError};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use window::Window;

/// The cluster revision: one number for all keys, raised by one with every committed transaction.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Revision(pub u64);

/// `<resource>/<namespace>/<name>`, or `<resource>/<name>` for what has no namespace; the resource carries its
/// group where it has one (`pods/default/web`, `deployments.apps/default/web`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(pub String);

/// An object as stored: final JSON with `metadata.resourceVersion` inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub key: Key,
    /// Revision of the last change: the object's resourceVersion.
    pub revision: Revision,
    pub json: Bytes,
}

/// An object on its way in: JSON whose `resourceVersion` is still to be filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    pub json: Bytes,
    /// Offset in `json` at which the decimal revision is inserted (between the two quotes of `"resourceVersion":""`).
    pub revision_at: u32,
}

/// What must hold of a key for the transaction to take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    Absent,
    /// The key's last change has this revision.
    Revision(Revision),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    Put {
        key: Key,
        body: Body,
        expect: Expect,
    },
    Delete {
        key: Key,
        expect: Expect,
    },
    /// No change; only the condition.
    Check {
        key: Key,
        expect: Expect,
    },
}

/// Changes that take effect together, at one revision, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Txn {
    pub ops: Vec<Op>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TxnOutcome {
    Committed {
        revision: Revision,
    },
    /// The first operation whose condition did not hold; nothing was changed.
    Conflict {
        key: Key,
        current: Option<Revision>,
    },
}

/// One change, as a watcher sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: Key,
    pub revision: Revision,
    /// The object after the change; `None`: deleted. For a deletion the last state is in `before`,
    /// and watchers show it with `revision` as its resourceVersion.
    pub after: Option<Bytes>,
    /// The object before the change; `None`: created.
    pub before: Option<Bytes>,
}

#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Only keys that start with this.
    pub prefix: String,
    /// The state as of this revision; `None`: now.
    pub at: Option<Revision>,
    /// Only keys after this one (continue token).
    pub after: Option<Key>,
    /// Most items of the page; `None` or 0: all.
    pub limit: Option<usize>,
}

#[derive(Debug, Clone)]
pub struct Page {
    pub items: Vec<Stored>,
    /// The revision the page shows.
    pub revision: Revision,
    /// True when `limit` cut the list.
    pub more: bool,
    /// How many keys remain after this page, where it is cheap to know.
    pub remaining: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The history no longer reaches back this far; list anew (HTTP 410).
    #[error("revision {} is gone: history starts at {}; list again and watch from the list's resourceVersion", asked.0, oldest.0)]
    Compacted { asked: Revision, oldest: Revision },
    #[error("revision {} is in the future: the store is at {}", asked.0, current.0)]
    Future { asked: Revision, current: Revision },
    #[error("store on disk: {0}")]
    Disk(#[from] EngineError),
}

/// The reading side of the store; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// What readers, watches and the applier share.
#[derive(Debug)]
struct Shared {
    engine: Arc<dyn Engine>,
    /// Locked for moments, never across the engine.
    window: Mutex<Window>,
    /// Applied and not yet in the engine. Read before the engine: rows leave it only after the engine has them.
    dirty: Mutex<Dirty>,
    /// Held by the applier while it writes, so that a reader can hold writes off as a last resort.
    applying: Mutex<()>,
    /// Wakes watches.
    news: tokio::sync::watch::Sender<News>,
}

/// What watches are woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    revision: Revision,
    closed: bool,
}

impl Shared {
    /// The window; a panic elsewhere cannot leave it half changed in a way that matters more than stopping all reads.
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn dirty(&self) -> MutexGuard<'_, Dirty> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn row(&self, key: &Key) -> Result<Option<Row>, EngineError> {
        let dirty = self.dirty().rows.get(&key.0).cloned();
        if let Some(row) = dirty {
            return Ok(row);
        }
        let bytes = self.engine.get(&rows::object_key(&key.0))?;
        bytes.map(Row::decode).transpose()
    }
}

impl Store {
    /// The revision of the newest applied change.
    pub fn revision(&self) -> Revision {
        self.shared.window().revision()
    }

    /// The object under `key`, as it is now.
    pub fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let row = self.shared.row(key)?;
        Ok(row.map(|row| Stored {
            key: key.clone(),
            revision: row.revision,
            json: row.json,
        }))
    }

    /// One page of the objects whose keys start with a prefix, in key order.
    pub fn list(&self, options: &ListOptions) -> Result<Page, StoreError> {
        list::list(&self.shared, options)
    }

    /// Rows with their envelopes at `revision`, for whoever copies the whole state.
    pub(crate) fn rows_at(
        &self,
        revision: Revision,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, StoreError> {
        list::rows_at(&self.shared, revision, "", after, limit)
    }

    /// All changes after `from` to keys that start with `prefix`, oldest first, then live ones.
    pub fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, StoreError> {
        Watch::start(&self.shared, prefix, from)
    }

    /// Forgets history up to `revision`; later watches and lists at or before it get `Compacted`.
    /// The current revision always stays valid: nothing is missing after it.
    pub fn compact(&self, revision: Revision) {
        self.shared.window().compact(revision);
    }

    /// Ends all watches.
    pub fn close(&self) {
        self.shared.news.send_modify(|news| news.closed = true);
    }
}
