//! The raft log in files of its own; the vote and the purge position, which change seldom, as rows of the engine.

use super::segments::Segments;
use super::{NodeId, Types};
use crate::store::engine::{Batch, Engine, EngineError};
use crate::store::{Applier, FOREIGN};
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    AnyError, Entry, LogId, LogState, OptionalSend, RaftLogId, RaftLogReader, StorageError,
    StorageIOError, Vote,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

const VOTE: &[u8] = &[FOREIGN, b'v'];
const PURGED: &[u8] = &[FOREIGN, b'p'];

/// The log; clones share it.
#[derive(Debug, Clone)]
pub struct Log {
    engine: Arc<dyn Engine>,
    applier: Arc<Applier>,
    segments: Arc<Mutex<Segments>>,
    tail: Arc<Mutex<Tail>>,
    /// Dropped with the last user of the engine: closing waits for that.
    _lease: mpsc::Sender<()>,
}

/// Where the log ends, and the entries of the newest append, which are about to be read again to be applied.
#[derive(Debug, Default)]
struct Tail {
    last: Option<LogId<NodeId>>,
    purged: Option<LogId<NodeId>>,
    newest: Vec<Entry<Types>>,
}

impl Log {
    /// `dir` holds the log's files; `applier` is asked to make the state durable before the log behind it goes.
    pub fn open(
        dir: &Path,
        engine: Arc<dyn Engine>,
        applier: Arc<Applier>,
        lease: mpsc::Sender<()>,
    ) -> Result<Log, EngineError> {
        let purged: Option<LogId<NodeId>> = read(&*engine, PURGED)?;
        let mut segments = Segments::open(dir)?;
        if let Some(purged) = purged {
            // A crash may have come between the position and the removal.
            segments.purge(purged.index)?;
        }
        let last = match segments.last() {
            Some(index) if purged.is_none_or(|purged| index > purged.index) => {
                let newest = segments.read(index, index + 1)?.pop();
                newest
                    .map(|bytes| decode::<Entry<Types>>(&bytes))
                    .transpose()?
                    .map(|entry| entry.log_id)
            }
            _ => purged,
        };
        let tail = Tail {
            last,
            purged,
            newest: Vec::new(),
        };
        Ok(Log {
            engine,
            applier,
            segments: Arc::new(Mutex::new(segments)),
            tail: Arc::new(Mutex::new(tail)),
            _lease: lease,
        })
    }

    fn tail(&self) -> std::sync::MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the files, off the asynchronous threads.
    async fn files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Segments) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let segments = Arc::clone(&self.segments);
        blocking(move || work(&mut segments.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry<Types>>, StorageError<NodeId>> {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        {
            let tail = self.tail();
            let first = tail.newest.first().map(|entry| entry.log_id.index);
            let last = tail.newest.last().map(|entry| entry.log_id.index);
            if let (Some(first), Some(last)) = (first, last)
                && first <= from
                && to <= last + 1
            {
                let entries = tail.newest.iter();
                return Ok(entries
                    .filter(|entry| (from..to).contains(&entry.log_id.index))
                    .cloned()
                    .collect());
            }
        }
        self.files(move |files| {
            let payloads = files.read(from, to)?;
            payloads.iter().map(|payload| decode(payload)).collect()
        })
        .await
        .map_err(|e| StorageIOError::read_logs(AnyError::new(&e)).into())
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError<NodeId>> {
        let tail = self.tail();
        Ok(LogState {
            last_purged_log_id: tail.purged,
            last_log_id: tail.last,
        })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<NodeId>) -> Result<(), StorageError<NodeId>> {
        let mut batch = Batch::default();
        let bytes =
            encode(&Some(vote)).map_err(|e| StorageIOError::write_vote(AnyError::new(&e)))?;
        batch.put(VOTE.to_vec(), bytes);
        let engine = Arc::clone(&self.engine);
        let done = blocking(move || {
            engine.write(batch)?;
            engine.flush()
        })
        .await;
        done.map_err(|e| StorageIOError::write_vote(AnyError::new(&e)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<NodeId>>, StorageError<NodeId>> {
        read(&*self.engine, VOTE).map_err(|e| StorageIOError::read_vote(AnyError::new(&e)).into())
    }

    /// openraft appends one batch at a time and waits for its callback, so concurrent writers are gathered before they come here (`proposer`).
    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError<NodeId>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry<Types>> = entries.into_iter().collect();
        let mut records = Vec::with_capacity(entries.len());
        for entry in &entries {
            let bytes = encode(entry).map_err(|e| StorageIOError::write_logs(AnyError::new(&e)))?;
            records.push((entry.log_id.index, bytes));
        }
        let done = self.files(move |files| files.append(&records)).await;
        if done.is_ok() {
            let mut tail = self.tail();
            tail.last = entries.last().map(|entry| entry.log_id).or(tail.last);
            tail.newest = entries;
        }
        callback.log_io_completed(done.map_err(std::io::Error::other));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId<NodeId>) -> Result<(), StorageError<NodeId>> {
        let last = self
            .files(move |files| {
                files.truncate(from.index)?;
                let before = files.read(from.index.saturating_sub(1), from.index)?.pop();
                before
                    .map(|bytes| decode::<Entry<Types>>(&bytes))
                    .transpose()
            })
            .await
            .map_err(|e| StorageIOError::write_logs(AnyError::new(&e)))?;
        let mut tail = self.tail();
        tail.newest.clear();
        tail.last = last.map(|entry| entry.log_id).or(tail.purged);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId<NodeId>) -> Result<(), StorageError<NodeId>> {
        let (engine, applier) = (Arc::clone(&self.engine), Arc::clone(&self.applier));
        self.files(move |files| {
            // The entries' effects first: until they are on stable storage the log is all there is of them.
            let mut batch = Batch::default();
            batch.put(PURGED.to_vec(), encode(&Some(upto))?);
            engine.write(batch)?;
            applier.flush()?;
            files.purge(upto.index)
        })
        .await
        .map_err(|e| StorageIOError::write_logs(AnyError::new(&e)))?;
        let mut tail = self.tail();
        tail.newest.retain(|entry| entry.log_id.index > upto.index);
        tail.purged = Some(upto);
        if tail.last.get_log_index() < Some(upto.index) {
            tail.last = Some(upto);
        }
        Ok(())
    }
}

/// An index that may be absent.
trait LogIndex {
    fn get_log_index(&self) -> Option<u64>;
}

impl LogIndex for Option<LogId<NodeId>> {
    fn get_log_index(&self) -> Option<u64> {
        self.as_ref().map(|id| id.get_log_id().index)
    }
}

/// Runs `work` on a thread that may block.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(EngineError(format!("the disk task ended early: {e}"))))
}

pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, EngineError> {
    postcard::to_allocvec(value)
        .map_err(|e| EngineError(format!("a raft row cannot be written: {e}")))
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EngineError> {
    postcard::from_bytes(bytes).map_err(|e| EngineError(format!("a raft row is damaged: {e}")))
}

fn read<T: DeserializeOwned>(engine: &dyn Engine, key: &[u8]) -> Result<Option<T>, EngineError> {
    let bytes = engine.get(key)?;
    let value: Option<Option<T>> = bytes.map(|bytes| decode::<Option<T>>(&bytes)).transpose()?;
    Ok(value.flatten())
}
