//! `v5.channel.k8s.io`: the first byte of each message names its stream.
//! Source: k8s.io/apimachinery, `pkg/util/remotecommand` (constants and the close signal of version 5).

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Frame;

/// The protocol's name in `Sec-WebSocket-Protocol`.
pub const PROTOCOL: &str = "v5.channel.k8s.io";

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Finish {
    Success,
    /// Its exit code, not 0.
    Exit(i32),
    /// It could not be run.
    Failure(String),
}

/// What a message from the server means.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    Stdout(Bytes),
    Stderr(Bytes),
    Finished(Finish),
    Nothing,
}

pub fn stdin(bytes: &[u8]) -> Frame {
    frame(STDIN, bytes)
}

pub fn close_stdin() -> Frame {
    frame(CLOSE, &[STDIN])
}

pub fn resize(columns: u16, rows: u16) -> Frame {
    frame(
        RESIZE,
        json!({"Width": columns, "Height": rows})
            .to_string()
            .as_bytes(),
    )
}

fn frame(channel: u8, bytes: &[u8]) -> Frame {
    let mut message = Vec::with_capacity(bytes.len() + 1);
    message.push(channel);
    message.extend_from_slice(bytes);
    Frame::Binary(message.into())
}

pub fn read(frame: Frame) -> Message {
    let bytes = match frame {
        Frame::Binary(bytes) => bytes,
        Frame::Text(text) => Bytes::from(text.to_string()),
        _ => return Message::Nothing,
    };
    let Some(channel) = bytes.first() else {
        return Message::Nothing;
    };
    let content = bytes.slice(1..);
    match *channel {
        STDOUT => Message::Stdout(content),
        STDERR => Message::Stderr(content),
        ERROR => Message::Finished(finish(&content)),
        _ => Message::Nothing,
    }
}

/// The `Status` on the error channel.
fn finish(content: &[u8]) -> Finish {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn from_server(channel: u8, text: &str) -> Message {
        read(frame(channel, text.as_bytes()))
    }

    #[test]
    fn messages_are_told_apart() {
        let exit = r#"{"status":"Failure","reason":"NonZeroExitCode","message":"command terminated with non-zero exit code","details":{"causes":[{"reason":"ExitCode","message":"42"}]}}"#;
        for (channel, text, expected) in [
            (STDOUT, "out", Message::Stdout(Bytes::from("out"))),
            (STDERR, "", Message::Stderr(Bytes::new())),
            (
                ERROR,
                r#"{"status":"Success"}"#,
                Message::Finished(Finish::Success),
            ),
            (ERROR, exit, Message::Finished(Finish::Exit(42))),
            (
                ERROR,
                r#"{"status":"Failure","message":"no such file"}"#,
                Message::Finished(Finish::Failure("no such file".to_owned())),
            ),
            (
                ERROR,
                "plain",
                Message::Finished(Finish::Failure("plain".to_owned())),
            ),
            (9, "x", Message::Nothing),
        ] {
            assert_eq!(from_server(channel, text), expected, "{text}");
        }
        assert_eq!(read(Frame::Binary(Bytes::new())), Message::Nothing);
        assert_eq!(
            resize(80, 24),
            Frame::Binary(Bytes::from("\u{4}{\"Width\":80,\"Height\":24}"))
        );
    }
}
