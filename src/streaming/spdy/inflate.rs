//! Header blocks out of their zlib stream: one stream for a whole connection, each block ended by a flush.
//!
//! The other direction needs no compressor: [`stored`] wraps a block into DEFLATE's uncompressed form (RFC 1951, 3.2.4),
//! which every zlib reader takes and which costs no memory. Headers of these protocols are some tens of bytes.

use super::dictionary;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

/// What DEFLATE may refer back to.
const WINDOW_BYTES: usize = 32 * 1024;
/// A header block unpacked. Kubernetes' clients send some 100 bytes.
pub const BLOCK_BYTES_MAX: usize = 16 * 1024;
/// Longest block in stored form: a 16-bit length.
const STORED_BYTES_MAX: usize = 0xffff;
/// zlib's header: method 8 with a 32 KiB window, a dictionary, and check bits that make it a multiple of 31.
const ZLIB_HEADER: [u8; 2] = [0x78, 0xbb];
const ZLIB_DICTIONARY_FLAG: u8 = 0x20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    #[error("the header block's compression is not zlib's")]
    Header,
    #[error("the header block was made with another dictionary")]
    Dictionary,
    #[error("the header block's compression is damaged")]
    Damaged,
    #[error("a header block has more than {BLOCK_BYTES_MAX} bytes")]
    TooLong,
}

/// The peer's side of the compression.
pub struct Inflater {
    state: Box<DecompressorOxide>,
    window: Box<[u8]>,
    at: usize,
    /// Bytes of zlib's own header still to come, as they come.
    header: Option<Vec<u8>>,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Inflater")
    }
}

impl Default for Inflater {
    fn default() -> Inflater {
        let mut window = vec![0; WINDOW_BYTES].into_boxed_slice();
        let at = dictionary::write(&mut window);
        Inflater {
            state: Box::default(),
            window,
            at,
            header: Some(Vec::new()),
        }
    }
}

impl Inflater {
    /// One whole block. After an error the connection's compression is lost, and with it the connection.
    pub fn block(&mut self, mut input: &[u8]) -> Result<Vec<u8>, InflateError> {
        if let Some(header) = &mut self.header {
            // Method and flags, then the dictionary's checksum where the flags say so.
            while let Some((&byte, rest)) = input.split_first() {
                let length = if header.get(1).is_some_and(|f| f & ZLIB_DICTIONARY_FLAG == 0) {
                    2
                } else {
                    6
                };
                if header.len() == length {
                    break;
                }
                header.push(byte);
                input = rest;
            }
            if let [method, flags, ..] = header[..]
                && (method & 0x0f != 8 || u16::from_be_bytes([method, flags]) % 31 != 0)
            {
                return Err(InflateError::Header);
            }
            match header[..] {
                [_, _, a, b, c, d] => {
                    if u32::from_be_bytes([a, b, c, d]) != dictionary::ADLER {
                        return Err(InflateError::Dictionary);
                    }
                    self.header = None;
                }
                [_, flags] if flags & ZLIB_DICTIONARY_FLAG == 0 => self.header = None,
                _ => return Ok(Vec::new()),
            }
        }
        self.inflate(input)
    }

    fn inflate(&mut self, mut input: &[u8]) -> Result<Vec<u8>, InflateError> {
        let mut out = Vec::new();
        loop {
            let (status, read, written) = decompress(
                &mut self.state,
                input,
                &mut self.window,
                self.at,
                inflate_flags::TINFL_FLAG_HAS_MORE_INPUT,
            );
            input = input.get(read..).unwrap_or_default();
            out.extend_from_slice(
                self.window
                    .get(self.at..self.at + written)
                    .unwrap_or_default(),
            );
            self.at = (self.at + written) & (WINDOW_BYTES - 1);
            if out.len() > BLOCK_BYTES_MAX {
                return Err(InflateError::TooLong);
            }
            match status {
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput if input.is_empty() => return Ok(out),
                // A stream that ended cannot carry the next block.
                _ => return Err(InflateError::Damaged),
            }
        }
    }
}

/// A block in stored form; `first` puts zlib's header in front.
pub fn stored(block: &[u8], first: bool) -> Option<Vec<u8>> {
    let length = u16::try_from(block.len().min(STORED_BYTES_MAX + 1)).ok()?;
    let mut out = Vec::with_capacity(block.len() + 16);
    if first {
        out.extend_from_slice(&ZLIB_HEADER);
        out.extend_from_slice(&dictionary::ADLER.to_be_bytes());
    }
    // Not the last block, type 0; the rest of its byte is unused.
    out.push(0);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(block);
    // An empty one, as a flush leaves it: Go's reader gives a block's bytes out when the next one begins, and would
    // run into the frame's end otherwise.
    out.extend_from_slice(&[0, 0, 0, 0xff, 0xff]);
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_block_made_with_the_dictionary_comes_out() {
        // zlib.compressobj(9, zdict=…) of Python, flushed with Z_SYNC_FLUSH twice.
        let first = unhex(PYTHON_FIRST);
        let second = unhex(PYTHON_SECOND);
        let mut inflater = Inflater::default();
        assert_eq!(
            inflater.block(&first).unwrap(),
            b"\0\0\0\x01\0\0\0\x0astreamtype\0\0\0\x05error user-agent www-authenticate"
        );
        assert_eq!(
            inflater.block(&second).unwrap(),
            b"streamtype user-agent www-authenticate"
        );
    }

    #[test]
    fn wrong_headers_and_bombs_are_refused() {
        for (bytes, error) in [
            (vec![0x79, 0xbb, 0, 0, 0, 0], InflateError::Header),
            (vec![0x78, 0xbb, 1, 2, 3, 4, 0], InflateError::Dictionary),
            (
                [&stored(b"", true).unwrap()[..6], &[7, 7, 7]].concat(),
                InflateError::Damaged,
            ),
            (
                stored(&vec![1; BLOCK_BYTES_MAX + 1], true).unwrap(),
                InflateError::TooLong,
            ),
        ] {
            assert_eq!(Inflater::default().block(&bytes), Err(error));
        }
        assert_eq!(stored(&vec![0; 70_000], true), None);
    }

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
            .collect()
    }

    proptest! {
        #[test]
        fn stored_blocks_come_back(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9000), 0..20)) {
            let mut inflater = Inflater::default();
            for (number, block) in blocks.iter().enumerate() {
                let sent = stored(block, number == 0).unwrap();
                prop_assert_eq!(&inflater.block(&sent).unwrap(), block);
            }
        }
        #[test]
        fn any_bytes_are_taken(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..5)) {
            let mut inflater = Inflater::default();
            for block in blocks {
                let _ = inflater.block(&[&stored(b"", true).unwrap()[..6], &block].concat());
            }
        }
    }
    const PYTHON_FIRST: &str =
        "78f9e3c6a7c202a62346703a2b294a4dcc851625aca9a0805640640205f4740e000000ffff";
    const PYTHON_SECOND: &str = "4228c7a70a000000ffff";
}
