//! What holds for every message, and for bytes that nobody should send.

use super::{entry, envelope, field, int, message};
use crate::api::protobuf::convert::{Converter, DEPTH_MAX, VALUES_MAX};
use crate::api::protobuf::schema::{Message, Type, messages};
use crate::api::protobuf::{DecodeError, Problem, decode, tables};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

#[allow(
    non_upper_case_globals,
    reason = "a message keeps the name it has upstream"
)]
mod recursive {
    use super::messages;

    messages! {
        Loop { 1 next = Loop, 2 numbers: [int32], 3 flags: [bool] }
    }
}
use recursive::Loop;

fn convert(message: &Message, raw: &[u8]) -> Result<Value, DecodeError> {
    let mut object = Map::new();
    Converter::new().message(message, raw, &mut object)?;
    Ok(Value::Object(object))
}

#[test]
fn depth_and_count_are_bounded() {
    let nested = |depth: usize| (1..depth).fold(Vec::new(), |inner, _| field(1, inner));
    assert!(convert(&Loop, &nested(DEPTH_MAX)).is_ok());
    assert_eq!(
        convert(&Loop, &nested(DEPTH_MAX + 1)).unwrap_err().problem,
        Problem::TooDeep { max: DEPTH_MAX }
    );
    assert!(convert(&Loop, &field(2, vec![0; VALUES_MAX - 1])).is_ok());
    assert_eq!(
        convert(&Loop, &field(2, vec![0; VALUES_MAX + 1]))
            .unwrap_err()
            .problem,
        Problem::TooMany { max: VALUES_MAX }
    );
}

#[test]
fn numbers_may_be_packed() {
    let raw = message(&[
        int(2, 1),
        field(2, [2, 0x96, 0x01]),
        int(2, -1),
        field(3, [0, 1]),
    ]);
    assert_eq!(
        convert(&Loop, &raw),
        Ok(json!({"numbers": [1, 2, 150, -1], "flags": [false, true]}))
    );
}

/// Checks what the converter relies on, for `message` and all that it reaches.
fn walk(message: &'static Message, seen: &mut Vec<*const Message>) {
    if seen.contains(&std::ptr::from_ref(message)) {
        return;
    }
    seen.push(message);
    assert!(
        message
            .fields
            .is_sorted_by(|one, next| one.number < next.number),
        "field numbers rise: {message:?}"
    );
    for field in message.fields {
        let mut kind = &field.kind;
        while let Type::List(inner) | Type::Map(inner) = kind {
            if matches!(kind, Type::Map(_)) {
                assert!(
                    !matches!(inner, Type::Bool | Type::Int32 | Type::Int64),
                    "a map's value is length-delimited: {}",
                    field.name
                );
            }
            kind = inner;
        }
        if let Type::Message(inner) | Type::Inline(inner) = kind {
            walk(inner, seen);
        }
    }
}

const KINDS: [&str; 10] = [
    "DeleteOptions",
    "Binding",
    "ConfigMap",
    "Event",
    "Namespace",
    "Node",
    "Pod",
    "Secret",
    "Service",
    "ServiceAccount",
];

#[test]
fn the_tables_are_in_order() {
    let mut seen = Vec::new();
    for kind in KINDS {
        walk(tables::kind("v1", kind).unwrap(), &mut seen);
    }
    assert_eq!(seen.len(), 181);
}

/// An encoding of `message` with every field present, as deep as it goes.
pub(super) fn everything(message: &Message) -> Vec<u8> {
    let mut encoded = Vec::new();
    for one in message.fields {
        encoded.extend(sample(one.number, &one.kind));
    }
    encoded
}

fn sample(number: u32, kind: &Type) -> Vec<u8> {
    match kind {
        Type::Bool | Type::Int32 | Type::Int64 => int(number, 1),
        Type::Text | Type::Bytes => field(number, "text"),
        Type::Time | Type::MicroTime => field(number, message(&[int(1, 1_700_000_000), int(2, 1)])),
        Type::Quantity => field(number, field(1, "1500m")),
        Type::IntOrString => field(number, message(&[int(1, 1), field(3, "http")])),
        Type::FieldsV1 => field(number, field(1, "{}")),
        Type::Message(inner) | Type::Inline(inner) => field(number, everything(inner)),
        Type::List(item) => sample(number, item),
        Type::Map(value) => field(number, [field(1, "key"), sample(2, value)].concat()),
        Type::Words => field(number, field(1, "word")),
    }
}

#[test]
fn every_field_of_every_kind_is_one_that_the_kind_has() {
    for kind in KINDS.iter().skip(1) {
        let raw = everything(tables::kind("v1", kind).unwrap());
        let object = decode(&envelope("v1", kind, &raw)).unwrap();
        let Some(known) = crate::api::kinds::all()
            .iter()
            .find(|known| known.kind == *kind)
        else {
            continue;
        };
        let checked = (known.check)(&object);
        assert_eq!(checked.wrong_type, None, "{kind}");
        // Fields of releases after the one whose types this program knows.
        assert_eq!(checked.unknown, Vec::<String>::new(), "{kind}");
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512), which in 0..KINDS.len()) {
        let _ = decode(&bytes);
        let _ = decode(&envelope("v1", KINDS[which], &bytes));
    }

    #[test]
    fn damaged_encodings_never_panic(
        which in 0..KINDS.len(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let raw = everything(tables::kind("v1", KINDS[which]).unwrap());
        let mut body = envelope("v1", KINDS[which], &raw);
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        let _ = decode(&body);
    }

    #[test]
    fn text_comes_through(key in "[a-z.]{1,20}", value in ".*") {
        let raw = field(2, entry(&key, &value));
        let object = decode(&envelope("v1", "ConfigMap", &raw)).unwrap();
        prop_assert_eq!(&object["data"][key.as_str()], &json!(value));
    }
}
