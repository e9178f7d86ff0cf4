//! The CRI log line (`kuberuntime/logs` in kubelet): `2016-10-06T00:17:09.669794202Z stdout F text`.

/// Longest text of one line; longer ones are cut into `P` parts (containerd's default).
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// RFC 3339 in UTC with nine decimals, as upstream writes it.
pub fn timestamp(now: jiff::Timestamp) -> String {
    format!("{now:.9}")
}

/// A line taken apart. `text` has no newline.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub time: &'a [u8],
    pub stream: &'a [u8],
    pub partial: bool,
    pub text: &'a [u8],
}

/// `None` for what is not a CRI line.
pub fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |b| *b == b' ');
    let time = parts.next()?;
    let stream = parts.next()?;
    let tag = parts.next()?;
    // Tags may carry more, separated by colons.
    let first = tag.split(|b| *b == b':').next()?;
    Some(Line {
        time,
        stream,
        partial: first == b"P",
        text: parts.next()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_has_four_parts() {
        let line = parse(b"2016-10-06T00:17:09.669794202Z stdout P a b").unwrap();
        assert_eq!(line.text, b"a b");
        assert!(line.partial);
        assert_eq!(line.stream, b"stdout");
        assert_eq!(parse(b"torn lin"), None);
    }

    #[test]
    fn time_has_nine_decimals() {
        let time = jiff::Timestamp::from_second(1).unwrap();
        assert_eq!(timestamp(time), "1970-01-01T00:00:01.000000000Z");
    }
}
