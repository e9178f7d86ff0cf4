//! The writing side: applies ordered transactions. Whoever holds the [`Applier`] orders them; there is one.

use super::dirty::Dirty;
use super::engine::{Batch, Engine, EngineError};
use super::rows::{self, Head, Row};
use super::window::{Past, Window};
use super::{Change, Expect, Key, News, Op, Revision, Shared, Store, Txn, TxnOutcome};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows per batch when the whole state is replaced.
const REPLACE_ROWS: usize = 256;

/// Applies transactions in order, without flushing.
#[derive(Debug)]
pub struct Applier {
    shared: Arc<Shared>,
}

/// Keys as the transactions of the running batch left them.
type Touched = HashMap<Key, Option<Row>>;

impl Applier {
    /// The store as the engine holds it, and the tag written with its newest state. History begins at its revision.
    pub fn open(
        engine: Arc<dyn Engine>,
        history_entries: usize,
        history_bytes: usize,
    ) -> Result<(Applier, Vec<u8>), EngineError> {
        let head = read_head(&*engine)?;
        let (news, _) = tokio::sync::watch::channel(News {
            revision: head.revision,
            closed: false,
        });
        let window = Window::new(head.revision, history_entries, history_bytes);
        let shared = Arc::new(Shared {
            engine,
            window: Mutex::new(window),
            applying: Mutex::new(()),
            dirty: Mutex::new(Dirty::default()),
            news,
        });
        Ok((Applier { shared }, head.tag))
    }

    /// The reading side.
    pub fn store(&self) -> Store {
        Store {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Applies `txns` in order; `tag` reaches the engine in the same atomic batch as they do.
    pub fn apply(&self, txns: &[Txn], tag: &[u8]) -> Result<Vec<TxnOutcome>, EngineError> {
        let _applying = self
            .shared
            .applying
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut revision = self.shared.window().revision();
        let mut touched = Touched::new();
        let mut past = Vec::new();
        let mut outcomes = Vec::with_capacity(txns.len());
        for txn in txns {
            if let Some((key, current)) = self.conflict(txn, &touched)? {
                outcomes.push(TxnOutcome::Conflict { key, current });
                continue;
            }
            let next = Revision(revision.0 + 1);
            let changes = self.changes(txn, next, &mut touched)?;
            if !changes.is_empty() {
                revision = next;
                past.extend(changes);
            }
            outcomes.push(TxnOutcome::Committed { revision });
        }
        // Staged first: a list that meets a new row must find how to undo it.
        self.shared.window().stage(past);
        {
            let mut dirty = self.shared.dirty();
            for (key, row) in touched {
                dirty.set(key.0, row);
            }
            dirty.set_head(revision, tag);
        }
        self.shared.window().publish(revision);
        self.announce(revision);
        if self.shared.dirty().full() {
            self.spill()?;
        }
        Ok(outcomes)
    }

    /// Replaces the whole state by `objects` at `revision`. Not atomic: the caller must be able to do it again after a crash.
    pub(crate) fn replace(
        &self,
        objects: impl Iterator<Item = Result<(String, Row), EngineError>>,
        revision: Revision,
        tag: &[u8],
    ) -> Result<(), EngineError> {
        let _applying = self
            .shared
            .applying
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let engine = &self.shared.engine;
        *self.shared.dirty() = Dirty::default();
        let (from, to) = (rows::object_key(""), rows::objects_end(""));
        loop {
            let mut batch = Batch::default();
            for row in engine.range(&from, &to).take(REPLACE_ROWS) {
                batch.delete(row?.0.to_vec());
            }
            if batch.rows.is_empty() {
                break;
            }
            engine.write(batch)?;
        }
        let mut batch = Batch::default();
        for object in objects {
            let (key, row) = object?;
            batch.put(rows::object_key(&key), row.encode());
            if batch.rows.len() >= REPLACE_ROWS {
                engine.write(std::mem::take(&mut batch))?;
            }
        }
        batch.put(rows::HEAD.to_vec(), encode_head(revision, tag)?);
        engine.write(batch)?;
        self.shared.window().reset(revision);
        self.announce(revision);
        Ok(())
    }

    /// Makes everything applied durable in place; writes nothing where nothing changed.
    pub fn flush(&self) -> Result<(), EngineError> {
        {
            let _applying = self
                .shared
                .applying
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            self.spill()?;
        }
        self.shared.engine.flush()
    }

    /// Writes what has gathered to the engine. `applying` is held by the caller, so nothing is added meanwhile.
    fn spill(&self) -> Result<(), EngineError> {
        let batch = self.shared.dirty().batch()?;
        if let Some(batch) = batch {
            self.shared.engine.write(batch)?;
            *self.shared.dirty() = Dirty::default();
        }
        Ok(())
    }

    /// Wakes with every change applied.
    pub(crate) fn subscribe(&self) -> tokio::sync::watch::Receiver<News> {
        self.shared.news.subscribe()
    }

    fn announce(&self, revision: Revision) {
        self.shared
            .news
            .send_modify(|news| news.revision = revision);
    }

    fn read(&self, key: &Key, touched: &Touched) -> Result<Option<Row>, EngineError> {
        if let Some(row) = touched.get(key) {
            return Ok(row.clone());
        }
        self.shared.row(key)
    }

    /// The first operation of `txn` whose condition does not hold.
    fn conflict(
        &self,
        txn: &Txn,
        touched: &Touched,
    ) -> Result<Option<(Key, Option<Revision>)>, EngineError> {
        for op in &txn.ops {
            let (Op::Put { key, expect, .. }
            | Op::Delete { key, expect }
            | Op::Check { key, expect }) = op;
            let current = self.read(key, touched)?.map(|row| row.revision);
            let holds = match expect {
                Expect::Absent => current.is_none(),
                Expect::Revision(revision) => current == Some(*revision),
            };
            if !holds {
                return Ok(Some((key.clone(), current)));
            }
        }
        Ok(None)
    }

    fn changes(
        &self,
        txn: &Txn,
        revision: Revision,
        touched: &mut Touched,
    ) -> Result<Vec<Past>, EngineError> {
        let mut changes = Vec::new();
        for op in &txn.ops {
            let (key, json) = match op {
                Op::Check { .. } => continue,
                Op::Delete { key, .. } => (key, None),
                Op::Put { key, body, .. } => {
                    let json = rows::stamp(body, revision).ok_or_else(|| {
                        EngineError(format!(
                            "{}: the place for the revision is outside the body",
                            key.0
                        ))
                    })?;
                    (key, Some(json))
                }
            };
            let before = self.read(key, touched)?;
            if json.is_none() && before.is_none() {
                continue;
            }
            let created = before.as_ref().map_or(revision, |row| row.created);
            let after = json.map(|json| Row {
                revision,
                created,
                json,
            });
            changes.push(Past {
                change: Change {
                    key: key.clone(),
                    revision,
                    after: after.as_ref().map(|row| row.json.clone()),
                    before: before.as_ref().map(|row| row.json.clone()),
                },
                before,
            });
            touched.insert(key.clone(), after);
        }
        Ok(changes)
    }
}

fn read_head(engine: &dyn Engine) -> Result<Head, EngineError> {
    let Some(bytes) = engine.get(rows::HEAD)? else {
        return Ok(Head::default());
    };
    postcard::from_bytes(&bytes).map_err(|e| EngineError(format!("the head row is damaged: {e}")))
}

fn encode_head(revision: Revision, tag: &[u8]) -> Result<Vec<u8>, EngineError> {
    let tag = tag.to_vec();
    Head { revision, tag }.encode()
}
