//! A zstd stream of any number of frames (RFC 8878), with a bound on the memory of all such streams together.
//!
//! A frame's window must be held in memory while it is decoded, and builders choose 2 to 8 MiB. Layers whose windows
//! would not fit the budget beside those under way wait for them.

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, Read};
use std::sync::{Condvar, Mutex, PoisonError};

/// Largest window accepted. RFC 8878 asks for 8 MiB, image builders stay at or below that up to level 19, and a board
/// must not spend more than this on one layer.
const WINDOW_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The decoder keeps two blocks of 128 KiB beside its window.
const BLOCKS_BYTES: u64 = 256 * 1024;

/// All windows of this process together: one of 8 MiB, or three of the 2 MiB of zstd's own default. A larger one has
/// it alone. Unpacking is bound by the card or the link, so waiting costs little.
const BUDGET_BYTES: u64 = 8 * 1024 * 1024 + BLOCKS_BYTES;

const SKIPPABLE: std::ops::RangeInclusive<u32> = 0x184D_2A50..=0x184D_2A5F;
const FRAME: u32 = 0xFD2F_B528;

static BUDGET: Budget = Budget {
    free: Mutex::new(BUDGET_BYTES),
    returned: Condvar::new(),
};

struct Budget {
    free: Mutex<u64>,
    returned: Condvar,
}

impl Budget {
    /// Waits until so many bytes are free. Whoever waits holds none, so somebody always goes on.
    fn take(&'static self, bytes: u64) -> Grant {
        let bytes = bytes.min(BUDGET_BYTES);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < bytes {
            free = self
                .returned
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free -= bytes;
        Grant {
            budget: self,
            bytes,
        }
    }
}

struct Grant {
    budget: &'static Budget,
    bytes: u64,
}

impl Drop for Grant {
    fn drop(&mut self) {
        let mut free = self
            .budget
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *free += self.bytes;
        self.budget.returned.notify_all();
    }
}

/// All frames of a stream; ruzstd's own reader stops after the first and looks at no budget.
pub(super) struct ZstdReader<R> {
    source: R,
    /// With the memory it may use. Dropped before a larger one is asked for.
    decoder: Option<(Box<FrameDecoder>, Grant)>,
    in_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    pub fn new(source: R) -> ZstdReader<R> {
        ZstdReader {
            source,
            decoder: None,
            in_frame: false,
        }
    }

    /// Moves to the next frame with data; false at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            let mut magic = [0; 4];
            self.source.read_exact(&mut magic)?;
            let number = u32::from_le_bytes(magic);
            if SKIPPABLE.contains(&number) {
                let mut length = [0; 4];
                self.source.read_exact(&mut length)?;
                let length = u64::from(u32::from_le_bytes(length));
                let mut frame = (&mut self.source).take(length);
                if io::copy(&mut frame, &mut io::sink())? < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            }
            if number != FRAME {
                return Err(invalid("what follows is no zstd frame".to_owned()));
            }
            self.begin(magic)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn begin(&mut self, magic: [u8; 4]) -> io::Result<()> {
        let mut header = magic.to_vec();
        let window = read_header(&mut self.source, &mut header)?;
        if window > WINDOW_BYTES_MAX {
            return Err(invalid(format!(
                "its zstd window of {window} bytes is larger than {WINDOW_BYTES_MAX}"
            )));
        }
        let needed = window.next_power_of_two() + BLOCKS_BYTES;
        if self
            .decoder
            .as_ref()
            .is_none_or(|(_, grant)| grant.bytes < needed)
        {
            self.decoder = None;
            let grant = BUDGET.take(needed);
            let mut decoder = Box::new(FrameDecoder::new());
            decoder.set_max_window_size(WINDOW_BYTES_MAX);
            // The first frame of a decoder would let its window grow by doubling, and leave as much behind in freed
            // pieces; the second takes it at once.
            decoder.reset(&header[..]).map_err(io::Error::other)?;
            self.decoder = Some((decoder, grant));
        }
        if let Some((decoder, _)) = &mut self.decoder {
            decoder
                .reset((&header[..]).chain(&mut self.source))
                .map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// The rest of a frame's header after its magic number, appended to `header`; gives the window's size (RFC 8878, 3.1.1.1).
fn read_header(source: &mut impl Read, header: &mut Vec<u8>) -> io::Result<u64> {
    let mut next = |count: usize| -> io::Result<u64> {
        let mut bytes = [0; 8];
        source.read_exact(&mut bytes[..count])?;
        header.extend_from_slice(&bytes[..count]);
        Ok(u64::from_le_bytes(bytes))
    };
    let descriptor = next(1)?;
    let is_single = descriptor & 0x20 != 0;
    let window = if is_single { 0 } else { next(1)? };
    next([0, 1, 2, 4][(descriptor & 3) as usize])?;
    let size_bytes = match (descriptor >> 6, is_single) {
        (0, false) => 0,
        (0, true) => 1,
        (1, _) => 2,
        (2, _) => 4,
        _ => 8,
    };
    let size = next(size_bytes)?;
    if is_single {
        return Ok(size + if size_bytes == 2 { 256 } else { 0 });
    }
    let base = 1_u64 << (10 + (window >> 3));
    Ok(base + base / 8 * (window & 7))
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.in_frame
                && let Some((decoder, _)) = &mut self.decoder
            {
                while decoder.can_collect() == 0 && !decoder.is_finished() {
                    decoder
                        .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                        .map_err(io::Error::other)?;
                }
                let count = decoder.read(buf)?;
                if count > 0 || buf.is_empty() {
                    return Ok(count);
                }
                self.in_frame = false;
            }
            if !self.next_frame()? {
                // A stream at its end needs no memory while its reader is drained.
                self.decoder = None;
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

    #[test]
    fn windows_are_read_from_the_header() {
        for (header, window) in [
            // Descriptor, window descriptor.
            (vec![0x00, 0x00], 1024),
            (vec![0x00, 0x58], 2 * 1024 * 1024),
            (vec![0x04, 0x6c], 12 * 1024 * 1024),
            // Single segment: the content's size is the window.
            (vec![0x20, 200], 200),
            (vec![0x60, 1, 0], 257),
            (vec![0xa0, 0, 0, 1, 0], 65_536),
            // A dictionary's number comes between.
            (vec![0x01, 0x08, 9], 2048),
        ] {
            let mut kept = Vec::new();
            assert_eq!(read_header(&mut &header[..], &mut kept).unwrap(), window);
            assert_eq!(kept, header);
        }
        assert!(read_header(&mut &[0x00][..], &mut Vec::new()).is_err());
    }

    #[test]
    fn a_window_that_no_board_should_hold_is_refused() {
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 1, 0, 0];
        let error = ZstdReader::new(&frame[..]).read(&mut [0; 9]).unwrap_err();
        assert!(error.to_string().contains("window"), "{error}");
    }

    #[test]
    fn the_budget_comes_back() {
        let large = BUDGET.take(u64::MAX);
        let waiting = std::thread::spawn(|| BUDGET.take(1).bytes);
        drop(large);
        assert_eq!(waiting.join().unwrap(), 1);
    }
}
