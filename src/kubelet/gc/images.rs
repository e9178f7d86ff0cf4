//! Which images go. Upstream's image manager: unused ones, the longest unused first, none too young.

use std::collections::{BTreeMap, BTreeSet};

/// What is remembered of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    first_ms: i64,
    used_ms: Option<i64>,
}

/// When images were seen and used, by id. As many as there are images.
#[derive(Debug, Default)]
pub struct Usage {
    seen: BTreeMap<String, Seen>,
}

impl Usage {
    /// Takes in the images there are, and which of them pods name.
    pub fn update<'a>(
        &mut self,
        present: impl Iterator<Item = &'a str>,
        in_use: &BTreeSet<String>,
        now_ms: i64,
    ) {
        let mut seen = BTreeMap::new();
        for id in present {
            let mut one = self.seen.get(id).copied().unwrap_or(Seen {
                first_ms: now_ms,
                used_ms: None,
            });
            if in_use.contains(id) {
                one.used_ms = Some(now_ms);
            }
            seen.insert(id.to_owned(), one);
        }
        self.seen = seen;
    }

    /// Images that may go, the first to go first: not in use, not pinned, present for at least `age_min_ms`.
    pub fn removable(
        &self,
        in_use: &BTreeSet<String>,
        pinned: &BTreeSet<String>,
        age_min_ms: i64,
        now_ms: i64,
    ) -> Vec<String> {
        let mut list: Vec<(&String, &Seen)> = self
            .seen
            .iter()
            .filter(|(id, one)| {
                !in_use.contains(*id)
                    && !pinned.contains(*id)
                    && now_ms - one.first_ms >= age_min_ms
            })
            .collect();
        list.sort_by_key(|(id, one)| (one.used_ms, one.first_ms, *id));
        list.into_iter().map(|(id, _)| id.clone()).collect()
    }
}

/// Bytes to free so that the disk's use falls from above `high` to `low` percent; 0: nothing.
pub fn bytes_to_free(capacity: u64, available: u64, high_percent: u8, low_percent: u8) -> u64 {
    if capacity == 0 || high_percent >= 100 {
        return 0;
    }
    let used = u128::from(capacity.saturating_sub(available));
    if used * 100 < u128::from(capacity) * u128::from(high_percent) {
        return 0;
    }
    let wanted = u128::from(capacity) * u128::from(100 - low_percent.min(100)) / 100;
    u64::try_from(wanted.saturating_sub(u128::from(available))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_longest_first_and_never_those_in_use_young_or_pinned() {
        let set =
            |ids: &[&str]| -> BTreeSet<String> { ids.iter().map(|&id| id.to_owned()).collect() };
        let mut usage = Usage::default();
        usage.update(["a", "b", "c"].into_iter(), &set(&["a"]), 0);
        usage.update(["a", "b", "c", "d"].into_iter(), &set(&["b"]), 100);
        usage.update(["a", "b", "c", "d", "e"].into_iter(), &set(&["e"]), 200);
        let order = usage.removable(&set(&["e"]), &set(&[]), 100, 200);
        assert_eq!(order, ["c", "d", "a", "b"]);
        let order = usage.removable(&set(&["e"]), &set(&["c"]), 150, 200);
        assert_eq!(order, ["a", "b"]);
        usage.update(["a"].into_iter(), &set(&[]), 300);
        assert_eq!(usage.removable(&set(&[]), &set(&[]), 0, 300), ["a"]);
    }

    #[test]
    fn thresholds_in_percent_of_use() {
        for (available, high, low, expected) in [
            (16, 85, 80, 0),
            (15, 85, 80, 5),
            (0, 85, 80, 20),
            (0, 100, 80, 0),
            (50, 1, 0, 50),
        ] {
            assert_eq!(
                bytes_to_free(100, available, high, low),
                expected,
                "{available}"
            );
        }
        assert_eq!(bytes_to_free(0, 0, 85, 80), 0);
    }
}
