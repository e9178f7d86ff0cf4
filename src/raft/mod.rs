//! openraft over sled: every write is a proposal, durable on a quorum before it is acknowledged.

use crate::profile::StoreProfile;
use crate::store::{Store, Txn, TxnOutcome};
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("the transaction is {bytes} bytes, more than the {bytes_max} one proposal may hold")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("no leader to write through right now; try again")]
    NoLeader,
    #[error("the disk refused the write: {0}")]
    Disk(String),
    #[error("the node is shutting down")]
    Closed,
}

/// The writing side of the store; clones share it.
#[derive(Debug, Clone)]
pub struct Writer {}

impl Writer {
    /// Proposes `txn`; returns after it is durable on a quorum and applied here.
    pub async fn commit(&self, _txn: Txn) -> Result<TxnOutcome, WriteError> {
        todo!()
    }
}

/// This node's raft member.
#[derive(Debug)]
pub struct Raft {
    pub store: Store,
    pub writer: Writer,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path}: another process holds this store; stop it or choose another data directory")]
    Locked { path: String },
    #[error("{path}: cannot open the store: {cause}")]
    Open { path: String, cause: String },
}

impl Raft {
    /// Opens or creates the store in `dir` and becomes leader of a one-voter cluster.
    pub async fn open(_dir: &Path, _profile: &StoreProfile) -> Result<Raft, OpenError> {
        todo!()
    }
    /// Flushes everything and stops.
    pub async fn close(self) {
        todo!()
    }
}
