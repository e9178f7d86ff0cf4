//! Pauses between attempts: longer each time, bounded, and spread so that clients do not come in step.

use rand::Rng;
use std::time::Duration;

/// First pause: an API server in this process is back within this when it restarts.
const FIRST: Duration = Duration::from_millis(100);
/// Longest pause: what a person waits for a node to notice that the server is back.
const LONGEST: Duration = Duration::from_secs(10);

/// Doubles from [`FIRST`] to [`LONGEST`].
#[derive(Debug, Default)]
pub struct BackOff {
    attempts: u32,
}

impl BackOff {
    /// Half of the pause is fixed, half is `random` (0 to 1).
    fn pause(attempts: u32, random: f64) -> Duration {
        let full = FIRST
            .saturating_mul(1_u32.checked_shl(attempts).unwrap_or(u32::MAX))
            .min(LONGEST);
        full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// Counts an attempt and returns the pause before the next.
    pub fn next_pause(&mut self) -> Duration {
        let pause = BackOff::pause(self.attempts, rand::rng().random());
        self.attempts = (self.attempts + 1).min(31);
        pause
    }

    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_bound() {
        for (attempts, random, milliseconds) in [
            (0, 1.0, 100),
            (0, 0.0, 50),
            (3, 1.0, 800),
            (20, 1.0, 10_000),
            (31, 0.0, 5_000),
            (40, 1.0, 10_000),
        ] {
            assert_eq!(
                BackOff::pause(attempts, random),
                Duration::from_millis(milliseconds)
            );
        }
    }
}
