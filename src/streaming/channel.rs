//! Messages of `v4.channel.k8s.io` and `v5.channel.k8s.io`: the first byte of each names its stream.
//! Source: k8s.io/apimachinery `pkg/util/remotecommand` (constants, and the close signal of version 5, KEP-4006).

use bytes::Bytes;

/// Newest first: version 5 can close standard input by itself.
pub const V5: &str = "v5.channel.k8s.io";
pub const V4: &str = "v4.channel.k8s.io";

/// Bytes of a stream in one message. The Kubernetes clients send and expect 32 KiB at most; half of that keeps a
/// session small.
pub const CHUNK_BYTES: usize = 16 * 1024;
/// Largest message taken from a peer.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// The next byte names the channel the client is done with.
const CLOSE: u8 = 255;

/// What a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Stdout,
    Stderr,
    /// A `Status`, at the end.
    Error,
}

impl Output {
    pub const fn number(self) -> u8 {
        match self {
            Output::Stdout => STDOUT,
            Output::Stderr => STDERR,
            Output::Error => ERROR,
        }
    }
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Stdin(Bytes),
    StdinEnd,
    /// Columns and rows of its terminal.
    Resize(u16, u16),
}

/// One message: a channel's number and its bytes.
pub fn message(channel: u8, content: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(content.len() + 1);
    bytes.push(channel);
    bytes.extend_from_slice(content);
    Bytes::from(bytes)
}

/// A client's message; `None` for what means nothing in this version.
pub fn read_input(message: &Bytes, version_5: bool) -> Option<Input> {
    let (&channel, content) = message.split_first()?;
    match channel {
        STDIN => Some(Input::Stdin(message.slice(1..))),
        CLOSE if version_5 && content.first() == Some(&STDIN) => Some(Input::StdinEnd),
        RESIZE => terminal_size(content).map(|(columns, rows)| Input::Resize(columns, rows)),
        _ => None,
    }
}

/// A server's message; `None` for a channel that does not exist.
pub fn read_output(message: &Bytes) -> Option<(Output, Bytes)> {
    let output = match *message.first()? {
        STDOUT => Output::Stdout,
        STDERR => Output::Stderr,
        ERROR => Output::Error,
        _ => return None,
    };
    Some((output, message.slice(1..)))
}

/// The message for what a client has to say.
pub fn write_input(input: &Input) -> Bytes {
    match input {
        Input::Stdin(content) => message(STDIN, content),
        Input::StdinEnd => message(CLOSE, &[STDIN]),
        Input::Resize(columns, rows) => message(RESIZE, &write_terminal_size(*columns, *rows)),
    }
}

/// `{"Width": …, "Height": …}`; a size of zero is none.
pub fn terminal_size(content: &[u8]) -> Option<(u16, u16)> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Size {
        width: u16,
        height: u16,
    }
    let size: Size = serde_json::from_slice(content).ok()?;
    (size.width > 0 && size.height > 0).then_some((size.width, size.height))
}

pub fn write_terminal_size(columns: u16, rows: u16) -> Vec<u8> {
    format!("{{\"Width\":{columns},\"Height\":{rows}}}").into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_clients_send() {
        let stdin = |text: &'static str| Some(Input::Stdin(Bytes::from_static(text.as_bytes())));
        for (bytes, version_5, expected) in [
            (&b"\x00abc"[..], true, stdin("abc")),
            (b"\x00", false, stdin("")),
            (b"\xff\x00", true, Some(Input::StdinEnd)),
            (b"\xff\x00", false, None),
            (b"\xff\x01", true, None),
            (b"\xff", true, None),
            (
                b"\x04{\"Width\":80,\"Height\":24}",
                true,
                Some(Input::Resize(80, 24)),
            ),
            (b"\x04{\"Width\":0,\"Height\":24}", true, None),
            (b"\x04{\"Width\":70000,\"Height\":24}", true, None),
            (b"\x04junk", true, None),
            (b"\x01abc", true, None),
            (b"", true, None),
        ] {
            let message = Bytes::from_static(bytes);
            assert_eq!(read_input(&message, version_5), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_servers_send() {
        for output in [Output::Stdout, Output::Stderr, Output::Error] {
            let sent = message(output.number(), b"x");
            assert_eq!(read_output(&sent), Some((output, Bytes::from("x"))));
        }
        assert_eq!(read_output(&Bytes::from("\u{9}x")), None);
        assert_eq!(read_output(&Bytes::new()), None);
    }

    proptest! {
        #[test]
        fn inputs_survive_the_wire(content: Vec<u8>, columns in 1u16.., rows in 1u16..) {
            for input in [Input::Stdin(content.into()), Input::StdinEnd, Input::Resize(columns, rows)] {
                prop_assert_eq!(read_input(&write_input(&input), true), Some(input));
            }
        }
        #[test]
        fn any_bytes_are_taken(content: Vec<u8>, version_5: bool) {
            let message = Bytes::from(content);
            let _ = read_input(&message, version_5);
            let _ = read_output(&message);
        }
    }
}
