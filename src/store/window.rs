//! The history window: the newest changes, in memory, bounded, shared by all watches and by lists at older revisions.

use super::rows::Row;
use super::{Change, Revision, StoreError};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// Bookkeeping bytes counted per change besides its key and values.
const CHANGE_BYTES: usize = 128;

/// A change, and what undoing it takes.
#[derive(Debug, Clone)]
pub struct Past {
    pub change: Change,
    /// Shares its JSON with `change.before`.
    pub before: Option<Row>,
}

/// Changes with `floor < revision <= revision()`, complete and in order.
#[derive(Debug)]
pub struct Window {
    changes: VecDeque<Past>,
    /// Sequence number of `changes[0]`; a change keeps its number for life.
    first: u64,
    /// Every change after this revision is here.
    floor: Revision,
    revision: Revision,
    bytes: usize,
    entries_max: usize,
    bytes_max: usize,
}

impl Window {
    pub fn new(revision: Revision, entries_max: usize, bytes_max: usize) -> Window {
        Window {
            changes: VecDeque::new(),
            first: 0,
            floor: revision,
            revision,
            bytes: 0,
            entries_max,
            bytes_max,
        }
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Adds changes that are about to be written: lists can undo them from now on, nothing else sees them yet.
    pub fn stage(&mut self, changes: Vec<Past>) {
        for past in changes {
            debug_assert!(past.change.revision > self.revision);
            self.bytes += weight(&past.change);
            self.changes.push_back(past);
        }
    }

    /// The staged changes, up to `revision`, are written.
    pub fn publish(&mut self, revision: Revision) {
        debug_assert!(revision >= self.revision);
        self.revision = revision;
        while self.changes.len() > self.entries_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.changes.front().map(|p| p.change.revision) else {
                break;
            };
            self.forget(oldest);
        }
    }

    /// Forgets so that `revision` itself can no longer be asked for; the current revision always can.
    pub fn compact(&mut self, revision: Revision) {
        let floor = Revision(revision.0.saturating_add(1)).min(self.revision);
        self.forget(floor);
    }

    /// Starts anew at `revision` with nothing before it.
    pub fn reset(&mut self, revision: Revision) {
        self.first += self.changes.len() as u64;
        self.changes.clear();
        self.bytes = 0;
        self.floor = revision;
        self.revision = revision;
    }

    /// Drops all changes at or before `upto`.
    fn forget(&mut self, upto: Revision) {
        while let Some(past) = self.changes.front() {
            if past.change.revision > upto {
                break;
            }
            self.bytes -= weight(&past.change);
            self.changes.pop_front();
            self.first += 1;
        }
        self.floor = self.floor.max(upto);
    }

    /// Whether all changes after `asked` are known.
    pub fn check(&self, asked: Revision) -> Result<(), StoreError> {
        if asked < self.floor {
            return Err(StoreError::Compacted {
                asked,
                oldest: self.floor,
            });
        }
        if asked > self.revision {
            return Err(StoreError::Future {
                asked,
                current: self.revision,
            });
        }
        Ok(())
    }

    /// Sequence number of the first change after `revision`.
    pub fn seek(&self, revision: Revision) -> Result<u64, StoreError> {
        self.check(revision)?;
        let index = self
            .changes
            .partition_point(|p| p.change.revision <= revision);
        Ok(self.first + index as u64)
    }

    /// The changes from sequence number `from` on; `None`: some of them are forgotten.
    pub fn since(&self, from: u64) -> Option<impl Iterator<Item = &Change>> {
        let skip = usize::try_from(from.checked_sub(self.first)?).ok()?;
        let start = skip.min(self.changes.len());
        let published = self.revision;
        let changes = self.changes.range(start..).map(|past| &past.change);
        Some(changes.take_while(move |change| change.revision <= published))
    }

    pub fn floor(&self) -> Revision {
        self.floor
    }

    /// What every key that changed after `revision` held at `revision`, for keys that start with `prefix` and for which `keep` holds.
    pub fn undo(
        &self,
        revision: Revision,
        prefix: &str,
        keep: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, Option<Row>>, StoreError> {
        self.check(revision)?;
        let start = self
            .changes
            .partition_point(|p| p.change.revision <= revision);
        let mut before = BTreeMap::new();
        for past in self.changes.range(start..) {
            let key = past.change.key.0.as_str();
            if key.starts_with(prefix) && keep(key) && !before.contains_key(key) {
                before.insert(key.to_owned(), past.before.clone());
            }
        }
        Ok(before)
    }
}

fn weight(change: &Change) -> usize {
    // `before` is the `after` of an older change or about to leave: counted too, so that the bound holds in the worst case.
    let values = [&change.after, &change.before];
    let bytes: usize = values.into_iter().flatten().map(Bytes::len).sum();
    CHANGE_BYTES + change.key.0.len() + bytes
}
