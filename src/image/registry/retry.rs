//! How long to wait before asking again, and when to give up. Pure.

use std::time::Duration;

/// Tries of one small request: an error that passes within seconds is not worth a pod's back-off.
pub const REQUEST_TRIES_MAX: u32 = 3;

/// Failures in a row, without progress between them, after which a transfer is given up: about two minutes.
pub const TRANSFER_FAILURES_MAX: u32 = 8;

/// Bytes that count as progress: a link that always breaks after the headers must not be asked for ever.
pub const PROGRESS_BYTES: u64 = 32 * 1024;

/// The longest wait is as long as the silence that is borne (30 s), the first a small part of it (250 ms).
const FIRST_PART: u32 = 120;

/// Longest `Retry-After` obeyed; one that asks for more is told to the user instead.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// The wait after the `failures`-th failure in a row, from 1: doubling up to `stall`, with up to a quarter taken off
/// by `jitter` (0 to 1), so that nodes which lost the same registry do not come back at once.
pub fn wait(failures: u32, stall: Duration, jitter: f64) -> Duration {
    let doubled = (stall / FIRST_PART).saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled
        .min(stall)
        .mul_f64(1.0 - 0.25 * jitter.clamp(0.0, 1.0))
}

/// Seconds that a `Retry-After` header asks to wait (RFC 9110, 10.2.3; its date form is not looked at).
pub fn retry_after(header: &str) -> Option<Duration> {
    let wait = Duration::from_secs(header.trim().parse().ok()?);
    (wait <= RETRY_AFTER_MAX).then_some(wait)
}

/// Answers that a later request may not get: too early, too many, and the server's own troubles.
pub fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute() {
        let stall = Duration::from_secs(30);
        let waits: Vec<u128> = (1..=9).map(|n| wait(n, stall, 0.0).as_millis()).collect();
        assert_eq!(
            waits,
            [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]
        );
        assert_eq!(wait(40, stall, 1.0).as_millis(), 22_500);
        assert_eq!(retry_after(" 5 "), Some(Duration::from_secs(5)));
        assert_eq!(retry_after("86400"), None);
        assert_eq!(retry_after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }
}
