//! The wire format, field by field, without copying.
//! <https://protobuf.dev/programming-guides/encoding/>

use super::Problem;

/// Highest field number that protobuf allows.
const FIELD_NUMBER_MAX: u64 = (1 << 29) - 1;

/// What stands on the wire for one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire<'a> {
    Varint(u64),
    /// Eight bytes; no type of Kubernetes' core uses them, but an unknown field may.
    Fixed64,
    /// A string, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
    Fixed32,
}

impl Wire<'_> {
    pub fn name(self) -> &'static str {
        match self {
            Wire::Varint(_) => "varint",
            Wire::Fixed64 => "64-bit value",
            Wire::Bytes(_) => "length-delimited value",
            Wire::Fixed32 => "32-bit value",
        }
    }
}

/// Reads one message's fields in their order.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(message: &'a [u8]) -> Reader<'a> {
        Reader { rest: message }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's number and value; `None` at the end of the message.
    pub fn field(&mut self) -> Result<Option<(u32, Wire<'a>)>, Problem> {
        if self.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > FIELD_NUMBER_MAX {
            return Err(Problem::FieldNumber);
        }
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Wire::Fixed64
            }
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Wire::Fixed32
            }
            other => return Err(Problem::WireType(other as u8)),
        };
        Ok(Some((number as u32, wire)))
    }

    /// A number of up to 64 bits, seven to a byte, lowest first.
    pub fn varint(&mut self) -> Result<u64, Problem> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?.first().copied().unwrap_or_default();
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return Err(Problem::Varint);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Problem::Varint)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Problem> {
        let split = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length));
        let Some((taken, rest)) = split else {
            return Err(Problem::Truncated {
                missing: length - self.rest.len() as u64,
            });
        };
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn varints_are_read_up_to_64_bits() {
        for (bytes, expected) in [
            (&[0x00][..], Ok(0)),
            (&[0x96, 0x01], Ok(150)),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                Ok(u64::MAX),
            ),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
                Err(Problem::Varint),
            ),
            (&[0x80; 11], Err(Problem::Varint)),
            (&[0x80], Err(Problem::Truncated { missing: 1 })),
            (&[], Err(Problem::Truncated { missing: 1 })),
        ] {
            assert_eq!(Reader::new(bytes).varint(), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn fields_end_where_the_message_ends() {
        let mut reader = Reader::new(&[
            0x08, 0x05, 0x12, 0x02, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8,
        ]);
        let mut next = || reader.field().unwrap();
        assert_eq!(next(), Some((1, Wire::Varint(5))));
        assert_eq!(next(), Some((2, Wire::Bytes(b"hi"))));
        assert_eq!(next(), Some((3, Wire::Fixed32)));
        assert_eq!(next(), Some((4, Wire::Fixed64)));
        assert_eq!(next(), None);
    }

    #[test]
    fn what_is_no_field_is_an_error() {
        for (bytes, expected) in [
            (&[0x12, 0x05, b'x'][..], Problem::Truncated { missing: 4 }),
            (
                &[
                    0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
                ],
                Problem::Truncated { missing: u64::MAX },
            ),
            (&[0x00, 0x00], Problem::FieldNumber),
            (&[0x0b], Problem::WireType(3)),
            (&[0x0c], Problem::WireType(4)),
            (&[0x0f], Problem::WireType(7)),
        ] {
            assert_eq!(Reader::new(bytes).field(), Err(expected), "{bytes:x?}");
        }
    }
}
