//! A body as lines: watches, logs' progress and other newline-delimited JSON.

use super::ClientError;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

/// Longest line: an object is at most 3 MiB in a request (Kubernetes' limit), and comes back with
/// managed metadata and its envelope.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// Splits a body into lines without their end. Dropping it closes the body.
pub struct Lines {
    body: Body,
    buffer: BytesMut,
    /// How far `buffer` was searched for a line's end already.
    searched: usize,
    ended: bool,
}

impl Lines {
    pub fn new(body: Body) -> Lines {
        Lines {
            body,
            buffer: BytesMut::new(),
            searched: 0,
            ended: false,
        }
    }

    /// The next line that is not empty; `None` at the body's end. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<Bytes, ClientError>> {
        loop {
            if let Some(line) = self.take_line() {
                if line.is_empty() {
                    continue;
                }
                return Some(Ok(line));
            }
            if self.ended {
                let rest = self.buffer.split().freeze();
                self.searched = 0;
                return (!rest.is_empty()).then_some(Ok(rest));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                self.ended = true;
                self.buffer.clear();
                self.searched = 0;
                return Some(Err(ClientError::Decode(format!(
                    "a line is longer than {LINE_BYTES_MAX} bytes"
                ))));
            }
            match self.body.frame().await {
                None => self.ended = true,
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(cause)) => {
                    self.ended = true;
                    self.buffer.clear();
                    self.searched = 0;
                    return Some(Err(ClientError::Decode(format!(
                        "the stream broke off: {cause}"
                    ))));
                }
            }
        }
    }

    fn take_line(&mut self) -> Option<Bytes> {
        let found = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(offset) = found else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.searched + offset + 1);
        self.searched = 0;
        line.truncate(line.len() - 1);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Some(line.freeze())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn body(chunks: Vec<&'static str>) -> Body {
        let chunks = chunks.into_iter().map(Ok::<_, std::io::Error>);
        Body::from_stream(futures::stream::iter(chunks))
    }

    #[tokio::test]
    async fn lines_do_not_depend_on_chunks() {
        let cases: [(Vec<&str>, Vec<&str>); 5] = [
            (vec!["a\nb\n"], vec!["a", "b"]),
            (vec!["a", "b\n\n", "c"], vec!["ab", "c"]),
            (vec!["a\r\n", "\n"], vec!["a"]),
            (vec![], vec![]),
            (vec!["a\nb", "\nc\n"], vec!["a", "b", "c"]),
        ];
        for (chunks, expected) in cases {
            let mut lines = Lines::new(body(chunks));
            let mut found = Vec::new();
            while let Some(line) = lines.next().await {
                found.push(String::from_utf8(line.unwrap().to_vec()).unwrap());
            }
            assert_eq!(found, expected);
        }
    }

    #[tokio::test]
    async fn an_endless_line_is_an_error() {
        let chunk = "x".repeat(1 << 20);
        let chunks = std::iter::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
        let mut lines = Lines::new(Body::from_stream(futures::stream::iter(chunks)));
        assert!(lines.next().await.unwrap().is_err());
        assert!(lines.next().await.is_none());
    }
}
