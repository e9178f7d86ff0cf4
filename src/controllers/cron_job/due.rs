//! Which run of a schedule is due.

use crate::object::cron::Cron;
use jiff::Timestamp;

/// More missed runs than this are worth a warning (upstream's hundred).
const MANY: usize = 100;

/// The latest time after `since`, and not after `now`. The runs before it are missed, however many a clock that jumped
/// makes them: the search halves the time in between instead of walking through it.
pub fn latest(cron: &Cron, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let until_now = |after: Timestamp| cron.next(after).filter(|at| *at <= now);
    let mut latest = until_now(since)?;
    // Nothing comes between this and now.
    let mut end = now;
    while let Some(next) = until_now(latest) {
        latest = next;
        let half = end.duration_since(latest) / 2;
        let middle = latest.saturating_add(half).unwrap_or(end);
        match until_now(middle) {
            Some(at) => latest = at,
            None => end = middle,
        }
    }
    Some(latest)
}

/// More runs than one would count have been missed.
pub fn are_many(cron: &Cron, since: Timestamp, until: Timestamp) -> bool {
    let mut at = since;
    for _ in 0..=MANY {
        match cron.next(at) {
            Some(next) if next <= until => at = next,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_latest_run_is_found_over_any_time() {
        let now = "2026-06-15T12:34:56Z";
        for (schedule, since, expected) in [
            ("* * * * *", "2026-06-15T12:34:00Z", None),
            (
                "* * * * *",
                "2026-06-15T12:33:00Z",
                Some("2026-06-15T12:34:00Z"),
            ),
            (
                "* * * * *",
                "1970-01-01T00:00:00Z",
                Some("2026-06-15T12:34:00Z"),
            ),
            (
                "* * 1 1 *",
                "2001-01-01T00:00:00Z",
                Some("2026-01-01T23:59:00Z"),
            ),
            (
                "0 0 1,2 * *",
                "2025-06-15T12:34:00Z",
                Some("2026-06-02T00:00:00Z"),
            ),
            (
                "30 6-16/4 * * 1-5",
                "2026-06-01T00:00:00Z",
                Some("2026-06-15T10:30:00Z"),
            ),
            (
                "0 0 29 2 *",
                "2000-01-01T00:00:00Z",
                Some("2024-02-29T00:00:00Z"),
            ),
            ("0 0 31 2 *", "2000-01-01T00:00:00Z", None),
            ("* * * * *", "2036-01-01T00:00:00Z", None),
        ] {
            let cron = Cron::parse(schedule, None).unwrap();
            let found = latest(&cron, since.parse().unwrap(), now.parse().unwrap());
            let expected = expected.map(|at| at.parse().unwrap());
            assert_eq!(found, expected, "{schedule} since {since}");
        }
    }

    #[test]
    fn many() {
        let cron = Cron::parse("* * * * *", None).unwrap();
        let since: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (until, expected) in [
            ("2026-01-01T01:40:00Z", false),
            ("2026-01-01T01:41:00Z", true),
            ("2036-01-01T00:00:00Z", true),
        ] {
            assert_eq!(
                are_many(&cron, since, until.parse().unwrap()),
                expected,
                "{until}"
            );
        }
    }
}
