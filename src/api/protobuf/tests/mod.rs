//! How the tests encode: a message is its fields one after the other.

#![allow(clippy::unwrap_used)]

mod access;
mod bounds;
mod objects;

use super::MAGIC;

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A varint field.
fn int(number: u32, value: i64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value as u64)].concat()
}

/// A length-delimited field.
fn field(number: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [
        varint(u64::from(number) << 3 | 2),
        varint(value.len() as u64),
        value.to_vec(),
    ]
    .concat()
}

fn message(fields: &[Vec<u8>]) -> Vec<u8> {
    fields.concat()
}

fn entry(key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    message(&[field(1, key), field(2, value)])
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    [
        MAGIC.to_vec(),
        field(1, message(&[field(1, api_version), field(2, kind)])),
        field(2, raw),
        field(3, ""),
        field(4, ""),
    ]
    .concat()
}
