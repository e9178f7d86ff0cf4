//! Opening and closing this node's raft member.

use super::log::{Log, blocking};
use super::machine::Machine;
use super::network::Alone;
use super::proposer::{Proposer, Writer};
use super::{NodeId, OpenError, Types};
use crate::profile::StoreProfile;
use crate::store::engine::Engine;
use crate::store::{Applier, SledEngine, Store};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use openraft::{BasicNode, Config, ServerState, SnapshotPolicy};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The one voter.
const SELF: NodeId = 1;
/// Between a leader's signs of life, milliseconds; a cluster of one sends none.
const HEARTBEAT_MS: u64 = 150;
/// Silence after which a voter stands for election, milliseconds: at least and at most. Budget: leader killed to next write in 1.5 s.
const ELECTION_MS: (u64, u64) = (400, 800);

/// This node's raft member.
#[derive(Debug)]
pub struct Raft {
    pub store: Store,
    pub writer: Writer,
    member: Member,
    engine: Arc<dyn Engine>,
    applier: Arc<Applier>,
    proposer: JoinHandle<()>,
    flusher: JoinHandle<()>,
    stop: CancellationToken,
    /// Ends once log and state machine are dropped.
    leases: mpsc::Receiver<()>,
    lock: Flock<File>,
}

/// openraft's handle, which does not describe itself.
struct Member(openraft::Raft<Types>);

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Member")
    }
}

impl Raft {
    /// Opens or creates the store in `dir` and becomes leader of a one-voter cluster.
    /// Returns once everything durable in the log is applied.
    pub async fn open(dir: &Path, profile: &StoreProfile) -> Result<Raft, OpenError> {
        let failed = |cause: &dyn Display| OpenError::Open {
            path: dir.display().to_string(),
            cause: cause.to_string(),
        };
        std::fs::create_dir_all(dir).map_err(|e| failed(&e))?;
        let lock = lock(dir)?;
        let (path, cache_bytes) = (dir.join("db"), profile.cache_bytes);
        let engine: Arc<dyn Engine> =
            tokio::task::spawn_blocking(move || SledEngine::open(&path, cache_bytes))
                .await
                .map_err(|e| failed(&e))?
                .map(Arc::new)
                .map_err(|e| failed(&e))?;
        let (lease, leases) = mpsc::channel(1);
        let (applier, tag) = Applier::open(
            Arc::clone(&engine),
            profile.history_entries,
            profile.history_bytes,
        )
        .map_err(|e| failed(&e))?;
        let store = applier.store();
        let applier = Arc::new(applier);
        let log = Log::open(
            &dir.join("log"),
            Arc::clone(&engine),
            Arc::clone(&applier),
            lease.clone(),
        )
        .map_err(|e| failed(&e))?;
        let machine = Machine::open(Arc::clone(&applier), &tag, dir.to_owned(), lease)
            .map_err(|e| failed(&e))?;
        let config = Arc::new(config(profile).map_err(|e| failed(&e))?);
        let raft = openraft::Raft::<Types>::new(SELF, config, Alone, log, machine)
            .await
            .map_err(|e| failed(&e))?;
        if !raft.is_initialized().await.map_err(|e| failed(&e))? {
            let members = BTreeMap::from([(SELF, BasicNode::default())]);
            raft.initialize(members).await.map_err(|e| failed(&e))?;
        }
        // Leading, and nothing left to apply: from here on the store shows every acknowledged write.
        raft.wait(None)
            .metrics(
                |m| {
                    m.state == ServerState::Leader
                        && m.last_log_index.is_some()
                        && m.last_applied.map(|id| id.index) == m.last_log_index
                },
                "leading, all applied",
            )
            .await
            .map_err(|e| failed(&e))?;
        // The files made above must still have names after a power cut; where nothing is new this writes nothing.
        for path in [
            Some(dir),
            dir.parent().filter(|p| !p.as_os_str().is_empty()),
        ]
        .into_iter()
        .flatten()
        {
            File::open(path)
                .and_then(|dir| dir.sync_all())
                .map_err(|e| failed(&e))?;
        }
        let (writer, proposer) = Proposer::new(dir.to_owned());
        let stop = CancellationToken::new();
        let flusher = tokio::spawn(flush_in_place(
            Arc::clone(&applier),
            Duration::from_millis(profile.flush_ms),
            stop.clone(),
        ));
        let proposer = tokio::spawn(proposer.run(raft.clone(), stop.clone()));
        Ok(Raft {
            store,
            writer,
            member: Member(raft),
            engine,
            applier,
            proposer,
            flusher,
            stop,
            leases,
            lock,
        })
    }

