//! A work queue: each key once, and back-off for those that failed.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// client-go's item back-off begins at 5 ms; on a board an eighth of a second is soon enough.
const BACK_OFF_FIRST: Duration = Duration::from_millis(125);
/// Waiting longer would only make a healed fault look unhealed.
const BACK_OFF_LAST: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Entry {
    at: Instant,
    failures: u32,
    /// Handed out and not done; `again`: was added meanwhile.
    running: bool,
    again: bool,
}

/// Bounded by the keys there are: a key stands here once at most, and leaves when its work is done.
#[derive(Debug)]
pub struct WorkQueue<K> {
    entries: BTreeMap<K, Entry>,
}

impl<K> Default for WorkQueue<K> {
    fn default() -> WorkQueue<K> {
        WorkQueue {
            entries: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone> WorkQueue<K> {
    /// Asks for `key` to be worked on now; news ends a back-off.
    pub fn add(&mut self, key: K, now: Instant) {
        let entry = self.entries.entry(key).or_insert(Entry {
            at: now,
            failures: 0,
            running: false,
            again: false,
        });
        entry.again = entry.running;
        entry.at = entry.at.min(now);
    }

    /// The key that has been due longest.
    pub fn take(&mut self, now: Instant) -> Option<K> {
        let (key, entry) = self
            .entries
            .iter_mut()
            .filter(|(_, entry)| !entry.running && entry.at <= now)
            .min_by_key(|(_, entry)| entry.at)?;
        entry.running = true;
        Some(key.clone())
    }

    /// When `take` will next have something.
    pub fn wake(&self) -> Option<Instant> {
        let waiting = self.entries.values().filter(|entry| !entry.running);
        waiting.map(|entry| entry.at).min()
    }

    /// The key's work is done.
    pub fn done(&mut self, key: &K, now: Instant) {
        if let Some(entry) = self.entries.get_mut(key) {
            if entry.again {
                *entry = Entry {
                    at: now,
                    failures: 0,
                    running: false,
                    again: false,
                };
            } else {
                self.entries.remove(key);
            }
        }
    }

    /// The key's work failed or waits for something: again after a while, sooner if there is news.
    pub fn later(&mut self, key: &K, now: Instant) {
        if let Some(entry) = self.entries.get_mut(key) {
            let wait = BACK_OFF_FIRST.saturating_mul(1 << entry.failures.min(16));
            entry.failures = entry.failures.saturating_add(1);
            entry.at = if entry.again {
                now
            } else {
                now + wait.min(BACK_OFF_LAST)
            };
            entry.running = false;
            entry.again = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_handed_out_once_and_again_if_added_meanwhile() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        queue.add("a", now);
        queue.add("a", now);
        assert_eq!(queue.take(now), Some("a"));
        assert_eq!(queue.take(now), None);
        queue.add("a", now);
        queue.done(&"a", now);
        assert_eq!(queue.take(now), Some("a"));
        queue.done(&"a", now);
        assert_eq!((queue.take(now), queue.wake()), (None, None));
    }

    #[test]
    fn failures_wait_longer_each_time_and_news_ends_the_wait() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        queue.add("a", now);
        let mut waits = Vec::new();
        let mut at = now;
        for _ in 0..12 {
            queue.take(at);
            queue.later(&"a", at);
            let wake = queue.wake().unwrap_or(at);
            waits.push(wake - at);
            at = wake;
        }
        assert!(waits.is_sorted());
        assert_eq!(waits.last(), Some(&BACK_OFF_LAST));
        queue.take(at);
        queue.later(&"a", at);
        assert_eq!(queue.take(at), None);
        queue.add("a", at);
        assert_eq!(queue.take(at), Some("a"));
    }
}
