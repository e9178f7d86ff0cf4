//! One reader for plain, gzip and zstd streams, told apart by their first bytes.
//!
//! The media type is not asked: docker and containerd sniff too, because registries hold layers with wrong types.
//! zstd:chunked is plain zstd of many frames with skippable ones between them.

use super::zstd::ZstdReader;
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Read};

const BUFFER_BYTES: usize = 32 * 1024;

/// `inner` decompressed, whatever it is.
pub(super) fn decompress<'a, R: Read + 'a>(inner: R) -> io::Result<Box<dyn Read + 'a>> {
    let inner = Peeked::new(BufReader::with_capacity(BUFFER_BYTES, inner))?;
    Ok(match inner.start {
        [0x1f, 0x8b, _, _] => Box::new(MultiGzDecoder::new(inner)),
        // A frame, or a skippable frame before it (RFC 8878, 3.1).
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(ZstdReader::new(inner))
        }
        _ => Box::new(inner),
    })
}

/// A reader whose first bytes have been looked at and come again.
struct Peeked<R> {
    start: [u8; 4],
    known: usize,
    at: usize,
    inner: R,
}

impl<R: BufRead> Peeked<R> {
    fn new(mut inner: R) -> io::Result<Peeked<R>> {
        let mut start = [0; 4];
        let mut known = 0;
        // A network reader may give fewer bytes than asked.
        while known < start.len() {
            match inner.read(&mut start[known..])? {
                0 => break,
                count => known += count,
            }
        }
        Ok(Peeked {
            start,
            known,
            at: 0,
            inner,
        })
    }
}

impl<R: BufRead> Read for Peeked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at < self.known {
            let count = (&self.start[self.at..self.known]).read(buf)?;
            self.at += count;
            return Ok(count);
        }
        self.inner.read(buf)
    }
}

impl<R: BufRead> BufRead for Peeked<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at < self.known {
            return Ok(&self.start[self.at..self.known]);
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if self.at < self.known {
            self.at += amount;
        } else {
            self.inner.consume(amount);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    fn all(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompress(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn every_form_gives_the_same_bytes() {
        let data: Vec<u8> = (0..200_000_u32)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect();
        let two = [&data[..], &data[..]].concat();
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        for (form, bytes, expected) in [
            ("plain", data.clone(), &data),
            ("gzip", gzip(&data), &data),
            (
                "two gzip members",
                [gzip(&data), gzip(&data)].concat(),
                &two,
            ),
            ("zstd", zstd(&data), &data),
            ("two zstd frames", [zstd(&data), zstd(&data)].concat(), &two),
            (
                "zstd, then a skippable frame",
                [&zstd(&data)[..], &skippable].concat(),
                &data,
            ),
            (
                "a skippable frame first",
                [&skippable[..], &zstd(&data)].concat(),
                &data,
            ),
        ] {
            assert!(all(&bytes).unwrap() == *expected, "{form}");
        }
        assert_eq!(all(b"").unwrap(), b"");
        assert_eq!(all(b"abc").unwrap(), b"abc");
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let data = vec![7; 100_000];
        for bytes in [gzip(&data), zstd(&data)] {
            assert!(all(&bytes[..bytes.len() - 5]).is_err());
        }
    }
}
