//! Continuing a transfer: what to ask for and what the answer begins with (RFC 9110, 14). Pure.

/// The header that asks for everything from `done` on.
pub fn request(done: u64) -> String {
    format!("bytes={done}-")
}

/// How an answer to a request for the bytes from `done` on continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continues {
    /// With the byte asked for.
    There,
    /// From the start: this many bytes are known already and passed over.
    AtStart { skip: u64 },
    /// Somewhere else: the bytes cannot be used.
    Elsewhere,
}

/// Reads status and `Content-Range`. `size` is the whole blob's, 0 where unknown.
pub fn continues(status: u16, content_range: Option<&str>, done: u64, size: u64) -> Continues {
    match (status, content_range.and_then(parse)) {
        (200, _) => Continues::AtStart { skip: done },
        (206, Some((first, total)))
            if first == done && (size == 0 || total.is_none_or(|total| total == size)) =>
        {
            Continues::There
        }
        _ => Continues::Elsewhere,
    }
}

/// First byte and whole length of `bytes 5-9/10`.
fn parse(header: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    (first <= last).then_some((first, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bytes_asked_for_continue_a_transfer() {
        for (status, header, expected) in [
            (206, Some("bytes 5-9/10"), Continues::There),
            (206, Some("bytes 5-9/*"), Continues::There),
            (206, Some("bytes 4-9/10"), Continues::Elsewhere),
            (206, Some("bytes 5-9/11"), Continues::Elsewhere),
            (206, Some("lines 5-9/10"), Continues::Elsewhere),
            (206, None, Continues::Elsewhere),
            (200, None, Continues::AtStart { skip: 5 }),
            (416, Some("bytes */10"), Continues::Elsewhere),
        ] {
            assert_eq!(
                continues(status, header, 5, 10),
                expected,
                "{status} {header:?}"
            );
        }
        assert_eq!(request(5), "bytes=5-");
    }
}
