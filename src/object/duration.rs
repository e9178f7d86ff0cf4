//! Durations as Go writes them and kubectl's and the kubelet's flags take them: `0`, `30s`, `1m30s`, `1.5h`, `500ms`.

/// Milliseconds, negative ones too.
///
/// # Errors
/// What is no duration, and what one looks like: a number other than 0 needs a unit.
pub fn parse_ms(text: &str) -> Result<i64, String> {
    if matches!(text, "0" | "-0" | "+0") {
        return Ok(0);
    }
    let wrong = || format!("{text:?} is no duration such as 0, 500ms, 30s, 5m or 1h30m");
    // Longer forms that the parser knows besides (`1 hour`, `PT1H`) are not Go's.
    let is_go = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+'));
    let duration: jiff::SignedDuration = (is_go.then_some(text).ok_or_else(wrong)?)
        .parse()
        .map_err(|_| wrong())?;
    i64::try_from(duration.as_millis()).map_err(|_| wrong())
}

/// Milliseconds of a time span, which is never negative.
///
/// # Errors
/// As [`parse_ms`], and a negative one.
pub fn parse_span_ms(text: &str) -> Result<i64, String> {
    match parse_ms(text)? {
        ms @ 0.. => Ok(ms),
        _ => Err(format!("{text:?}: a duration must not be negative")),
    }
}

/// Whole seconds, rounded up, at least one.
///
/// # Errors
/// As [`parse_ms`], and what is not more than 0.
pub fn parse_seconds(text: &str) -> Result<u64, String> {
    match u64::try_from(parse_ms(text)?) {
        Ok(ms @ 1..) => Ok(ms.div_ceil(1000)),
        _ => Err(format!("{text:?}: a duration must be greater than 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_gos() {
        for (text, ms, span, seconds) in [
            ("0", Some(0), Some(0), None),
            ("0s", Some(0), Some(0), None),
            ("5s", Some(5_000), Some(5_000), Some(5)),
            ("1m30s", Some(90_000), Some(90_000), Some(90)),
            ("1h30m", Some(5_400_000), Some(5_400_000), Some(5_400)),
            ("1.5h", Some(5_400_000), Some(5_400_000), Some(5_400)),
            ("500ms", Some(500), Some(500), Some(1)),
            ("-1s", Some(-1_000), None, None),
            ("30", None, None, None),
            ("", None, None, None),
            ("-", None, None, None),
            ("s", None, None, None),
            ("1d", None, None, None),
            ("PT1H", None, None, None),
            ("1 hour", None, None, None),
            ("soon", None, None, None),
            ("99999999999999999999h", None, None, None),
        ] {
            assert_eq!(parse_ms(text).ok(), ms, "{text}");
            assert_eq!(parse_span_ms(text).ok(), span, "{text}");
            assert_eq!(parse_seconds(text).ok(), seconds, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = parse_ms(&text);
        }
    }
}
