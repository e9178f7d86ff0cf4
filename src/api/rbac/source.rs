//! The policy, kept up to date from the store.

use super::Policy;
use super::policy::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES};
use crate::store::{ListOptions, Store, StoreError, Watch};
use serde_json::Value;
use std::sync::{Mutex, PoisonError};

/// What roles and bindings have in common at the beginning of their keys, and two cursors can follow.
const FOLLOWED: [&str; 2] = ["clusterrole", "role"];

/// Rows read at a time while the policy is made.
const CHUNK_ROWS: usize = 200;

/// One store's policy. A question first takes in what changed since the last: a cursor each into the store's history,
/// no task and no waiting, so that an acknowledged change always counts.
pub struct PolicySource {
    store: Store,
    current: Mutex<Option<Current>>,
}

struct Current {
    policy: Policy,
    changes: [Watch; 2],
}

impl PolicySource {
    pub fn new(store: Store) -> PolicySource {
        PolicySource {
            store,
            current: Mutex::new(None),
        }
    }

    /// Asks the policy as of now. `question` runs under a lock and must not wait.
    pub fn ask<T>(&self, question: impl FnOnce(&Policy) -> T) -> Result<T, StoreError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = current.as_mut() {
            match known.catch_up() {
                Ok(()) => return Ok(question(&known.policy)),
                // History ran past the cursor: read everything anew.
                Err(StoreError::Compacted { .. }) => *current = None,
                Err(error) => return Err(error),
            }
        }
        let made = current.insert(Current::read(&self.store)?);
        Ok(question(&made.policy))
    }
}

impl Current {
    fn read(store: &Store) -> Result<Current, StoreError> {
        // Cursors first: what changes during the reading is taken in afterwards, and taking it in twice does no harm.
        let revision = store.revision();
        let [wide, near] = FOLLOWED;
        let changes = [store.watch(wide, revision)?, store.watch(near, revision)?];
        let mut policy = Policy::default();
        for prefix in [CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS] {
            let mut options = ListOptions {
                prefix: prefix.to_owned(),
                limit: Some(CHUNK_ROWS),
                ..ListOptions::default()
            };
            loop {
                let page = store.list(&options)?;
                for item in &page.items {
                    policy.put(&item.key.0, decoded(&item.json).as_ref());
                }
                options.after = page.items.into_iter().last().map(|item| item.key);
                if !page.more {
                    break;
                }
            }
        }
        let mut current = Current { policy, changes };
        current.catch_up()?;
        Ok(current)
    }

    fn catch_up(&mut self) -> Result<(), StoreError> {
        for watch in &mut self.changes {
            while let Some(change) = watch.poll()? {
                let after = change.after.as_deref().and_then(decoded);
                self.policy.put(&change.key.0, after.as_ref());
            }
        }
        Ok(())
    }
}

/// What cannot be read grants nothing.
fn decoded(json: &[u8]) -> Option<Value> {
    serde_json::from_slice(json).ok()
}
