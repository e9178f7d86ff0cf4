//! Group commit: one task gathers the transactions that wait and proposes them as one log entry.

use super::{Outcomes, Proposal, Types, WriteError};
use crate::store::{Key, Op, Txn, TxnOutcome};
use openraft::error::{ClientWriteError, Fatal, RaftError};
use std::collections::HashSet;
use std::path::PathBuf;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Most bytes of one transaction. etcd refuses requests above 1.5 MiB; a transaction may carry several objects.
pub const TXN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Free space below which nothing new is proposed: what is needed to purge, flush and let an operator log in.
pub const FREE_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Transactions that may wait; further writers wait at the door.
const WAITING_MAX: usize = 64;
/// Most transactions in one entry.
const GROUP_TXNS_MAX: usize = 64;
/// No further transaction joins an entry that has reached this: long entries delay everyone in them.
const GROUP_BYTES: usize = 1024 * 1024;
/// Bytes counted per operation besides its key and body.
const OP_BYTES: usize = 16;

/// A transaction with its writer waiting.
#[derive(Debug)]
pub struct Waiting {
    txn: Txn,
    bytes: usize,
    answer: oneshot::Sender<Result<TxnOutcome, WriteError>>,
}

/// The writing side of the store; clones share it.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: mpsc::Sender<Waiting>,
}

impl Writer {
    /// Proposes `txn`; returns after it is durable on a quorum and applied here.
    ///
    /// A caller that stops waiting does not take the transaction back: it may still take effect.
    pub async fn commit(&self, txn: Txn) -> Result<TxnOutcome, WriteError> {
        let bytes = validate(&txn)?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { txn, bytes, answer };
        self.queue
            .send(waiting)
            .await
            .map_err(|_| WriteError::Closed)?;
        answered.await.unwrap_or(Err(WriteError::Closed))
    }
}

/// Checks what the state machine relies on; returns the size in bytes.
fn validate(txn: &Txn) -> Result<usize, WriteError> {
    let mut bytes = 0;
    let mut changed: HashSet<&Key> = HashSet::new();
    for op in &txn.ops {
        let (Op::Put { key, .. } | Op::Delete { key, .. } | Op::Check { key, .. }) = op;
        bytes += OP_BYTES + key.0.len();
        if let Op::Put { body, .. } = op {
            bytes += body.json.len();
            if body.revision_at as usize > body.json.len() {
                return Err(WriteError::Invalid(format!(
                    "{}: the revision's place, {}, is outside the body of {} bytes",
                    key.0,
                    body.revision_at,
                    body.json.len()
                )));
            }
        }
        if !matches!(op, Op::Check { .. }) && !changed.insert(key) {
            return Err(WriteError::Invalid(format!("{}: changed twice", key.0)));
        }
    }
    if bytes > TXN_BYTES_MAX {
        return Err(WriteError::TooLarge {
            bytes,
            bytes_max: TXN_BYTES_MAX,
        });
    }
    Ok(bytes)
}

/// The task that owns the queue.
#[derive(Debug)]
pub struct Proposer {
    queue: mpsc::Receiver<Waiting>,
    dir: PathBuf,
}

impl Proposer {
    pub fn new(dir: PathBuf) -> (Writer, Proposer) {
        let (sender, queue) = mpsc::channel(WAITING_MAX);
        (Writer { queue: sender }, Proposer { queue, dir })
    }

    /// Proposes until `stop`; whoever still waits then gets `Closed`.
    pub async fn run(mut self, raft: openraft::Raft<Types>, stop: CancellationToken) {
        loop {
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                first = self.queue.recv() => first,
            };
            let Some(first) = first else { break };
            let group = self.gather(first).await;
            self.propose(&raft, group).await;
        }
        self.queue.close();
        while let Ok(waiting) = self.queue.try_recv() {
            // A writer that went away needs no answer.
            let _ = waiting.answer.send(Err(WriteError::Closed));
        }
    }

    async fn gather(&mut self, first: Waiting) -> Vec<Waiting> {
        let mut bytes = first.bytes;
        let mut group = vec![first];
        // Writers answered a moment ago are about to come back with their next transaction: let them.
        tokio::task::yield_now().await;
        while group.len() < GROUP_TXNS_MAX && bytes < GROUP_BYTES {
            let Ok(next) = self.queue.try_recv() else {
                break;
            };
            bytes += next.bytes;
            group.push(next);
        }
        group
    }

    async fn propose(&self, raft: &openraft::Raft<Types>, group: Vec<Waiting>) {
        let (txns, answers): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|waiting| (waiting.txn, waiting.answer))
            .unzip();
        let result = match self.room() {
            Ok(()) => write(raft, Proposal { txns }).await,
            Err(full) => Err(full),
        };
        let mut outcomes = result.map(|outcomes| outcomes.0.into_iter());
        for answer in answers {
            let one = match &mut outcomes {
                Ok(outcomes) => outcomes
                    .next()
                    .ok_or_else(|| WriteError::Disk("an entry lost its outcomes".to_owned())),
                Err(error) => Err(error.again()),
            };
            // A writer that went away needs no answer.
            let _ = answer.send(one);
        }
    }

    /// Turns writes away before the disk is so full that the log itself would fail, which is final.
    fn room(&self) -> Result<(), WriteError> {
        let stat = nix::sys::statvfs::statvfs(&self.dir)
            .map_err(|e| WriteError::Disk(format!("{}: {e}", self.dir.display())))?;
        #[allow(clippy::useless_conversion)] // 32 bits wide on some targets
        let free =
            u64::from(stat.blocks_available()).saturating_mul(u64::from(stat.fragment_size()));
        if free < FREE_BYTES_MIN {
            return Err(WriteError::Disk(format!(
                "no space left on device: {}: {free} bytes are free, {FREE_BYTES_MIN} are needed; free some space and try again",
                self.dir.display()
            )));
        }
        Ok(())
    }
}

impl WriteError {
    /// The same error for the next writer of a group.
    fn again(&self) -> WriteError {
        match self {
            WriteError::TooLarge { bytes, bytes_max } => WriteError::TooLarge {
                bytes: *bytes,
                bytes_max: *bytes_max,
            },
            WriteError::Invalid(what) => WriteError::Invalid(what.clone()),
            WriteError::NoLeader => WriteError::NoLeader,
            WriteError::Disk(what) => WriteError::Disk(what.clone()),
            WriteError::Closed => WriteError::Closed,
        }
    }
}

async fn write(raft: &openraft::Raft<Types>, proposal: Proposal) -> Result<Outcomes, WriteError> {
    match raft.client_write(proposal).await {
        Ok(response) => Ok(response.data),
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Err(WriteError::NoLeader),
        Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(e))) => {
            Err(WriteError::Invalid(e.to_string()))
        }
        Err(RaftError::Fatal(Fatal::Stopped)) => Err(WriteError::Closed),
        Err(RaftError::Fatal(fatal)) => Err(WriteError::Disk(format!(
            "{fatal}; mend the disk and start the node again"
        ))),
    }
}
