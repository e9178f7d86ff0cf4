//! OpenAPI v3 schemas, as far as explaining fields needs them.
//! <https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3>

use crate::object::access::{list, map, text};
use serde_json::Value;

/// Deepest chain of references to references.
const REFERENCES_MAX: usize = 16;

/// One group version's document.
#[derive(Debug)]
pub struct Document(pub Value);

/// A field of a schema.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    pub name: &'a str,
    pub property: &'a Value,
    pub required: bool,
}

impl Document {
    /// The schema of a kind.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<&Value> {
        let schemas = map(&self.0, "/components/schemas");
        schemas.values().find(|schema| {
            list(schema, "/x-kubernetes-group-version-kind")
                .iter()
                .any(|identity| {
                    text(identity, "/group") == group
                        && text(identity, "/version") == version
                        && text(identity, "/kind") == kind
                })
        })
    }

    /// What a property is, behind its references; its own where it has none.
    pub fn resolve<'a>(&'a self, property: &'a Value) -> &'a Value {
        let mut found = property;
        for _ in 0..REFERENCES_MAX {
            let Some(name) = reference(found) else {
                return found;
            };
            match map(&self.0, "/components/schemas").get(name) {
                Some(schema) => found = schema,
                None => return found,
            }
        }
        found
    }

    /// The schema whose fields stand under a property: an object's, or that of a list's or map's items.
    pub fn inner<'a>(&'a self, property: &'a Value) -> &'a Value {
        let mut found = self.resolve(property);
        for _ in 0..REFERENCES_MAX {
            found = match (found.get("items"), found.get("additionalProperties")) {
                (Some(items), _) => self.resolve(items),
                (None, Some(values)) if values.is_object() => self.resolve(values),
                _ => return found,
            };
        }
        found
    }

    /// The fields under a property, in order of name.
    pub fn fields<'a>(&'a self, property: &'a Value) -> Vec<Field<'a>> {
        let schema = self.inner(property);
        let required = list(schema, "/required");
        let mut fields: Vec<Field<'a>> = map(schema, "/properties")
            .iter()
            .map(|(name, property)| Field {
                name,
                property,
                required: required.iter().any(|field| field == name.as_str()),
            })
            .collect();
        fields.sort_by_key(|field| field.name);
        fields
    }

    /// A property's type as kubectl names it: `string`, `[]Container`, `map[string]string`.
    pub fn type_name(&self, property: &Value) -> String {
        self.named(property, REFERENCES_MAX)
    }

    fn named(&self, property: &Value, depth: usize) -> String {
        if let Some(name) = reference(property) {
            // A name for a plain value (Time) is not told, its type is.
            let plain = text(self.resolve(property), "/type");
            if !matches!(plain, "" | "object") {
                return plain.to_owned();
            }
            return name.rsplit('.').next().unwrap_or(name).to_owned();
        }
        if depth == 0 {
            return "Object".to_owned();
        }
        if let Some(items) = property.get("items") {
            return format!("[]{}", self.named(items, depth - 1));
        }
        match property.get("additionalProperties") {
            Some(values) if values.is_object() => {
                return format!("map[string]{}", self.named(values, depth - 1));
            }
            _ => {}
        }
        match text(property, "/type") {
            "" | "object" => "Object".to_owned(),
            name => name.to_owned(),
        }
    }

    /// What is said of a property: by itself, else by what it refers to.
    pub fn description<'a>(&'a self, property: &'a Value) -> &'a str {
        match text(property, "/description") {
            "" => text(self.inner(property), "/description"),
            own => own,
        }
    }
}

/// The name a schema refers to, directly or as the only part of `allOf`.
fn reference(schema: &Value) -> Option<&str> {
    let direct = schema
        .get("$ref")
        .or_else(|| schema.pointer("/allOf/0/$ref"));
    direct?.as_str()?.strip_prefix("#/components/schemas/")
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    pub fn sample() -> Document {
        Document(json!({"components": {"schemas": {
            "io.k8s.api.core.v1.Pod": {
                "description": "A pod.", "type": "object",
                "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Pod"}],
                "properties": {
                    "kind": {"type": "string", "description": "Its kind."},
                    "spec": {"allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}], "description": "What it is to be."}}},
            "io.k8s.api.core.v1.PodSpec": {"type": "object", "required": ["containers"], "properties": {
                "containers": {"type": "array", "items": {"allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}]}},
                "nodeSelector": {"type": "object", "additionalProperties": {"type": "string"}},
                "restartPolicy": {"type": "string", "enum": ["Always", "Never"]},
                "self": {"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}}},
            "io.k8s.api.core.v1.Container": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string"}}},
        }}}))
    }

    #[test]
    fn types_are_named_as_kubectl_names_them() {
        let document = sample();
        let pod = document.kind("", "v1", "Pod").unwrap();
        assert!(document.kind("apps", "v1", "Pod").is_none());
        let names = |schema: &Value| -> Vec<String> {
            document
                .fields(schema)
                .iter()
                .map(|field| {
                    let star = if field.required { "*" } else { "" };
                    format!(
                        "{}{star} {}",
                        field.name,
                        document.type_name(field.property)
                    )
                })
                .collect()
        };
        assert_eq!(names(pod), ["kind string", "spec PodSpec"]);
        let spec = &pod["properties"]["spec"];
        assert_eq!(
            names(spec),
            [
                "containers* []Container",
                "nodeSelector map[string]string",
                "restartPolicy string",
                "self PodSpec"
            ]
        );
        assert_eq!(document.description(spec), "What it is to be.");
    }
}
