//! Files with holes in PAX archives: GNU tar's formats 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse Files").
//!
//! Pure but for reading the map that 1.0 puts before the data. The old GNU form is the tar crate's own.

use std::io::{self, Read};

/// Most pieces of data between holes; each is a seek and a write.
const PIECES_MAX: usize = 65_536;

/// Longest number in a map, digits of the largest 64-bit one.
const DIGITS_MAX: usize = 20;

/// A run of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    pub offset: u64,
    pub bytes: u64,
}

/// What the records say about a file with holes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sparse {
    /// The file's name: the header's own is made up.
    pub name: Option<Vec<u8>>,
    /// The file's length with its holes.
    pub size: u64,
    /// `None`: the map stands before the data (1.0).
    pub pieces: Option<Vec<Piece>>,
}

/// Reads PAX records; `None` for a file without holes.
pub fn of(records: &[(Vec<u8>, Vec<u8>)]) -> Result<Option<Sparse>, String> {
    let mut sparse = Sparse::default();
    let mut is_sparse = false;
    let (mut major, mut minor) = (0, 0);
    let mut list: Vec<u64> = Vec::new();
    for (key, value) in records {
        let Some(key) = key.strip_prefix(b"GNU.sparse.") else {
            continue;
        };
        is_sparse = true;
        match key {
            b"name" => sparse.name = Some(value.clone()),
            b"size" | b"realsize" => sparse.size = number(value)?,
            b"major" => major = number(value)?,
            b"minor" => minor = number(value)?,
            b"offset" | b"numbytes" => list.push(number(value)?),
            b"map" => {
                for part in value.split(|byte| *byte == b',') {
                    list.push(number(part)?);
                }
            }
            _ => {}
        }
        if list.len() > 2 * PIECES_MAX {
            return Err(format!("it has more than {PIECES_MAX} holes"));
        }
    }
    if !is_sparse {
        return Ok(None);
    }
    match (major, minor) {
        (0, _) => sparse.pieces = Some(pieces(&list, sparse.size)?),
        (1, 0) => {}
        _ => return Err(format!("sparse format {major}.{minor} is not known")),
    }
    Ok(Some(sparse))
}

impl Sparse {
    /// The file's data pieces; reads the map from `data` where it stands there.
    pub fn read_pieces(&self, data: &mut dyn Read) -> io::Result<Vec<Piece>> {
        if let Some(pieces) = &self.pieces {
            return Ok(pieces.clone());
        }
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut read = 0_u64;
        let count = line(data, &mut read)?;
        if count > PIECES_MAX as u64 {
            return Err(invalid(format!("it has more than {PIECES_MAX} holes")));
        }
        let mut list = Vec::new();
        for _ in 0..2 * count {
            list.push(line(data, &mut read)?);
        }
        // The map fills whole blocks.
        let rest = read.next_multiple_of(512) - read;
        io::copy(&mut data.take(rest), &mut io::sink())?;
        pieces(&list, self.size).map_err(invalid)
    }
}

/// A number up to its line's end.
fn line(data: &mut dyn Read, read: &mut u64) -> io::Result<u64> {
    let mut digits = Vec::new();
    loop {
        let mut byte = [0];
        data.read_exact(&mut byte)?;
        *read += 1;
        if byte == [b'\n'] {
            return number(&digits).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if digits.len() >= DIGITS_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a number of its map is too long",
            ));
        }
        digits.extend(byte);
    }
}

fn number(text: &[u8]) -> Result<u64, String> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "its map of holes is no list of numbers".to_owned())
}

/// In order, apart, and inside the file.
fn pieces(list: &[u64], size: u64) -> Result<Vec<Piece>, String> {
    let mut end = 0_u64;
    let mut found = Vec::new();
    let (pairs, rest) = list.as_chunks::<2>();
    for [offset, bytes] in pairs {
        let next = offset.checked_add(*bytes);
        let Some(next) = next.filter(|next| *offset >= end && *next <= size) else {
            return Err("its map of holes is out of order or longer than the file".to_owned());
        };
        end = next;
        found.push(Piece {
            offset: *offset,
            bytes: *bytes,
        });
    }
    if !rest.is_empty() {
        return Err("its map of holes ends in the middle".to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn records(text: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        text.iter()
            .map(|(key, value)| {
                (
                    format!("GNU.sparse.{key}").into_bytes(),
                    value.as_bytes().to_vec(),
                )
            })
            .collect()
    }

    #[test]
    fn all_three_formats() {
        let expected = [
            Piece {
                offset: 0,
                bytes: 2,
            },
            Piece {
                offset: 8,
                bytes: 1,
            },
        ];
        let old = records(&[
            ("size", "9"),
            ("numblocks", "2"),
            ("offset", "0"),
            ("numbytes", "2"),
            ("offset", "8"),
            ("numbytes", "1"),
        ]);
        let middle = records(&[("name", "x"), ("size", "9"), ("map", "0,2,8,1")]);
        for records in [old, middle] {
            let sparse = of(&records).unwrap().unwrap();
            assert_eq!(sparse.read_pieces(&mut io::empty()).unwrap(), expected);
        }
        let new = records(&[
            ("major", "1"),
            ("minor", "0"),
            ("realsize", "9"),
            ("name", "x"),
        ]);
        let sparse = of(&new).unwrap().unwrap();
        let mut data = b"2\n0\n2\n8\n1\n".to_vec();
        data.resize(512, 0);
        data.extend(b"abc");
        let mut data = &data[..];
        assert_eq!(sparse.read_pieces(&mut data).unwrap(), expected);
        assert_eq!(data, b"abc");
        assert_eq!(of(&[]).unwrap(), None);
    }

    #[test]
    fn maps_that_lie_are_refused() {
        for list in ["0,2,1,1", "0,10", "5", "0,x", "8,18446744073709551615"] {
            assert!(
                of(&records(&[("size", "9"), ("map", list)])).is_err(),
                "{list}"
            );
        }
        assert!(of(&records(&[("major", "2")])).is_err());
    }
}
