//! What part of a container's log is asked for. Pure.

use super::{Refusal, flag, value};
use crate::runtime::logs::LogOptions;
use jiff::{SignedDuration, Timestamp};

/// `pods/log` options.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    pub previous: bool,
    pub options: LogOptions,
}

impl LogQuery {
    pub fn parse(query: &[(String, String)], now: Timestamp) -> Result<LogQuery, Refusal> {
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
        let since_seconds = since_seconds
            .map(|seconds| now.saturating_sub(SignedDuration::from_secs(seconds)))
            .transpose()
            .map_err(|e| Refusal::bad_request(format!("sinceSeconds: {e}")))?;
        let stream = match value(query, "stream") {
            None | Some("" | "All") => None,
            Some("Stdout") => Some("stdout".to_string()),
            Some("Stderr") => Some("stderr".to_string()),
            Some(other) => {
                return Err(Refusal::bad_request(format!(
                    "Unsupported value: \"{other}\": stream must be All, Stdout or Stderr"
                )));
            }
        };
        let tail_lines = number("tailLines", 0)?.map(i64::unsigned_abs);
        if stream.is_some() && tail_lines.is_some() {
            return Err(Refusal::bad_request(
                "`tailLines` and specific `stream` are mutually exclusive for now".to_string(),
            ));
        }
        Ok(LogQuery {
            previous: flag(query, "previous"),
            options: LogOptions {
                follow: flag(query, "follow"),
                timestamps: flag(query, "timestamps"),
                tail_lines,
                limit_bytes: number("limitBytes", 1)?.map(i64::unsigned_abs),
                since: since_time.or(since_seconds),
                stream,
            },
        })
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
        let now = Timestamp::from_second(60).unwrap();
        let text = "follow=true&tailLines=3&sinceSeconds=10&timestamps=false";
        let parsed = LogQuery::parse(&pairs(text), now).ok().unwrap();
        assert!(parsed.options.follow && !parsed.previous && !parsed.options.timestamps);
        assert_eq!(parsed.options.tail_lines, Some(3));
        assert_eq!(parsed.options.since, Timestamp::from_second(50).ok());
        for bad in [
            "tailLines=-1",
            "tailLines=x",
            "limitBytes=0",
            "sinceTime=monday",
            "sinceSeconds=1&sinceTime=2025-01-01T00:00:00Z",
            "stream=Both",
            "stream=Stdout&tailLines=1",
        ] {
            assert!(LogQuery::parse(&pairs(bad), now).is_err(), "{bad}");
        }
    }
}
