//! Go's durations, as kubectl's flags take them: `0`, `30s`, `1m30s`, `500ms`, `-1s`.

/// Milliseconds; a bare number other than 0 needs a unit.
pub fn parse_ms(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no duration such as 0, 500ms, 30s, 5m or 1h30m");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .ok_or_else(wrong)?;
        let amount: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let end = rest
            .find(|character: char| character.is_ascii_digit())
            .unwrap_or(rest.len());
        total += amount
            * match &rest[..end] {
                "h" => 3_600_000.0,
                "m" => 60_000.0,
                "s" => 1_000.0,
                "ms" => 1.0,
                _ => return Err(wrong()),
            };
        rest = &rest[end..];
    }
    // A float past the integer's range becomes its largest value: long enough.
    Ok((sign * total) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("500ms", Some(500)),
            ("-1s", Some(-1_000)),
            ("30", None),
            ("", None),
            ("-", None),
            ("s", None),
            ("1d", None),
        ] {
            assert_eq!(parse_ms(text).ok(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,12}") {
            let _ = parse_ms(&text);
        }
    }
}
