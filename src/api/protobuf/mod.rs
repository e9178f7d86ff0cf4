//! Request bodies in Kubernetes' protobuf encoding.
//!
//! For: clients built on typed client-go, which send `application/vnd.kubernetes.protobuf` (`kubectl create namespace`).
//! What comes in: the bytes of a body, bounded by the caller. What goes out: the same object as JSON, as Go's
//! `encoding/json` would have written it, less its nulls: an object does not depend on how it came.
//!
//! Invariants: outside bytes never panic; depth and the number of values are bounded before anything is built; a field
//! that the tables do not have is skipped, as protobuf asks. It never knows about: HTTP, validation, defaults, and how
//! to encode: answers are JSON, which these clients accept too.
//!
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding>

mod convert;
mod schema;
mod tables;
mod wire;

pub use schema::{Message, Type};
pub use tables::kind;

use convert::Converter;
use serde_json::{Map, Value};
use wire::{Reader, Wire};

/// The media type of such bodies.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every body starts with, so that it is not mistaken for something else.
const MAGIC: &[u8; 4] = b"k8s\0";

/// What is wrong with an encoding.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Problem {
    #[error("it does not start with the four bytes \"k8s\\0\" of Kubernetes' envelope")]
    NoMagic,
    #[error("it is cut short: {missing} more bytes were announced")]
    Truncated { missing: u64 },
    #[error("a varint is longer than 64 bits")]
    Varint,
    #[error("field number 0, or one past 2^29, does not exist")]
    FieldNumber,
    #[error("wire type {0} is not used by Kubernetes")]
    WireType(u8),
    #[error("it is a {got} on the wire where a {expected} belongs")]
    WrongType {
        expected: &'static str,
        got: &'static str,
    },
    #[error("it is not UTF-8")]
    NotText,
    #[error("{0} seconds since 1970 is not a time between the years 1 and 9999")]
    NotATime(i64),
    #[error("it is not JSON")]
    NotJson,
    #[error("it is nested more than {max} deep")]
    TooDeep { max: usize },
    #[error("it has more than {max} values")]
    TooMany { max: usize },
    #[error("content encoding {0:?} is not supported: send the object itself")]
    Encoding(String),
    #[error(
        "content type {0:?} inside the envelope is not supported: send protobuf, or JSON without an envelope"
    )]
    ContentType(String),
    #[error("kind {kind:?} in version {api_version:?} cannot be read as protobuf: send JSON")]
    UnknownKind { api_version: String, kind: String },
}

/// A problem and the field it was met at.
#[derive(Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// `spec.containers.image`; empty for the envelope.
    at: String,
    problem: Problem,
}

impl DecodeError {
    /// The same error, seen from the message that has `field`.
    fn under(mut self, field: &str) -> DecodeError {
        self.at = if self.at.is_empty() {
            field.to_owned()
        } else {
            format!("{field}.{}", self.at)
        };
        self
    }
}

impl From<Problem> for DecodeError {
    fn from(problem: Problem) -> DecodeError {
        DecodeError {
            at: String::new(),
            problem,
        }
    }
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.at.is_empty() {
            write!(formatter, "{}: ", self.at)?;
        }
        self.problem.fmt(formatter)
    }
}

impl std::error::Error for DecodeError {}

/// The object in `body`: the envelope `runtime.Unknown`, and in it the message that its `typeMeta` names.
pub fn decode(body: &[u8]) -> Result<Value, DecodeError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(Problem::NoMagic)?;
    let mut converter = Converter::new();
    let mut object = Map::new();
    let mut raw: &[u8] = &[];
    let mut reader = Reader::new(envelope);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => converter
                .message(&tables::TypeMeta, bytes(wire)?, &mut object)
                .map_err(|error| error.under("typeMeta"))?,
            2 => raw = bytes(wire)?,
            3 => match text(wire)? {
                "" => {}
                other => return Err(Problem::Encoding(other.to_owned()).into()),
            },
            4 => match text(wire)? {
                "" | MEDIA_TYPE => {}
                other => return Err(Problem::ContentType(other.to_owned()).into()),
            },
            _ => {}
        }
    }
    let name = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (api_version, kind) = (name("apiVersion"), name("kind"));
    let message = tables::kind(api_version, kind).ok_or_else(|| Problem::UnknownKind {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
    })?;
    converter.message(message, raw, &mut object)?;
    Ok(Value::Object(object))
}

fn bytes(wire: Wire<'_>) -> Result<&[u8], Problem> {
    match wire {
        Wire::Bytes(bytes) => Ok(bytes),
        other => Err(Problem::WrongType {
            expected: "length-delimited value",
            got: other.name(),
        }),
    }
}

fn text(wire: Wire<'_>) -> Result<&str, Problem> {
    std::str::from_utf8(bytes(wire)?).map_err(|_| Problem::NotText)
}

#[cfg(test)]
mod tests;
