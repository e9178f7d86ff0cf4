//! How a session ended: the `Status` on the error channel.

use serde_json::Value;

#[derive(Debug, PartialEq, Eq)]
pub enum Finish {
    Success,
    /// The command's exit code, not 0.
    Exit(i32),
    /// It could not be run, or not to its end.
    Failure(String),
}

impl Finish {
    pub fn read(content: &[u8]) -> Finish {
        let Ok(status) = serde_json::from_slice::<Value>(content) else {
            return Finish::Failure(String::from_utf8_lossy(content).into_owned());
        };
        if status["status"] == "Success" {
            return Finish::Success;
        }
        let exit = status["details"]["causes"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|cause| cause["reason"] == "ExitCode")
            .and_then(|cause| cause["message"].as_str()?.parse().ok());
        match exit {
            Some(code) if status["reason"] == "NonZeroExitCode" => Finish::Exit(code),
            _ => Finish::Failure(status["message"].as_str().unwrap_or("unknown").to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        let exit = r#"{"status":"Failure","reason":"NonZeroExitCode","message":"command terminated with non-zero exit code","details":{"causes":[{"reason":"ExitCode","message":"42"}]}}"#;
        for (text, expected) in [
            (r#"{"status":"Success"}"#, Finish::Success),
            (exit, Finish::Exit(42)),
            (
                r#"{"status":"Failure","message":"no such file"}"#,
                Finish::Failure("no such file".to_owned()),
            ),
            ("plain", Finish::Failure("plain".to_owned())),
        ] {
            assert_eq!(Finish::read(text.as_bytes()), expected, "{text}");
        }
    }
}
