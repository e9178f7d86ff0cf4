//! What one try of a probe comes to, in upstream's four words.

use crate::kubelet::pod::health::{Answer, Kind};

/// Upstream's `probe.Result` with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// It counts as a success, and is told.
    Warning(String),
    Failure(String),
    /// The probe could not be carried out. It is tried again, then told, and does not count.
    Error {
        state: &'static str,
        text: String,
    },
}

impl Outcome {
    /// An error before anything was asked.
    pub fn unknown(text: impl Into<String>) -> Outcome {
        Outcome::Error {
            state: "unknown",
            text: text.into(),
        }
    }

    pub fn answer(&self) -> Answer {
        match self {
            Outcome::Success | Outcome::Warning(_) => Answer::Healthy,
            Outcome::Failure(_) => Answer::Unhealthy,
            Outcome::Error { .. } => Answer::Unknown,
        }
    }

    /// Reason and message of the event, where there is something to tell.
    pub fn event(&self, kind: Kind) -> Option<(&'static str, String)> {
        let title = kind.title();
        match self {
            Outcome::Success => None,
            Outcome::Warning(text) => {
                Some(("ProbeWarning", format!("{title} probe warning: {text}")))
            }
            Outcome::Failure(text) => Some(("Unhealthy", format!("{title} probe failed: {text}"))),
            Outcome::Error { state, text } => Some((
                "Unhealthy",
                format!("{title} probe errored and resulted in {state} state: {text}"),
            )),
        }
    }
}

/// Whole seconds as Go prints them: `1s`, `1m30s`, `1h0m0s`.
pub fn go_seconds(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

/// Upstream's (Go's) words for a connection that did not come about.
pub fn dial_error(address: &str, error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let what = match error.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused".to_string(),
        ErrorKind::HostUnreachable => "connect: no route to host".to_string(),
        ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_string(),
        ErrorKind::TimedOut => "i/o timeout".to_string(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: {what}")
}

/// `host:port`, with brackets around an IPv6 address.
pub fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_in_upstreams_words() {
        for (outcome, expected) in [
            (Outcome::Success, None),
            (
                Outcome::Warning("w".into()),
                Some("ProbeWarning/Liveness probe warning: w"),
            ),
            (
                Outcome::Failure("HTTP probe failed with statuscode: 503".into()),
                Some("Unhealthy/Liveness probe failed: HTTP probe failed with statuscode: 503"),
            ),
            (
                Outcome::unknown("e"),
                Some("Unhealthy/Liveness probe errored and resulted in unknown state: e"),
            ),
        ] {
            let told = outcome
                .event(Kind::Liveness)
                .map(|(reason, message)| format!("{reason}/{message}"));
            assert_eq!(told.as_deref(), expected);
        }
    }

    #[test]
    fn durations_and_addresses() {
        assert_eq!(
            [1, 90, 3600].map(go_seconds),
            ["1s", "1m30s", "1h0m0s"].map(String::from)
        );
        assert_eq!(join_host_port("fd00::1", 80), "[fd00::1]:80");
        let refused = std::io::ErrorKind::ConnectionRefused.into();
        assert_eq!(
            dial_error("10.0.0.1:80", &refused),
            "dial tcp 10.0.0.1:80: connect: connection refused"
        );
    }
}
