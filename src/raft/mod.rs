//! openraft over files of its own and the store: every write is a proposal, durable on a quorum before it is acknowledged.
//!
//! In: transactions from the API ([`Writer::commit`]). Out: their outcomes, after they are durable on a quorum and applied here;
//! the [`crate::store::Store`] to read from.
//!
//! Invariants: a transaction is acknowledged only after its log entry was flushed; concurrent ones share an entry and a
//! flush (`proposer`); applied state is written unflushed with the log position it stands for, and is flushed before the
//! log behind it is purged; an idle member writes nothing (a single voter's heartbeats go nowhere, the committed position is not
//! saved: at start the log behind the last applied position is applied again).
//!
//! When the disk refuses: below [`FREE_BYTES_MIN`] of free space proposals are turned away with [`WriteError::Disk`]
//! before they reach the log, and are taken again once there is space. An error inside the log or state machine is final for
//! openraft: its core stops. Then every write gets [`WriteError::Disk`] with that cause until the node is started anew; reads and
//! watches of what is applied go on.
//!
//! It never knows about HTTP, kinds or what a transaction means.

mod log;
mod machine;
mod network;
mod open;
mod proposer;
mod segments;
#[cfg(test)]
mod tests;
mod transfer;

use crate::store::{Txn, TxnOutcome};
use serde::{Deserialize, Serialize};

pub use open::Raft;
pub use proposer::{FREE_BYTES_MIN, TXN_BYTES_MAX, Writer};

/// Several transactions, ordered, in one log entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub txns: Vec<Txn>,
}

/// One outcome per transaction of the entry; none for entries of raft's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcomes(pub Vec<TxnOutcome>);

openraft::declare_raft_types!(
    /// The types openraft works with here.
    pub Types:
        D = Proposal,
        R = Outcomes,
        SnapshotData = transfer::Transfer,
);

/// A voter's number.
pub type NodeId = u64;

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("the transaction is {bytes} bytes, more than the {bytes_max} one proposal may hold")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// The transaction contradicts itself; a defect of the caller.
    #[error("the transaction is not well formed: {0}")]
    Invalid(String),
    #[error("no leader to write through right now; try again")]
    NoLeader,
    /// Nothing is acknowledged. Where the log had the entry already, it takes effect when the node is started anew.
    #[error("the disk refused the write: {0}")]
    Disk(String),
    #[error("the node is shutting down")]
    Closed,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path}: another process holds this store; stop it or choose another data directory")]
    Locked { path: String },
    #[error("{path}: cannot open the store: {cause}")]
    Open { path: String, cause: String },
}
