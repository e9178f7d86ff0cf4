//! From a message on the wire to the JSON object that Go would have written of it.

use super::schema::{Field, Message, Type};
use super::wire::{Reader, Wire};
use super::{DecodeError, Problem, bytes, text};
use crate::api::body::OBJECT_BYTES_MAX;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// Messages in messages. Kubernetes' own nest about ten deep.
pub const DEPTH_MAX: usize = 64;

/// Values in one body. Two bytes on the wire can make a value of about a hundred in memory; a value that says anything
/// has eight bytes in JSON, and the object must fit there.
pub const VALUES_MAX: usize = OBJECT_BYTES_MAX / 8;

/// First and last second of the years 1 to 9999, which RFC 3339 can write.
const SECONDS_MIN: i64 = -62_135_596_800;
const SECONDS_MAX: i64 = 253_402_300_799;

/// Converts the messages of one body, and keeps count.
#[derive(Debug)]
pub struct Converter {
    values_left: usize,
    depth: usize,
}

impl Converter {
    pub fn new() -> Converter {
        Converter {
            values_left: VALUES_MAX,
            depth: 0,
        }
    }

    /// Adds the fields of `encoded` to `object`. A field that is there already is merged or replaced, as protobuf says.
    pub fn message(
        &mut self,
        message: &Message,
        encoded: &[u8],
        object: &mut Map<String, Value>,
    ) -> Result<(), DecodeError> {
        if self.depth == DEPTH_MAX {
            return Err(Problem::TooDeep { max: DEPTH_MAX }.into());
        }
        self.depth += 1;
        let mut reader = Reader::new(encoded);
        while let Some((number, wire)) = reader.field()? {
            if let Some(field) = message.field(number) {
                self.field(field, wire, object)
                    .map_err(|error| error.under(field.name))?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn field(
        &mut self,
        field: &Field,
        wire: Wire<'_>,
        object: &mut Map<String, Value>,
    ) -> Result<(), DecodeError> {
        let value = match &field.kind {
            Type::Inline(message) => return self.message(message, bytes(wire)?, object),
            Type::List(item) => {
                let mut items = match object.get_mut(field.name).map(Value::take) {
                    Some(Value::Array(items)) => items,
                    _ => Vec::new(),
                };
                self.items(item, wire, &mut items)?;
                Some(Value::Array(items))
            }
            Type::Map(item) => {
                let mut entries = existing(object, field.name);
                self.entry(item, bytes(wire)?, &mut entries)?;
                Some(Value::Object(entries))
            }
            Type::Message(message) => {
                let mut inner = existing(object, field.name);
                self.message(message, bytes(wire)?, &mut inner)?;
                Some(Value::Object(inner))
            }
            single => self.single(single, wire)?,
        };
        let Some(value) = value.filter(|value| field.keeps_zero || !is_zero(value)) else {
            // A later zero replaces an earlier value.
            object.shift_remove(field.name);
            return Ok(());
        };
        if object.insert(field.name.to_owned(), value).is_none() {
            self.count()?;
        }
        Ok(())
    }

    /// One item, or several numbers packed together.
    fn items(
        &mut self,
        kind: &Type,
        wire: Wire<'_>,
        items: &mut Vec<Value>,
    ) -> Result<(), DecodeError> {
        if let (Type::Bool | Type::Int32 | Type::Int64, Wire::Bytes(packed)) = (kind, wire) {
            let mut reader = Reader::new(packed);
            while !reader.is_empty() {
                self.count()?;
                items.extend(self.single(kind, Wire::Varint(reader.varint()?))?);
            }
        } else {
            self.count()?;
            items.extend(self.single(kind, wire)?);
        }
        Ok(())
    }

    /// One entry of a map: a message with the key as field 1 and the value as field 2.
    fn entry(
        &mut self,
        kind: &Type,
        encoded: &[u8],
        entries: &mut Map<String, Value>,
    ) -> Result<(), DecodeError> {
        let mut key = "";
        // All maps in the tables have values that are length-delimited: no bytes are their zero.
        let mut value = Wire::Bytes(&[]);
        let mut reader = Reader::new(encoded);
        while let Some((number, wire)) = reader.field()? {
            match number {
                1 => key = text(wire)?,
                2 => value = wire,
                _ => {}
            }
        }
        self.count()?;
        if let Some(value) = self.single(kind, value).map_err(|error| error.under(key))? {
            entries.insert(key.to_owned(), value);
        }
        Ok(())
    }

    /// A value on its own; `None` where Go writes null.
    fn single(&mut self, kind: &Type, wire: Wire<'_>) -> Result<Option<Value>, DecodeError> {
        Ok(Some(match kind {
            Type::Bool => (number(wire)? != 0).into(),
            // Negative numbers come sign-extended to 64 bits.
            Type::Int32 => (number(wire)? as i32).into(),
            Type::Int64 => (number(wire)? as i64).into(),
            Type::Text => text(wire)?.into(),
            Type::Bytes => STANDARD.encode(bytes(wire)?).into(),
            Type::Time => return Ok(time(bytes(wire)?, false)?),
            Type::MicroTime => return Ok(time(bytes(wire)?, true)?),
            Type::Quantity => quantity(bytes(wire)?)?,
            Type::IntOrString => int_or_string(bytes(wire)?)?,
            Type::FieldsV1 => return Ok(fields_v1(bytes(wire)?)?),
            Type::Words => {
                let mut words = Vec::new();
                let mut reader = Reader::new(bytes(wire)?);
                while let Some((number, wire)) = reader.field()? {
                    if number == 1 {
                        self.count()?;
                        words.push(text(wire)?.into());
                    }
                }
                Value::Array(words)
            }
            Type::Message(message) | Type::Inline(message) => {
                let mut object = Map::new();
                self.message(message, bytes(wire)?, &mut object)?;
                Value::Object(object)
            }
            Type::List(item) => {
                let mut items = Vec::new();
                self.items(item, wire, &mut items)?;
                Value::Array(items)
            }
            Type::Map(item) => {
                let mut entries = Map::new();
                self.entry(item, bytes(wire)?, &mut entries)?;
                Value::Object(entries)
            }
        }))
    }

    fn count(&mut self) -> Result<(), Problem> {
        self.values_left = self
            .values_left
            .checked_sub(1)
            .ok_or(Problem::TooMany { max: VALUES_MAX })?;
        Ok(())
    }
}

/// Takes the object that an earlier occurrence of the field left.
fn existing(object: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match object.get_mut(name).map(Value::take) {
        Some(Value::Object(inner)) => inner,
        _ => Map::new(),
    }
}

/// Whether Go leaves the value out under `omitempty`. It never does so with a struct.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(bool) => !bool,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

fn number(wire: Wire<'_>) -> Result<u64, Problem> {
    match wire {
        Wire::Varint(number) => Ok(number),
        other => Err(Problem::WrongType {
            expected: "varint",
            got: other.name(),
        }),
    }
}

/// Seconds and nanoseconds since 1970; an empty message is Go's zero time, which is null in JSON.
fn time(encoded: &[u8], micros: bool) -> Result<Option<Value>, Problem> {
    if encoded.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(encoded);
    while let Some((field, wire)) = reader.field()? {
        match field {
            1 => seconds = number(wire)? as i64,
            2 => nanos = number(wire)? as i32,
            _ => {}
        }
    }
    let no_time = || Problem::NotATime(seconds);
    if !(SECONDS_MIN..=SECONDS_MAX).contains(&seconds) {
        return Err(no_time());
    }
    Ok(Some(if micros {
        let time = Timestamp::new(seconds, nanos).map_err(|_| no_time())?;
        format!("{time:.6}").into()
    } else {
        // The fraction is dropped, as upstream does: its JSON has whole seconds only.
        let time = Timestamp::from_second(seconds).map_err(|_| no_time())?;
        time.to_string().into()
    }))
}

/// The quantity as its client wrote it; Go has no empty one.
fn quantity(encoded: &[u8]) -> Result<Value, Problem> {
    let mut quantity = "";
    let mut reader = Reader::new(encoded);
    while let Some((field, wire)) = reader.field()? {
        if field == 1 {
            quantity = text(wire)?;
        }
    }
    Ok(if quantity.is_empty() { "0" } else { quantity }.into())
}

/// Which of the two it is, the number, the text.
fn int_or_string(encoded: &[u8]) -> Result<Value, Problem> {
    let (mut is_text, mut int, mut string) = (false, 0, "");
    let mut reader = Reader::new(encoded);
    while let Some((field, wire)) = reader.field()? {
        match field {
            1 => is_text = number(wire)? != 0,
            2 => int = number(wire)? as i32,
            3 => string = text(wire)?,
            _ => {}
        }
    }
    Ok(if is_text { string.into() } else { int.into() })
}

fn fields_v1(encoded: &[u8]) -> Result<Option<Value>, Problem> {
    let mut raw: &[u8] = &[];
    let mut reader = Reader::new(encoded);
    while let Some((field, wire)) = reader.field()? {
        if field == 1 {
            raw = bytes(wire)?;
        }
    }
    if raw.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(raw)
        .map(Some)
        .map_err(|_| Problem::NotJson)
}
