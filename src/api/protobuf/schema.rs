//! How a message is described: the numbers, JSON names and types of its fields.

/// A message of Kubernetes' API.
#[derive(Debug)]
pub struct Message {
    /// As upstream.
    pub name: &'static str,
    pub fields: &'static [Field],
}

impl Message {
    pub fn field(&self, number: u32) -> Option<&'static Field> {
        self.fields
            .binary_search_by_key(&number, |field| field.number)
            .ok()
            .and_then(|index| self.fields.get(index))
    }
}

#[derive(Debug)]
pub struct Field {
    pub number: u32,
    /// The name in JSON.
    pub name: &'static str,
    /// Whether a zero on the wire is one in JSON. Kubernetes' encoder writes every field that is not a pointer in Go, so
    /// the zeros of these say no more than their absence, unless Go's JSON has them always (no `omitempty`).
    pub keeps_zero: bool,
    pub kind: Type,
}

#[derive(Debug)]
pub enum Type {
    Bool,
    Int32,
    Int64,
    Text,
    /// Base64 in JSON.
    Bytes,
    /// RFC 3339 to the second.
    Time,
    /// RFC 3339 to the microsecond.
    MicroTime,
    Quantity,
    IntOrString,
    /// A list of text in a message of its own (`ExtraValue`).
    Words,
    /// JSON in a message of its own (`managedFields`).
    FieldsV1,
    Message(&'static Message),
    /// A message whose fields are the outer object's in JSON (`inline` in Go).
    Inline(&'static Message),
    List(&'static Type),
    /// With text as keys.
    Map(&'static Type),
}

/// Describes messages: `Name { number name: type, … }`, fields by rising number. After `:` a zero is left out (an empty
/// message is not one); after `=` it is kept. `[type]` is a list, `{type}` a map from text, `(Message)` an inlined message.
macro_rules! messages {
    ($($message:ident { $($number:literal $name:ident $zero:tt $kind:tt),* $(,)? })*) => {
        $(
            pub static $message: $crate::api::protobuf::schema::Message =
                $crate::api::protobuf::schema::Message {
                    name: stringify!($message),
                    fields: &[$(
                        $crate::api::protobuf::schema::Field {
                            number: $number,
                            name: stringify!($name),
                            keeps_zero: $crate::api::protobuf::schema::keeps_zero!($zero),
                            kind: $crate::api::protobuf::schema::field_type!($kind),
                        },
                    )*],
                };
        )*
    };
}

macro_rules! keeps_zero {
    (:) => {
        false
    };
    (=) => {
        true
    };
}

macro_rules! field_type {
    (bool) => {
        $crate::api::protobuf::schema::Type::Bool
    };
    (int32) => {
        $crate::api::protobuf::schema::Type::Int32
    };
    (int64) => {
        $crate::api::protobuf::schema::Type::Int64
    };
    (string) => {
        $crate::api::protobuf::schema::Type::Text
    };
    (bytes) => {
        $crate::api::protobuf::schema::Type::Bytes
    };
    (Time) => {
        $crate::api::protobuf::schema::Type::Time
    };
    (MicroTime) => {
        $crate::api::protobuf::schema::Type::MicroTime
    };
    (Quantity) => {
        $crate::api::protobuf::schema::Type::Quantity
    };
    (IntOrString) => {
        $crate::api::protobuf::schema::Type::IntOrString
    };
    (Words) => {
        $crate::api::protobuf::schema::Type::Words
    };
    (FieldsV1) => {
        $crate::api::protobuf::schema::Type::FieldsV1
    };
    ([$item:tt]) => {
        $crate::api::protobuf::schema::Type::List(&$crate::api::protobuf::schema::field_type!(
            $item
        ))
    };
    ({$value:tt}) => {
        $crate::api::protobuf::schema::Type::Map(&$crate::api::protobuf::schema::field_type!(
            $value
        ))
    };
    (($message:ident)) => {
        $crate::api::protobuf::schema::Type::Inline(&$message)
    };
    ($message:ident) => {
        $crate::api::protobuf::schema::Type::Message(&$message)
    };
}

pub(super) use {field_type, keeps_zero, messages};
