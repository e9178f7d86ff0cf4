//! Who waits: for a decision, for a while, or for news that can help.
//!
//! Time is what the caller says: the span since a moment of its own.

use super::plugins::Plugins;
use super::snapshot::PodKey;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Upstream's `podInitialBackoffSeconds` and `podMaxBackoffSeconds`.
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
const BACK_OFF_LAST: Duration = Duration::from_secs(10);
/// Upstream's `podMaxInUnschedulablePodsDuration`: whoever waited this long without news is tried once, in case a hint
/// was wrong. Nothing is written where nothing changed.
const LEFTOVER: Duration = Duration::from_mins(5);

/// Where a pod stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Is decided about in turn; the number orders those of one priority.
    Active(u64),
    Delayed(Duration),
    /// Kept by these filters, until news helps or the moment comes.
    Parked {
        failed: Plugins,
        until: Duration,
    },
    /// What was decided is being written.
    Held,
}

#[derive(Debug)]
struct Entry {
    priority: i32,
    place: Place,
    /// Tries that came to nothing.
    attempts: u32,
    tried: Duration,
    /// What it waits for is under way: it does not wait longer when that comes.
    is_expected: bool,
}

/// As large as the pods that wait.
#[derive(Debug, Default)]
pub struct Queue {
    entries: BTreeMap<PodKey, Entry>,
    /// Higher priority first, then who came first.
    active: BTreeSet<(Reverse<i32>, u64, PodKey)>,
    timed: BTreeSet<(Duration, PodKey)>,
    parked: BTreeSet<PodKey>,
    next_turn: u64,
}

fn back_off(attempts: u32) -> Duration {
    let doubled = 1_u32 << attempts.saturating_sub(1).min(16);
    BACK_OFF_FIRST.saturating_mul(doubled).min(BACK_OFF_LAST)
}

impl Queue {
    /// A pod that is new, or of which something changed: it is decided about in turn.
    pub fn add(&mut self, key: &PodKey, priority: i32) {
        let attempts = self.entries.get(key).map_or(0, |entry| entry.attempts);
        let tried = self.entries.get(key).map_or(Duration::ZERO, |e| e.tried);
        self.remove(key);
        self.entries.insert(
            key.clone(),
            Entry {
                priority,
                place: Place::Held,
                attempts,
                tried,
                is_expected: false,
            },
        );
        self.activate(key);
    }

    pub fn remove(&mut self, key: &PodKey) {
        self.leave_place(key);
        self.entries.remove(key);
    }

