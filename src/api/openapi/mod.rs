//! OpenAPI v3 (`/openapi/v3`): enough for kubectl to validate on the server, and to explain fields by name and type.
//!
//! kubectl reads the index, then the document of the object's group version, and looks for a PATCH operation whose
//! `x-kubernetes-group-version-kind` is the object's and which has the parameter `fieldValidation`: then it leaves
//! validation to the server. Its `apply` computes strategic merges from the document's schemas only where that
//! operation accepts `application/strategic-merge-patch+json`; our documents name the other types only, so it uses
//! the types built into it, which are complete. For a kind that no document has, kubectl asks `/openapi/v2` before it
//! tells the user so; that document is there and describes nothing.
//!
//! What comes in: the table of kinds. What goes out: JSON. Pure; never knows about HTTP.

mod required;
mod schemas;

use super::kinds::{self, Kind};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::OnceLock;

/// `/openapi/v2` in the protobuf form kubectl asks for: a `Document` whose first field, `swagger`, is "2.0".
/// <https://github.com/google/gnostic-models/blob/main/openapiv2/OpenAPIv2.proto>
pub const V2_PROTOBUF: &[u8] = b"\x0a\x032.0";

/// The media type clients ask for it by; it is no valid one (`@`), so the answer bears the second name.
pub const V2_ACCEPT: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
pub const V2_MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// `/openapi/v2` as JSON.
pub fn v2() -> Value {
    json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": "unversioned"}, "paths": {}, "definitions": {}})
}

/// The index at `/openapi/v3`: `paths` to one document per group version.
pub fn index(kinds: &[Kind]) -> Value {
    /// Every client asks for it, and the hashes need every document.
    static BUILT_IN: OnceLock<Value> = OnceLock::new();
    if std::ptr::eq(kinds, kinds::all()) {
        return BUILT_IN.get_or_init(|| make_index(kinds)).clone();
    }
    make_index(kinds)
}

fn make_index(kinds: &[Kind]) -> Value {
    let mut paths = Map::new();
    for kind in kinds {
        let group_version = group_version(kind);
        if paths.contains_key(&group_version) {
            continue;
        }
        // Clients cache a document by this hash: it changes exactly when the document does.
        let text = document(kinds, &group_version)
            .unwrap_or_default()
            .to_string();
        let mut hash = String::new();
        for byte in Sha256::digest(text.as_bytes()).iter().take(16) {
            let _ = write!(hash, "{byte:02X}");
        }
        let address = format!("/openapi/v3/{group_version}?hash={hash}");
        paths.insert(group_version, json!({"serverRelativeURL": address}));
    }
    json!({"paths": paths})
}

/// The document of one group version (`api/v1`, `apis/apps/v1`); `None`: not served.
pub fn document(kinds: &[Kind], group_version_path: &str) -> Option<Value> {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for kind in kinds
        .iter()
        .filter(|kind| group_version(kind) == group_version_path)
    {
        let scope = if kind.namespaced {
            "namespaces/{namespace}/"
        } else {
            ""
        };
        let collection = format!("/{group_version_path}/{scope}{}", kind.plural);
        paths.insert(collection.clone(), collection_operations(kind));
        paths.insert(format!("{collection}/{{name}}"), object_operations(kind));
        let schema = kind_schema(kind, &mut schemas);
        schemas.insert(schema_name(kind), schema);
    }
    if paths.is_empty() {
        return None;
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

/// The fields of a kind; of one that no table describes, those every object has.
fn kind_schema(kind: &Kind, into: &mut Map<String, Value>) -> Value {
    let api_version = match kind.group {
        "" => kind.version.to_owned(),
        group => format!("{group}/{}", kind.version),
    };
    let own = schemas::properties(&api_version, kind.kind, into);
    let mut schema = json!({
        "type": "object",
        "x-kubernetes-group-version-kind": [identity(kind)],
    });
    let mut properties = own.unwrap_or_else(|| {
        schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
        let metadata = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        Map::from_iter([("metadata".to_owned(), metadata)])
    });
    let required = schemas::required_of(kind.kind, &properties);
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    for field in ["apiVersion", "kind"] {
        properties.insert(field.to_owned(), json!({"type": "string"}));
    }
    schema["properties"] = Value::Object(properties);
    schema
}

fn group_version(kind: &Kind) -> String {
    if kind.group.is_empty() {
        format!("api/{}", kind.version)
    } else {
        format!("apis/{}/{}", kind.group, kind.version)
    }
}

fn schema_name(kind: &Kind) -> String {
    let group = if kind.group.is_empty() {
        "core"
    } else {
        kind.group
    };
    format!("io.k8s.api.{group}.{}.{}", kind.version, kind.kind)
}

fn identity(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn query(name: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}})
}

fn path_parameters(kind: &Kind, named: bool) -> Vec<Value> {
    let parameter = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}});
    let mut parameters = Vec::new();
    if named {
        parameters.push(parameter("name"));
    }
    if kind.namespaced {
        parameters.push(parameter("namespace"));
    }
    parameters
}

fn operation(kind: &Kind, action: &str, body_types: &[&str], writes: bool) -> Value {
    let schema = json!({"$ref": format!("#/components/schemas/{}", schema_name(kind))});
    let mut parameters = Vec::new();
    if writes {
        parameters.extend(["dryRun", "fieldManager", "fieldValidation"].map(query));
    }
    let mut operation = json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": identity(kind),
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
    });
    if !body_types.is_empty() {
        let content: Map<String, Value> = body_types
            .iter()
            .map(|media| ((*media).to_owned(), json!({"schema": schema})))
            .collect();
        operation["requestBody"] = json!({"content": content, "required": true});
    }
    operation
}

fn collection_operations(kind: &Kind) -> Value {
    let mut operations = json!({
        "parameters": path_parameters(kind, false),
        "get": operation(kind, "list", &[], false),
    });
    if kind.verbs().contains(&"create") {
        operations["post"] = operation(kind, "post", &["application/json"], true);
    }
    operations
}

fn object_operations(kind: &Kind) -> Value {
    let patches = [
        "application/json-patch+json",
        "application/merge-patch+json",
    ];
    let mut operations = json!({
        "parameters": path_parameters(kind, true),
        "get": operation(kind, "get", &[], false),
    });
    if kind.verbs().contains(&"patch") {
        operations["put"] = operation(kind, "put", &["application/json"], true);
        operations["patch"] = operation(kind, "patch", &patches, true);
        operations["delete"] = operation(kind, "delete", &[], false);
    }
    operations
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::kinds;

    #[test]
    fn kubectl_finds_field_validation() {
        let index = index(kinds::all());
        let address = index["paths"]["api/v1"]["serverRelativeURL"]
            .as_str()
            .unwrap();
        assert!(address.starts_with("/openapi/v3/api/v1?hash="));
        let written = |kind: &&Kind| kind.verbs().contains(&"patch");
        for kind in kinds::all().iter().filter(written) {
            let document = document(kinds::all(), &group_version(kind)).unwrap();
            let found = document["paths"].as_object().unwrap().values().any(|path| {
                path["patch"]["x-kubernetes-group-version-kind"]["kind"] == kind.kind
                    && path["patch"]["parameters"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .any(|p| p["name"] == "fieldValidation")
            });
            assert!(found, "{}", kind.kind);
        }
        assert!(super::document(kinds::all(), "apis/nothing/v1").is_none());
    }
}
