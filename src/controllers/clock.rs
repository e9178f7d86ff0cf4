//! The wall clock as controllers may trust it: a board without a battery-backed clock begins years off and jumps when
//! it hears the time.

use super::action::Plan;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::Duration;

/// A time further ahead than this was written by a clock that was wrong; less is skew between machines, or a correction.
const SKEW_MAX: SignedDuration = SignedDuration::from_mins(5);
/// Waits are counted by a clock that does not jump, for times of one that does: they are checked this often.
const CHECK: Duration = Duration::from_mins(1);

/// As objects write it: whole seconds, so that what is read back is equal.
pub fn time(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// The clock has been set back since `then` was written.
pub fn is_ahead(then: Timestamp, now: Timestamp) -> bool {
    then.duration_since(now) > SKEW_MAX
}

/// `seconds` after `then`; times past the end of the calendar are its end.
pub fn after(then: Timestamp, seconds: i64) -> Timestamp {
    then.saturating_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}

/// Looks again then, or sooner to see whether the clock has jumped.
pub fn look_at(plan: &mut Plan, at: Timestamp, now: Timestamp) {
    plan.again_at(at, now);
    plan.again = plan.again.map(|wait| wait.min(CHECK));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn waits_are_short_enough_to_see_a_jump() {
        let now: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        for (seconds, expected) in [(-5, 0), (7, 7), (86_400 * 365, 60)] {
            let mut plan = Plan::default();
            look_at(&mut plan, after(now, seconds), now);
            assert_eq!(plan.again, Some(Duration::from_secs(expected)), "{seconds}");
        }
        assert_eq!(after(now, i64::MAX), Timestamp::MAX);
        assert_eq!(time(now).0.to_string(), "2026-01-01T00:00:00Z");
        assert!(!is_ahead(after(now, 10), now) && is_ahead(after(now, 3600), now));
    }
}