    fn leave_place(&mut self, key: &PodKey) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        match entry.place {
            Place::Active(turn) => {
                self.active
                    .remove(&(Reverse(entry.priority), turn, key.clone()));
            }
            Place::Delayed(at) => {
                self.timed.remove(&(at, key.clone()));
            }
            Place::Parked { until, .. } => {
                self.timed.remove(&(until, key.clone()));
                self.parked.remove(key);
            }
            Place::Held => {}
        }
        entry.place = Place::Held;
    }

    fn activate(&mut self, key: &PodKey) {
        self.leave_place(key);
        let turn = self.next_turn;
        if let Some(entry) = self.entries.get_mut(key) {
            self.next_turn += 1;
            entry.place = Place::Active(turn);
            self.active
                .insert((Reverse(entry.priority), turn, key.clone()));
        }
    }

    fn delay(&mut self, key: &PodKey, at: Duration) {
        self.leave_place(key);
        if let Some(entry) = self.entries.get_mut(key) {
            entry.place = Place::Delayed(at);
            self.timed.insert((at, key.clone()));
        }
    }

    /// The next to be decided about; it is held until the caller says what became of it.
    pub fn take(&mut self) -> Option<PodKey> {
        let (_, _, key) = self.active.pop_first()?;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.place = Place::Held;
        }
        Some(key)
    }

    /// It fits nowhere. `is_expected`: help is under way, and the try does not count.
    pub fn park(&mut self, key: &PodKey, failed: Plugins, is_expected: bool, now: Duration) {
        self.leave_place(key);
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if !is_expected {
            entry.attempts = entry.attempts.saturating_add(1);
        }
        entry.is_expected = is_expected;
        entry.tried = now;
        let until = now + LEFTOVER;
        entry.place = Place::Parked { failed, until };
        self.timed.insert((until, key.clone()));
        self.parked.insert(key.clone());
    }

    /// A write failed: it is tried again after a while, whatever happens.
    pub fn later(&mut self, key: &PodKey, now: Duration) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.attempts = entry.attempts.saturating_add(1);
        entry.tried = now;
        entry.is_expected = false;
        let at = now + back_off(entry.attempts);
        self.delay(key, at);
    }

    /// A held pod is decided about again at once.
    pub fn resume(&mut self, key: &PodKey) {
        if self
            .entries
            .get(key)
            .is_some_and(|e| e.place == Place::Held)
        {
            self.activate(key);
        }
    }

    /// Whoever is parked, and what keeps it.
    pub fn parked(&self) -> impl Iterator<Item = (&PodKey, Plugins)> {
        self.parked.iter().filter_map(|key| {
            let Place::Parked { failed, .. } = self.entries.get(key)?.place else {
                return None;
            };
            Some((key, failed))
        })
    }

    /// News may help a parked pod: it is tried as soon as its last tries allow.
    pub fn wake(&mut self, key: &PodKey, now: Duration) {
        let Some(entry) = self.entries.get(key) else {
            return;
        };
        if !matches!(entry.place, Place::Parked { .. }) {
            return;
        }
        let ready = entry.tried + back_off(entry.attempts);
        if entry.is_expected || ready <= now {
            self.activate(key);
        } else {
            self.delay(key, ready);
        }
    }

    /// When `due` will next have something.
    pub fn wake_at(&self) -> Option<Duration> {
        self.timed.first().map(|(at, _)| *at)
    }

    /// Puts those in turn whose time has come.
    pub fn due(&mut self, now: Duration) {
        while let Some((at, key)) = self.timed.first().cloned() {
            if at > now {
                return;
            }
            self.activate(&key);
            // An entry that is gone leaves nothing behind.
            self.timed.remove(&(at, key));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(name: &str) -> PodKey {
        ("n".to_owned(), name.to_owned())
    }

    #[test]
    fn higher_priority_first_then_who_came_first() {
        let mut queue = Queue::default();
        for (name, priority) in [("b", 0), ("a", 0), ("high", 9), ("gone", 9)] {
            queue.add(&key(name), priority);
        }
        queue.remove(&key("gone"));
        let order: Vec<String> = std::iter::from_fn(|| queue.take()).map(|k| k.1).collect();
        assert_eq!(order, ["high", "b", "a"]);
    }

    #[test]
    fn who_is_woken_early_waits_for_the_rest_of_its_back_off() {
        let mut queue = Queue::default();
        queue.add(&key("a"), 0);
        let mut now = SECOND;
        for wait in [1, 2, 4, 8, 10, 10] {
            assert_eq!(queue.take(), Some(key("a")));
            queue.park(&key("a"), Plugins::ROOM, false, now);
            assert_eq!(queue.parked().next(), Some((&key("a"), Plugins::ROOM)));
            queue.wake(&key("a"), now);
            assert_eq!(queue.wake_at(), Some(now + SECOND * wait));
            queue.due(now);
            assert_eq!(queue.take(), None);
            now += SECOND * wait;
            queue.due(now);
        }
        assert_eq!(queue.take(), Some(key("a")));
        queue.park(&key("a"), Plugins::ROOM, false, now);
        queue.wake(&key("a"), now + SECOND * 11);
        assert_eq!(queue.take(), Some(key("a")), "its back-off is over");
    }

    #[test]
    fn what_is_expected_is_not_waited_for_twice() {
        let mut queue = Queue::default();
        queue.add(&key("a"), 0);
        queue.take();
        queue.park(&key("a"), Plugins::VOLUMES, true, SECOND);
        queue.wake(&key("a"), SECOND);
        assert_eq!(queue.take(), Some(key("a")));
    }

    #[test]
    fn leftovers_are_tried_after_five_minutes() {
        let mut queue = Queue::default();
        queue.add(&key("a"), 0);
        queue.take();
        queue.park(&key("a"), Plugins::ROOM, false, SECOND);
        queue.due(LEFTOVER);
        assert_eq!(queue.take(), None);
        queue.due(LEFTOVER + SECOND);
        assert_eq!((queue.take(), queue.wake_at()), (Some(key("a")), None));
    }

    #[test]
    fn a_failed_write_is_not_hurried_by_news() {
        let mut queue = Queue::default();
        queue.add(&key("a"), 0);
        queue.take();
        queue.later(&key("a"), SECOND);
        queue.wake(&key("a"), SECOND);
        queue.resume(&key("a"));
        assert_eq!(queue.take(), None);
        queue.due(SECOND * 2);
        assert_eq!(queue.take(), Some(key("a")));
        queue.resume(&key("a"));
        assert_eq!(queue.take(), Some(key("a")), "it was held");
    }
}
