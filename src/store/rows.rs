//! How rows look on disk: the key spaces, and the envelope around an object.

use super::engine::EngineError;
use super::{Body, Key, Revision};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Objects: this byte, then the key.
const OBJECT: u8 = b's';
/// Where the store stands: one row, written in every batch of changes.
pub const HEAD: &[u8] = b"m/head";
/// First byte of rows that belong to whoever orders the transactions (its log, its votes).
pub const FOREIGN: u8 = b'x';

/// The row under [`HEAD`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Head {
    pub revision: Revision,
    /// What the caller wants to find again beside this revision; opaque here.
    pub tag: Vec<u8>,
}

impl Head {
    pub fn encode(&self) -> Result<Vec<u8>, EngineError> {
        postcard::to_allocvec(self).map_err(|e| EngineError(e.to_string()))
    }
}

/// An object as on disk: `postcard` of (revision, created, JSON bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub revision: Revision,
    /// Revision at which the key came into being.
    pub created: Revision,
    pub json: Bytes,
}

impl Row {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.json.len() + 24);
        for number in [self.revision.0, self.created.0, self.json.len() as u64] {
            put_varint(&mut out, number);
        }
        out.extend_from_slice(&self.json);
        out
    }

    /// Reads the header only; the JSON is a slice of `bytes`.
    pub fn decode(bytes: Bytes) -> Result<Row, EngineError> {
        let (header, rest) = postcard::take_from_bytes::<(u64, u64, u64)>(&bytes)
            .map_err(|e| EngineError(format!("an object's envelope is damaged: {e}")))?;
        let (revision, created, length) = header;
        if rest.len() as u64 != length {
            return Err(EngineError(format!(
                "an object's envelope is damaged: {} bytes of JSON where {length} were announced",
                rest.len()
            )));
        }
        let start = bytes.len() - rest.len();
        Ok(Row {
            revision: Revision(revision),
            created: Revision(created),
            json: bytes.slice(start..),
        })
    }
}

/// `postcard`'s varint: 7 bits a byte, least significant first.
fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub fn object_key(key: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 1);
    out.push(OBJECT);
    out.extend_from_slice(key.as_bytes());
    out
}

pub fn key_of_object(row_key: &[u8]) -> Result<Key, EngineError> {
    std::str::from_utf8(row_key.get(1..).unwrap_or_default())
        .map(|key| Key(key.to_owned()))
        .map_err(|e| EngineError(format!("a key on disk is damaged: {e}")))
}

/// The first row key after every object whose key starts with `prefix`.
pub fn objects_end(prefix: &str) -> Vec<u8> {
    let mut end = object_key(prefix);
    // No UTF-8 byte and no space marker is 0xff, so the last byte can always be raised.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// The body with the revision's decimal digits put in. `None`: the offset is outside or inside a character.
pub fn stamp(body: &Body, revision: Revision) -> Option<Bytes> {
    let at = body.revision_at as usize;
    let (head, tail) = body.json.split_at_checked(at)?;
    let digits = revision.0.to_string();
    let mut json = Vec::with_capacity(body.json.len() + digits.len());
    json.extend_from_slice(head);
    json.extend_from_slice(digits.as_bytes());
    json.extend_from_slice(tail);
    Some(Bytes::from(json))
}
