//! Digests: parsed once, computed while bytes stream by.

use super::ImageError;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Read};

/// A SHA-256 digest in the form `sha256:<64 lower-case hex digits>`.
///
/// The OCI image-spec also registers sha512; no registry we know serves it for images.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Digest {
    hex: String,
}

impl Digest {
    /// Reads `sha256:…`; `what` says in the error whose digest it is.
    pub fn parse(text: &str, what: &str) -> Result<Digest, ImageError> {
        text.strip_prefix("sha256:")
            .and_then(Digest::from_hex)
            .ok_or_else(|| ImageError::Malformed {
                what: what.to_owned(),
                why: format!("{text:?} is not a sha256 digest"),
            })
    }

    /// From 64 lower-case hex digits.
    pub fn from_hex(hex: &str) -> Option<Digest> {
        let fits = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Digest {
            hex: hex.to_owned(),
        })
    }

    pub fn of(bytes: &[u8]) -> Digest {
        Digest::finish(Sha256::new_with_prefix(bytes))
    }

    pub fn finish(hasher: Sha256) -> Digest {
        use fmt::Write as _;
        let mut hex = String::with_capacity(64);
        for byte in hasher.finalize() {
            let _ = write!(hex, "{byte:02x}");
        }
        Digest { hex }
    }

    /// The 64 hex digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Errs unless `found` is this digest.
    pub fn expect(&self, found: &Digest, what: &str) -> Result<(), ImageError> {
        if self == found {
            return Ok(());
        }
        Err(ImageError::DigestMismatch {
            what: what.to_owned(),
            expected: self.to_string(),
            found: found.to_string(),
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex)
    }
}

/// A reader that hashes and counts what passes.
pub(super) struct HashingReader<R> {
    inner: R,
    hasher: Sha256,
    bytes: u64,
}

impl<R: Read> HashingReader<R> {
    pub fn new(inner: R) -> HashingReader<R> {
        HashingReader {
            inner,
            hasher: Sha256::new(),
            bytes: 0,
        }
    }

    /// Reads to the end and gives the digest of everything that passed, with its length.
    /// Errs with `io::ErrorKind::FileTooLarge` once more than `bytes_max` have passed in all.
    pub fn drain(mut self, bytes_max: u64) -> io::Result<(Digest, u64)> {
        let mut buffer = vec![0; 16 * 1024];
        while self.read(&mut buffer)? > 0 {
            if self.bytes > bytes_max {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        Ok((Digest::finish(self.hasher), self.bytes))
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        self.hasher.update(&buf[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}
