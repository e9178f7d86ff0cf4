//! Exponential back-off as kubelet counts it: 10 s, doubling to 5 min.
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy>

/// First delay, milliseconds (upstream's `backOffPeriod`).
const DELAY_MS_FIRST: i64 = 10_000;
/// Longest delay, milliseconds (upstream's `MaxContainerBackOff`).
const DELAY_MS_MAX: i64 = 300_000;
/// A run (or a success) longer than this forgets earlier failures: twice the longest delay, as upstream's
/// `flowcontrol.Backoff` has it.
const FORGET_MS: i64 = 2 * DELAY_MS_MAX;

/// How often something failed lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    /// 0: nothing failed yet.
    delay_ms: i64,
    updated_ms: i64,
}

impl Backoff {
    /// The time before which there must be no new try, after something that ended at `ended_ms`.
    /// `None`: at once.
    pub fn wait_until(&self, ended_ms: i64) -> Option<i64> {
        (self.delay_ms > 0 && ended_ms.saturating_sub(self.updated_ms) <= FORGET_MS)
            .then(|| ended_ms.saturating_add(self.delay_ms))
    }

    /// Counts a new try at `now_ms` after something that ended at `ended_ms`.
    pub fn next(&mut self, ended_ms: i64, now_ms: i64) {
        let forgotten = ended_ms.saturating_sub(self.updated_ms) > FORGET_MS;
        self.delay_ms = if self.delay_ms == 0 || forgotten {
            DELAY_MS_FIRST
        } else {
            (self.delay_ms * 2).min(DELAY_MS_MAX)
        };
        self.updated_ms = now_ms;
    }

    pub fn delay_ms(&self) -> i64 {
        self.delay_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_restart_is_immediate_then_doubles_to_five_minutes() {
        let mut backoff = Backoff::default();
        let mut now = 1_000_000;
        assert_eq!(backoff.wait_until(now), None);
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            backoff.next(now, now);
            assert_eq!(backoff.wait_until(now), Some(now + expected * 1000));
            now += expected * 1000;
        }
    }

    #[test]
    fn a_long_run_forgets() {
        let mut backoff = Backoff::default();
        for _ in 0..4 {
            backoff.next(1000, 1000);
        }
        assert_eq!(
            backoff.wait_until(1000 + FORGET_MS),
            Some(1000 + FORGET_MS + 80_000)
        );
        assert_eq!(backoff.wait_until(1001 + FORGET_MS), None);
        backoff.next(1001 + FORGET_MS, 1001 + FORGET_MS);
        assert_eq!(backoff.delay_ms(), DELAY_MS_FIRST);
    }
}
