//! One reader for plain, gzip and zstd streams, told apart by their first bytes.
//!
//! The media type is not asked: docker and containerd sniff too, because registries hold layers with wrong types.

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, BufReader, Read};

const BUFFER_BYTES: usize = 32 * 1024;

/// Largest zstd window accepted. It is held in memory; RFC 8878 asks for 8 MiB, image builders stay at or below that
/// up to level 19, and a board must not spend more than this on one layer.
const ZSTD_WINDOW_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// `inner` decompressed, whatever it is.
pub(super) fn decompress<'a, R: Read + 'a>(inner: R) -> io::Result<Box<dyn Read + 'a>> {
    let mut inner = BufReader::with_capacity(BUFFER_BYTES, inner);
    let mut magic = [0; 4];
    let mut known = 0;
    // A network reader may give fewer bytes than asked.
    while known < magic.len() {
        match inner.read(&mut magic[known..])? {
            0 => break,
            count => known += count,
        }
    }
    let start = io::Cursor::new(magic).take(known as u64);
    let whole = BufReader::with_capacity(BUFFER_BYTES, start.chain(inner));
    Ok(match magic {
        [0x1f, 0x8b, _, _] => Box::new(MultiGzDecoder::new(whole)),
        // A frame, or a skippable frame before it (RFC 8878, 3.1).
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(ZstdReader::new(whole))
        }
        _ => Box::new(whole),
    })
}

/// All frames of a zstd stream; ruzstd's own reader stops after the first.
struct ZstdReader<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    fn new(source: R) -> ZstdReader<R> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW_BYTES_MAX);
        ZstdReader {
            source,
            decoder,
            in_frame: false,
        }
    }

    /// Moves to the next frame with data; false at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut frame = (&mut self.source).take(u64::from(length));
                    if io::copy(&mut frame, &mut io::sink())? < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.in_frame {
                while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                    self.decoder
                        .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                        .map_err(io::Error::other)?;
                }
                let count = self.decoder.read(buf)?;
                if count > 0 || buf.is_empty() {
                    return Ok(count);
                }
                self.in_frame = false;
            }
            if !self.next_frame()? {
                return Ok(0);
            }
            self.in_frame = true;
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
