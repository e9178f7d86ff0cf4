//! Turns: writers of one namespace that would change the same quota or budget go one after the other.
//!
//! Compare-and-swap alone keeps the numbers right; turns keep fifty writers that come at once from overtaking each other
//! until all but a few give up. They are of this process: on another one's account a write is tried again.

use std::hash::{DefaultHasher, Hash, Hasher};
use tokio::sync::{Mutex, MutexGuard};

/// Namespaces that share a turn now and then only wait for each other.
const TURNS: usize = 16;

#[derive(Default)]
pub(super) struct Turns {
    turns: [Mutex<()>; TURNS],
}

impl Turns {
    /// Waits for those before. Held while one write is committed, which the log bounds.
    pub(super) async fn of(&self, namespace: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        namespace.hash(&mut hasher);
        let turn = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default();
        self.turns[turn].lock().await
    }
}
