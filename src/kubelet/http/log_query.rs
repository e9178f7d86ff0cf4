//! What part of a container's log is asked for, and what its lines are. Pure.

use super::{Refusal, flag, value};

/// `pods/log` options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    pub follow: bool,
    pub previous: bool,
    pub timestamps: bool,
    pub tail_lines: Option<u64>,
    pub limit_bytes: Option<u64>,
    /// Lines at or after this, milliseconds since the epoch.
    pub since_ms: Option<i64>,
}

impl LogQuery {
    pub fn parse(query: &[(String, String)], now_ms: i64) -> Result<LogQuery, Refusal> {
        let number = |name: &str, least: i64| -> Result<Option<i64>, Refusal> {
            let Some(text) = value(query, name).filter(|t| !t.is_empty()) else {
                return Ok(None);
            };
            match text.parse::<i64>() {
                Ok(number) if number >= least => Ok(Some(number)),
                _ => Err(Refusal::bad_request(format!(
                    "Invalid value: \"{text}\": {name} must be a whole number of at least {least}"
                ))),
            }
        };
        let since_time = value(query, "sinceTime").filter(|t| !t.is_empty());
        let since_time = since_time
            .map(|text| {
                text.parse::<jiff::Timestamp>().map_err(|e| {
                    Refusal::bad_request(format!(
                        "Invalid value: \"{text}\": sinceTime must be an RFC 3339 time: {e}"
                    ))
                })
            })
            .transpose()?;
        let since_seconds = number("sinceSeconds", 1)?;
        if since_time.is_some() && since_seconds.is_some() {
            return Err(Refusal::bad_request(
                "at most one of `sinceTime` or `sinceSeconds` may be specified".to_string(),
            ));
        }
        Ok(LogQuery {
            follow: flag(query, "follow"),
            previous: flag(query, "previous"),
            timestamps: flag(query, "timestamps"),
            tail_lines: number("tailLines", 0)?.map(i64::unsigned_abs),
            limit_bytes: number("limitBytes", 1)?.map(i64::unsigned_abs),
            since_ms: since_time
                .map(jiff::Timestamp::as_millisecond)
                .or(since_seconds.map(|s| now_ms.saturating_sub(s.saturating_mul(1000)))),
        })
    }
}

/// Turns CRI log lines into what the client gets.
#[derive(Debug)]
pub struct Filter {
    timestamps: bool,
    since_ms: Option<i64>,
    left_bytes: u64,
    /// The line before was a partial one (`P`): the next continues it.
    partial: bool,
}

impl Filter {
    pub fn new(query: &LogQuery) -> Filter {
        Filter {
            timestamps: query.timestamps,
            since_ms: query.since_ms,
            left_bytes: query.limit_bytes.unwrap_or(u64::MAX),
            partial: false,
        }
    }

    /// True when `limitBytes` is used up.
    pub fn is_done(&self) -> bool {
        self.left_bytes == 0
    }

    /// Adds one line (without its newline) to `out`. A line that is not in CRI format is left out.
    pub fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let mut parts = line.splitn(4, |b| *b == b' ');
        let (Some(stamp), Some(_stream), Some(tag)) = (parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        let text = parts.next().unwrap_or_default();
        if let Some(since_ms) = self.since_ms {
            let at = std::str::from_utf8(stamp)
                .ok()
                .and_then(|s| s.parse::<jiff::Timestamp>().ok());
            if at.is_none_or(|at| at.as_millisecond() < since_ms) {
                return;
            }
            // Times only grow from here on.
            self.since_ms = None;
        }
        let is_partial = tag.split(|b| *b == b':').any(|t| t == b"P");
        let stamped: &[&[u8]] = if self.timestamps && !self.partial {
            &[stamp, b" "]
        } else {
            &[]
        };
        let end: &[u8] = if is_partial { b"" } else { b"\n" };
        for piece in stamped.iter().copied().chain([text, end]) {
            let take = usize::try_from(self.left_bytes)
                .unwrap_or(usize::MAX)
                .min(piece.len());
            out.extend_from_slice(&piece[..take]);
            self.left_bytes -= take as u64;
        }
        self.partial = is_partial;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect()
    }

    #[test]
    fn options() {
        let parsed = LogQuery::parse(
            &pairs("follow=true&tailLines=3&sinceSeconds=10&timestamps=false"),
            60_000,
        );
        let expected = LogQuery {
            follow: true,
            tail_lines: Some(3),
            since_ms: Some(50_000),
            ..LogQuery::default()
        };
        assert_eq!(parsed.ok(), Some(expected));
        for bad in [
            "tailLines=-1",
            "tailLines=x",
            "limitBytes=0",
            "sinceTime=monday",
            "sinceSeconds=1&sinceTime=2025-01-01T00:00:00Z",
        ] {
            assert!(LogQuery::parse(&pairs(bad), 0).is_err(), "{bad}");
        }
    }

    fn filtered(query: &LogQuery) -> String {
        let mut filter = Filter::new(query);
        let mut out = Vec::new();
        for line in [
            "2025-01-01T00:00:00.5Z stdout F one",
            "2025-01-01T00:00:01.5Z stdout P tw",
            "2025-01-01T00:00:01.6Z stdout F o",
            "garbage",
            "2025-01-01T00:00:02.5Z stderr F ",
        ] {
            filter.line(line.as_bytes(), &mut out);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn lines() {
        let query = LogQuery::default();
        assert_eq!(filtered(&query), "one\ntwo\n\n");
        let at: jiff::Timestamp = "2025-01-01T00:00:01Z".parse().unwrap();
        let since = LogQuery {
            since_ms: Some(at.as_millisecond()),
            timestamps: true,
            ..query.clone()
        };
        assert_eq!(
            filtered(&since),
            "2025-01-01T00:00:01.5Z two\n2025-01-01T00:00:02.5Z \n"
        );
        let limited = LogQuery {
            limit_bytes: Some(5),
            ..query
        };
        assert_eq!(filtered(&limited), "one\nt");
    }
}
