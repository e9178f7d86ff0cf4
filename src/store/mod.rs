//! Everything the cluster knows, by key and revision, in memory-bounded form on disk.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

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
    Disk(String),
}

/// The reading side of the store; clones share it.
#[derive(Debug, Clone)]
pub struct Store {}

impl Store {
    /// The revision of the newest applied change.
    pub fn revision(&self) -> Revision {
        todo!()
    }
    pub fn get(&self, _key: &Key) -> Result<Option<Stored>, StoreError> {
        todo!()
    }
    pub fn list(&self, _options: &ListOptions) -> Result<Page, StoreError> {
        todo!()
    }
    /// All changes after `from` to keys that start with `prefix`, oldest first, then live ones.
    pub fn watch(&self, _prefix: &str, _from: Revision) -> Result<Watch, StoreError> {
        todo!()
    }
    /// Forgets history up to `revision`; later watches and lists at or before it get `Compacted`.
    pub fn compact(&self, _revision: Revision) {
        todo!()
    }
}

/// A running watch. Each has a bounded queue; one that falls behind history ends with `Compacted`.
#[derive(Debug)]
pub struct Watch {}

impl Watch {
    /// Waits for the next change. `Ok(None)`: the store is shutting down.
    pub async fn next(&mut self) -> Result<Option<Change>, StoreError> {
        todo!()
    }
    /// Everything up to this revision has been delivered by `next` (for bookmarks).
    pub fn progress(&self) -> Revision {
        todo!()
    }
}
