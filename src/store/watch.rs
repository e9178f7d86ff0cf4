//! Watches: a cursor each into the one history; nothing is copied per watcher.

use super::window::Window;
use super::{Change, News, Revision, Shared, StoreError};
use std::sync::Arc;
use tokio::sync::watch;

/// A running watch. Each has a cursor into the shared history; one that falls behind history ends with `Compacted`.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    news: watch::Receiver<News>,
    prefix: String,
    /// Sequence number of the next change to look at.
    cursor: u64,
    progress: Revision,
}

impl Watch {
    pub(super) fn start(
        shared: &Arc<Shared>,
        prefix: &str,
        from: Revision,
    ) -> Result<Watch, StoreError> {
        let news = shared.news.subscribe();
        let cursor = shared.window().seek(from)?;
        Ok(Watch {
            shared: Arc::clone(shared),
            news,
            prefix: prefix.to_owned(),
            cursor,
            progress: from,
        })
    }

    /// Waits for the next change. `Ok(None)`: the store is shutting down.
    pub async fn next(&mut self) -> Result<Option<Change>, StoreError> {
        loop {
            // Marked before looking, so that news between looking and waiting wakes.
            let closed = self.news.borrow_and_update().closed;
            if let Some(change) = self.advance()? {
                return Ok(Some(change));
            }
            if closed || self.news.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// The next change, if there is one already: never waits.
    pub fn poll(&mut self) -> Result<Option<Change>, StoreError> {
        self.advance()
    }

    /// Everything up to this revision has been delivered by `next` (for bookmarks).
    pub fn progress(&self) -> Revision {
        self.progress
    }

    pub(super) fn advance(&mut self) -> Result<Option<Change>, StoreError> {
        let shared = Arc::clone(&self.shared);
        let window = shared.window();
        let Some(changes) = window.since(self.cursor) else {
            return Err(self.behind(&window));
        };
        let mut changes = changes.peekable();
        while let Some(change) = changes.next() {
            self.cursor += 1;
            if change.key.0.starts_with(&self.prefix) {
                let rest = changes.peek().map(|next| next.revision);
                // One transaction may hold several changes; its revision is complete with the last of them.
                let complete = match rest {
                    Some(next) if next == change.revision => {
                        Revision(change.revision.0.saturating_sub(1))
                    }
                    _ => change.revision,
                };
                self.progress = self.progress.max(complete);
                return Ok(Some(change.clone()));
            }
        }
        self.progress = self.progress.max(window.revision());
        Ok(None)
    }

    fn behind(&self, window: &Window) -> StoreError {
        StoreError::Compacted {
            asked: self.progress,
            oldest: window.floor(),
        }
    }
}