    /// Bytes the store's files occupy.
    pub fn size_on_disk(&self) -> Option<u64> {
        self.engine.size_on_disk().ok()
    }

    /// Entries in the log since it began: how many groups the writes came to.
    pub fn last_log_index(&self) -> Option<u64> {
        self.member.0.metrics().borrow().last_log_index
    }

    /// Flushes everything and stops. Watches end; clones of the store still answer reads, and keep the
    /// directory from being opened again until they are dropped.
    pub async fn close(self) {
        let Raft {
            store,
            writer,
            member,
            engine,
            applier,
            proposer,
            flusher,
            stop,
            mut leases,
            lock,
        } = self;
        stop.cancel();
        if let Err(e) = proposer.await {
            tracing::warn!("the proposer ended early: {e}");
        }
        if let Err(e) = flusher.await {
            tracing::warn!("the flusher ended early: {e}");
        }
        if let Err(e) = member.0.shutdown().await {
            tracing::warn!("raft ended early: {e}");
        }
        drop(member);
        drop(writer);
        // Every user inside openraft has let go once this yields nothing.
        while leases.recv().await.is_some() {}
        store.close();
        drop(store);
        let flushed = tokio::task::spawn_blocking(move || {
            let flushed = applier.flush();
            drop((applier, engine));
            flushed
        })
        .await;
        match flushed {
            Ok(Ok(())) => {}
            // Nothing acknowledged is lost: it is in the log.
            Ok(Err(e)) => tracing::warn!("the last flush failed: {e}"),
            Err(e) => tracing::warn!("the last flush ended early: {e}"),
        }
        drop(lock);
    }
}

/// Writes the state in place once changes have waited for `wait`, so that a restart replays little. Idle, it sleeps.
async fn flush_in_place(applier: Arc<Applier>, wait: Duration, stop: CancellationToken) {
    let mut changes = applier.subscribe();
    loop {
        let waited = async {
            changes.changed().await.is_ok() && {
                tokio::time::sleep(wait).await;
                true
            }
        };
        let waited = tokio::select! {
            () = stop.cancelled() => return,
            waited = waited => waited,
        };
        if !waited {
            return;
        }
        changes.mark_unchanged();
        let applier = Arc::clone(&applier);
        if let Err(e) = blocking(move || applier.flush()).await {
            // Nothing acknowledged is lost: the log keeps it until a flush succeeds.
            tracing::warn!("the state could not be flushed; it stays in the log: {e}");
        }
    }
}

fn config(profile: &StoreProfile) -> Result<Config, Box<openraft::ConfigError>> {
    Config {
        cluster_name: "coracle".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS.0,
        election_timeout_max: ELECTION_MS.1,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(profile.log_entries.max(1)),
        max_in_snapshot_log_to_keep: 0,
        // A follower within the log's length is served from the log.
        replication_lag_threshold: profile.log_entries.saturating_add(1),
        ..Config::default()
    }
    .validate()
    .map_err(Box::new)
}

/// One process at a time; the lock ends with the process, however it ends.
fn lock(dir: &Path) -> Result<Flock<File>, OpenError> {
    let path = dir.join("lock");
    let failed = |cause: &dyn Display| OpenError::Open {
        path: path.display().to_string(),
        cause: cause.to_string(),
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| failed(&e))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => Err(OpenError::Locked {
            path: dir.display().to_string(),
        }),
        Err((_, e)) => Err(failed(&e)),
    }
}
