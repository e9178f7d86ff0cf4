//! The state machine: hands committed entries to the store's applier and remembers how far it got.

use super::log::{blocking, decode, encode};
use super::transfer::{self, Transfer};
use super::{NodeId, Outcomes, Types};
use crate::store::Applier;
use crate::store::engine::EngineError;
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{
    AnyError, BasicNode, Entry, EntryPayload, LogId, OptionalSend, RaftSnapshotBuilder,
    SnapshotMeta, StorageError, StorageIOError, StoredMembership,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;

/// How far the state is, written in the same atomic batch as the state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub applied: Option<LogId<NodeId>>,
    pub membership: StoredMembership<NodeId, BasicNode>,
}

/// The one state machine.
#[derive(Debug)]
pub struct Machine {
    applier: Arc<Applier>,
    progress: Progress,
    dir: PathBuf,
    _lease: mpsc::Sender<()>,
}

impl Machine {
    /// `tag` is what the applier found beside the newest state; `dir` takes snapshots on their way in.
    pub fn open(
        applier: Arc<Applier>,
        tag: &[u8],
        dir: PathBuf,
        lease: mpsc::Sender<()>,
    ) -> Result<Machine, EngineError> {
        let mut progress = match tag {
            [] => Progress::default(),
            tag => decode(tag)?,
        };
        // A crash in the middle of taking a snapshot over: the file is complete, so take it over again.
        if let Some(pending) = transfer::pending(&dir)? {
            progress = transfer::install(&applier, &dir, &pending)?;
        }
        Ok(Machine {
            applier,
            progress,
            dir,
            _lease: lease,
        })
    }

    /// The state as of now, described; its rows are read only when someone reads the transfer.
    fn snapshot(&self) -> Result<Option<Snapshot<Types>>, EngineError> {
        let Some(applied) = self.progress.applied else {
            return Ok(None);
        };
        let store = self.applier.store();
        Ok(Some(Snapshot {
            meta: SnapshotMeta {
                last_log_id: Some(applied),
                last_membership: self.progress.membership.clone(),
                snapshot_id: format!("{applied}"),
            },
            snapshot: Box::new(Transfer::outgoing(store, encode(&self.progress)?)),
        }))
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<NodeId>>, StoredMembership<NodeId, BasicNode>), StorageError<NodeId>>
    {
        let Progress {
            applied,
            membership,
        } = self.progress.clone();
        Ok((applied, membership))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcomes>, StorageError<NodeId>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut progress = self.progress.clone();
        let mut txns = Vec::new();
        let mut counts = Vec::new();
        for entry in entries {
            progress.applied = Some(entry.log_id);
            let before = txns.len();
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(proposal) => txns.extend(proposal.txns),
                EntryPayload::Membership(membership) => {
                    progress.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            counts.push(txns.len() - before);
        }
        let applier = Arc::clone(&self.applier);
        let tag = encode(&progress)
            .map_err(|e| StorageIOError::write_state_machine(AnyError::new(&e)))?;
        let outcomes = blocking(move || applier.apply(&txns, &tag))
            .await
            .map_err(|e| StorageIOError::write_state_machine(AnyError::new(&e)))?;
        self.progress = progress;
        let mut outcomes = outcomes.into_iter();
        Ok(counts
            .into_iter()
            .map(|count| Outcomes(outcomes.by_ref().take(count).collect()))
            .collect())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            snapshot: self.snapshot(),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Transfer>, StorageError<NodeId>> {
        let transfer = Transfer::incoming(&self.dir).await;
        transfer
            .map(Box::new)
            .map_err(|e| StorageIOError::write_snapshot(None, AnyError::new(&e)).into())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<NodeId, BasicNode>,
        snapshot: Box<Transfer>,
    ) -> Result<(), StorageError<NodeId>> {
        let error = |e: EngineError| {
            StorageIOError::write_snapshot(Some(meta.signature()), AnyError::new(&e))
        };
        let progress = Progress {
            applied: meta.last_log_id,
            membership: meta.last_membership.clone(),
        };
        let file = snapshot.finish(&self.dir).await.map_err(error)?;
        let (applier, dir) = (Arc::clone(&self.applier), self.dir.clone());
        let installed = blocking(move || transfer::install(&applier, &dir, &file)).await;
        let installed = installed.map_err(error)?;
        if installed.applied != progress.applied {
            let cause = EngineError(format!(
                "the snapshot holds the state at {:?}, announced was {:?}",
                installed.applied, progress.applied
            ));
            return Err(error(cause).into());
        }
        self.progress = installed;
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<Snapshot<Types>>, StorageError<NodeId>> {
        self.snapshot()
            .map_err(|e| StorageIOError::read_snapshot(None, AnyError::new(&e)).into())
    }
}

/// A snapshot is the state on disk and needs no building; purging the log flushes that state first.
#[derive(Debug)]
pub struct Builder {
    snapshot: Result<Option<Snapshot<Types>>, EngineError>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError<NodeId>> {
        let taken = std::mem::replace(&mut self.snapshot, Ok(None));
        match taken {
            Ok(Some(snapshot)) => Ok(snapshot),
            Ok(None) => Err(StorageIOError::read_snapshot(
                None,
                AnyError::error("nothing is applied yet, or this builder was used before"),
            )
            .into()),
            Err(e) => Err(StorageIOError::read_snapshot(None, AnyError::new(&e)).into()),
        }
    }
}
