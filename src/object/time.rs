//! Durations as `kubectl` prints them.

use jiff::Timestamp;

/// Unix seconds of an RFC 3339 time; `None` where there is none.
pub fn seconds(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// A duration with two significant units at most, as upstream's `duration.HumanDuration`.
/// One second into the future is tolerated as clock skew.
pub fn human(duration_seconds: i64) -> String {
    let seconds = duration_seconds;
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let two = |major: i64, unit: &str, minor: i64, small: &str| {
        if minor == 0 {
            format!("{major}{unit}")
        } else {
            format!("{major}{unit}{minor}{small}")
        }
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(hours / 24, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        _ if hours < 24 * 365 * 8 => two(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}

/// The age of an RFC 3339 time at `now` (Unix seconds); `<unknown>` without one.
pub fn since(text: &str, now: i64) -> String {
    seconds(text).map_or_else(
        || "<unknown>".into(),
        |then| human(now.saturating_sub(then)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human_durations() {
        const HOUR: i64 = 3600;
        const DAY: i64 = 24 * HOUR;
        for (seconds, want) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (121, "2m1s"),
            (599, "9m59s"),
            (600, "10m"),
            (HOUR * 3 - 1, "179m"),
            (HOUR * 3, "3h"),
            (HOUR * 3 + 60, "3h1m"),
            (HOUR * 8 - 1, "7h59m"),
            (HOUR * 8 + 60, "8h"),
            (HOUR * 48 - 1, "47h"),
            (HOUR * 48, "2d"),
            (HOUR * 49, "2d1h"),
            (DAY * 8 - HOUR, "7d23h"),
            (DAY * 8, "8d"),
            (DAY * 365 * 2 - HOUR, "729d"),
            (DAY * 365 * 2, "2y"),
            (DAY * (365 * 2 + 1), "2y1d"),
            (DAY * 365 * 8, "8y"),
            (i64::MAX, "292471208677y"),
        ] {
            assert_eq!(human(seconds), want, "{seconds}");
        }
        assert_eq!(since("2024-01-01T00:00:00Z", 1_704_067_205), "5s");
        assert_eq!(since("", 0), "<unknown>");
    }
}
