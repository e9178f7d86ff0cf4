//! Name/value header blocks (section 2.6.10), unpacked: a count, then names and values with their lengths.

/// Names in lower case, in the order they came. Several values of one name are joined by NUL.
pub type Headers = Vec<(String, String)>;

/// Pairs in one block.
const PAIRS_MAX: u32 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadersError {
    #[error("a header block has more than {PAIRS_MAX} pairs")]
    TooMany,
    #[error("a header block ends within a pair")]
    Short,
    #[error("a header's name is empty or a text is not UTF-8")]
    Text,
}

/// Bytes after the last pair are ignored, as upstream does.
pub fn read(block: &[u8]) -> Result<Headers, HeadersError> {
    let mut rest = block;
    let count = number(&mut rest)?;
    if count > PAIRS_MAX {
        return Err(HeadersError::TooMany);
    }
    (0..count)
        .map(|_| {
            let name = text(&mut rest)?;
            let value = text(&mut rest)?;
            if name.is_empty() {
                return Err(HeadersError::Text);
            }
            Ok((name.to_ascii_lowercase(), value.to_owned()))
        })
        .collect()
}

fn number(rest: &mut &[u8]) -> Result<u32, HeadersError> {
    let (front, back) = rest.split_first_chunk::<4>().ok_or(HeadersError::Short)?;
    *rest = back;
    Ok(u32::from_be_bytes(*front))
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, HeadersError> {
    let length = number(rest)? as usize;
    let (front, back) = rest.split_at_checked(length).ok_or(HeadersError::Short)?;
    *rest = back;
    std::str::from_utf8(front).map_err(|_| HeadersError::Text)
}

pub fn write(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = (headers.len() as u32).to_be_bytes().to_vec();
    for (name, value) in headers {
        for text in [name, value] {
            block.extend_from_slice(&(text.len() as u32).to_be_bytes());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn damaged_blocks_are_refused() {
        for (block, error) in [
            (&b""[..], HeadersError::Short),
            (b"\0\0\0\x01", HeadersError::Short),
            (b"\0\0\0\x01\0\0\0\x05abc", HeadersError::Short),
            (b"\0\0\0\x01\xff\xff\xff\xffabc", HeadersError::Short),
            (b"\0\0\0\x01\0\0\0\0\0\0\0\0", HeadersError::Text),
            (b"\0\0\0\x01\0\0\0\x01\xff\0\0\0\0", HeadersError::Text),
            (b"\xff\0\0\0", HeadersError::TooMany),
        ] {
            assert_eq!(read(block), Err(error), "{block:?}");
        }
        assert_eq!(read(b"\0\0\0\0"), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn pairs_survive(pairs in proptest::collection::vec(("[a-z-]{1,20}", ".{0,40}"), 0..10)) {
            let borrowed: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            prop_assert_eq!(read(&write(&borrowed)), Ok(pairs));
        }
        #[test]
        fn any_bytes_are_taken(block: Vec<u8>) {
            let _ = read(&block);
        }
    }
}
