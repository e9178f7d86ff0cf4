//! Schemas of kinds: names and types of their fields, from the same tables that read protobuf.
//!
//! Descriptions are left out: upstream's are megabytes.

use super::required;
use crate::api::protobuf::{self, Message, Type};
use serde_json::{Map, Value, json};

/// Where messages that are no kinds stand.
const PREFIX: &str = "io.k8s.api.";

/// The fields of a kind, and into `schemas` every message they lead to; `None` for a kind that no table has.
pub fn properties(
    api_version: &str,
    kind: &str,
    schemas: &mut Map<String, Value>,
) -> Option<Map<String, Value>> {
    let message = protobuf::kind(api_version, kind)?;
    let mut fields = Map::new();
    collect(message, &mut fields, schemas);
    Some(fields)
}

/// The names of `message`'s required fields that it has.
pub fn required_of(name: &str, properties: &Map<String, Value>) -> Vec<&'static str> {
    required::fields(name)
        .filter(|field| properties.contains_key(*field))
        .collect()
}

fn collect(
    message: &'static Message,
    fields: &mut Map<String, Value>,
    schemas: &mut Map<String, Value>,
) {
    for field in message.fields {
        match &field.kind {
            Type::Inline(inner) => collect(inner, fields, schemas),
            kind => {
                let schema = schema(kind, schemas);
                fields.insert(field.name.to_owned(), schema);
            }
        }
    }
}

fn schema(kind: &'static Type, schemas: &mut Map<String, Value>) -> Value {
    match kind {
        Type::Bool => json!({"type": "boolean"}),
        Type::Int32 => json!({"type": "integer", "format": "int32"}),
        Type::Int64 => json!({"type": "integer", "format": "int64"}),
        Type::Text => json!({"type": "string"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::Words => json!({"type": "array", "items": {"type": "string"}}),
        Type::FieldsV1 => named("FieldsV1", schemas, || json!({"type": "object"})),
        Type::Time => named(
            "Time",
            schemas,
            || json!({"type": "string", "format": "date-time"}),
        ),
        Type::MicroTime => named(
            "MicroTime",
            schemas,
            || json!({"type": "string", "format": "date-time"}),
        ),
        Type::Quantity => named(
            "Quantity",
            schemas,
            || json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        ),
        Type::IntOrString => named(
            "IntOrString",
            schemas,
            || json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        ),
        Type::List(item) => {
            let items = schema(item, schemas);
            json!({"type": "array", "items": items})
        }
        Type::Map(value) => {
            let values = schema(value, schemas);
            json!({"type": "object", "additionalProperties": values})
        }
        Type::Message(inner) | Type::Inline(inner) => message(inner, schemas),
    }
}

fn message(message: &'static Message, schemas: &mut Map<String, Value>) -> Value {
    let name = format!("{PREFIX}{}", message.name);
    let reference = json!({"$ref": format!("#/components/schemas/{name}")});
    if !schemas.contains_key(&name) {
        // Known before its fields are: a message may contain itself.
        schemas.insert(name.clone(), Value::Null);
        let mut fields = Map::new();
        collect(message, &mut fields, schemas);
        let mut schema = json!({"type": "object"});
        let required = required_of(message.name, &fields);
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema["properties"] = Value::Object(fields);
        schemas.insert(name, schema);
    }
    reference
}

fn named(name: &str, schemas: &mut Map<String, Value>, schema: impl Fn() -> Value) -> Value {
    let name = format!("{PREFIX}{name}");
    let reference = json!({"$ref": format!("#/components/schemas/{name}")});
    schemas.entry(name).or_insert_with(schema);
    reference
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pods_are_described() {
        let mut schemas = Map::new();
        let fields = properties("v1", "Pod", &mut schemas).unwrap();
        assert_eq!(
            fields["spec"],
            json!({"$ref": "#/components/schemas/io.k8s.api.PodSpec"})
        );
        let spec = &schemas["io.k8s.api.PodSpec"];
        assert_eq!(spec["required"], json!(["containers"]));
        assert_eq!(
            spec["properties"]["containers"],
            json!({"type": "array", "items": {"$ref": "#/components/schemas/io.k8s.api.Container"}})
        );
        assert!(schemas.values().all(|schema| !schema.is_null()));
        assert!(properties("v1", "Boat", &mut schemas).is_none());
    }
}
