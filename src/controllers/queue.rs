//! A work queue: each key once, later where asked, and back-off for those that failed.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Those that are not handed out, by when they are due.
    waiting: BTreeSet<(Instant, K)>,
}

impl<K> Default for WorkQueue<K> {
    fn default() -> WorkQueue<K> {
        WorkQueue {
            entries: BTreeMap::new(),
            waiting: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> WorkQueue<K> {
    /// Asks for `key` to be worked on now.
    #[cfg(test)]
    pub fn add(&mut self, key: K, now: Instant) {
        self.add_at(key, now);
    }

    /// Asks for `key` to be worked on then, or sooner if that was asked for; news ends a back-off.
    pub fn add_at(&mut self, key: K, at: Instant) {
        match self.entries.get_mut(&key) {
            Some(entry) if entry.running => {
                entry.at = if entry.again { entry.at.min(at) } else { at };
                entry.again = true;
            }
            Some(entry) => {
                if at < entry.at {
                    self.waiting.remove(&(entry.at, key.clone()));
                    entry.at = at;
                    self.waiting.insert((at, key));
                }
            }
            None => {
                self.waiting.insert((at, key.clone()));
                let entry = Entry {
                    at,
                    failures: 0,
                    running: false,
                    again: false,
                };
                self.entries.insert(key, entry);
            }
        }
    }

    /// The key that has been due longest.
    pub fn take(&mut self, now: Instant) -> Option<K> {
        if self.waiting.first()?.0 > now {
            return None;
        }
        let (_, key) = self.waiting.pop_first()?;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.running = true;
        }
        Some(key)
    }

    /// When `take` will next have something.
    pub fn wake(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }

    /// The key's work is done.
    pub fn done(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key)
            && entry.again
        {
            self.add_at(key.clone(), entry.at);
        }
    }

    /// The key's work failed or waits for something: again after a while, sooner if there is news.
    pub fn later(&mut self, key: &K, now: Instant) {
        if let Some(entry) = self.entries.get_mut(key) {
            let wait = BACK_OFF_FIRST.saturating_mul(1 << entry.failures.min(16));
            entry.failures = entry.failures.saturating_add(1);
            let at = now + wait.min(BACK_OFF_LAST);
            entry.at = if entry.again { entry.at.min(at) } else { at };
            entry.running = false;
            entry.again = false;
            self.waiting.insert((entry.at, key.clone()));
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
        queue.done(&"a");
        assert_eq!(queue.take(now), Some("a"));
        queue.done(&"a");
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

    #[test]
    fn the_sooner_of_two_wishes_counts() {
        let now = Instant::now();
        let soon = now + Duration::from_secs(1);
        let late = now + Duration::from_secs(9);
        let mut queue = WorkQueue::default();
        queue.add_at("a", late);
        queue.add_at("a", soon);
        queue.add_at("a", late);
        assert_eq!((queue.take(now), queue.wake()), (None, Some(soon)));
        assert_eq!(queue.take(soon), Some("a"));
        queue.add_at("a", late);
        queue.done(&"a");
        assert_eq!(queue.wake(), Some(late));
    }
}
