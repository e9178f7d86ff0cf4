//! Validation of volumes that hold files: configMap, secret, downwardAPI and projected.

use super::volumes::no_climbing;
use crate::api::kinds::FieldError;
use crate::api::kinds::errors::Errors;
use crate::object::access::{list, present, text};
use crate::object::names;
use serde_json::Value;
use std::collections::HashSet;

/// What `fieldRef` may name in a volume: what may change while the pod runs, and what names it.
const FIELD_PATHS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
/// Least and most seconds of a projected token: ten minutes and upstream's 2^32.
const TOKEN_SECONDS: std::ops::RangeInclusive<i64> = 600..=1 << 32;

/// `defaultMode` and `defaultUser` of a volume.
pub fn modes(source: &Value, at: &str, errors: &mut Errors) {
    mode(format!("{at}.defaultMode"), &source["defaultMode"], errors);
    user(format!("{at}.defaultUser"), &source["defaultUser"], errors);
}

/// Keys to paths.
pub fn items(source: &Value, at: &str, errors: &mut Errors) {
    for (index, item) in list(source, "/items").iter().enumerate() {
        let at = format!("{at}.items[{index}]");
        if text(item, "/key").is_empty() {
            errors.push(FieldError::required(format!("{at}.key"), ""));
        }
        path(item, &at, errors);
        mode(format!("{at}.mode"), &item["mode"], errors);
        user(format!("{at}.user"), &item["user"], errors);
    }
}

/// Files of the downward API.
pub fn fields(source: &Value, at: &str, errors: &mut Errors) {
    for (index, item) in list(source, "/items").iter().enumerate() {
        let at = format!("{at}.items[{index}]");
        path(item, &at, errors);
        mode(format!("{at}.mode"), &item["mode"], errors);
        user(format!("{at}.user"), &item["user"], errors);
        match (
            present(item, "/fieldRef"),
            present(item, "/resourceFieldRef"),
        ) {
            (true, true) => {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(&at, &"resource".into(), detail));
            }
            (true, false) => field(item, &format!("{at}.fieldRef"), errors),
            (false, true) => resource(item, &format!("{at}.resourceFieldRef"), errors),
            (false, false) => {
                let detail = "one of fieldRef and resourceFieldRef is required";
                errors.push(FieldError::required(at, detail));
            }
        }
    }
}

fn field(item: &Value, at: &str, errors: &mut Errors) {
    let path = text(item, "/fieldRef/fieldPath");
    let one_of_map = ["metadata.labels['", "metadata.annotations['"]
        .iter()
        .filter_map(|start| path.strip_prefix(start)?.strip_suffix("']"))
        .any(|key| names::check_qualified(key).is_ok());
    if path.is_empty() {
        errors.push(FieldError::required(format!("{at}.fieldPath"), ""));
    } else if !one_of_map {
        errors.one_of(format!("{at}.fieldPath"), path, &FIELD_PATHS);
    }
}

fn resource(item: &Value, at: &str, errors: &mut Errors) {
    if text(item, "/resourceFieldRef/containerName").is_empty() {
        errors.push(FieldError::required(format!("{at}.containerName"), ""));
    }
    let name = text(item, "/resourceFieldRef/resource");
    let huge = ["limits.hugepages-", "requests.hugepages-"];
    if name.is_empty() {
        errors.push(FieldError::required(format!("{at}.resource"), ""));
    } else if !huge.iter().any(|start| name.starts_with(start)) {
        errors.one_of(format!("{at}.resource"), name, &RESOURCES);
    }
}

/// A volume of several sources, whose paths must not meet.
pub fn projected(source: &Value, at: &str, errors: &mut Errors) {
    modes(source, at, errors);
    let mut seen = HashSet::new();
    for (index, part) in list(source, "/sources").iter().enumerate() {
        let at = format!("{at}.sources[{index}]");
        let kinds = part.as_object().into_iter().flatten();
        let given: Vec<&String> = kinds
            .filter(|(_, v)| !v.is_null())
            .map(|(k, _)| k)
            .collect();
        if let [_, rest @ ..] = given.as_slice() {
            for kind in rest {
                let detail = "may not specify more than 1 volume type per source";
                errors.push(FieldError::forbidden(format!("{at}.{kind}"), detail));
            }
        }
        let Some(kind) = given.first().map(|kind| kind.as_str()) else {
            errors.push(FieldError::required(at, "must specify a volume type"));
            continue;
        };
        let value = &part[kind];
        let at = format!("{at}.{kind}");
        match kind {
            "configMap" | "secret" => {
                if text(value, "/name").is_empty() {
                    errors.push(FieldError::required(format!("{at}.name"), ""));
                }
                items(value, &at, errors);
            }
            "downwardAPI" => fields(value, &at, errors),
            "serviceAccountToken" => token(value, &at, errors),
            _ => {}
        }
        let own = text(value, "/path");
        let paths = list(value, "/items").iter().map(|item| text(item, "/path"));
        for path in paths.chain([own]).filter(|path| !path.is_empty()) {
            if !seen.insert(path) {
                let detail = "conflicting duplicate paths";
                errors.push(FieldError::invalid(&at, &path.into(), detail));
            }
        }
    }
}

fn token(value: &Value, at: &str, errors: &mut Errors) {
    path(value, at, errors);
    user(format!("{at}.user"), &value["user"], errors);
    let seconds = value["expirationSeconds"]
        .as_i64()
        .unwrap_or(*TOKEN_SECONDS.start());
    let detail = if seconds < *TOKEN_SECONDS.start() {
        "may not specify a duration less than 10 minutes"
    } else if seconds > *TOKEN_SECONDS.end() {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return;
    };
    let field = format!("{at}.expirationSeconds");
    errors.push(FieldError::invalid(field, &seconds.into(), detail));
}

/// A path below the volume that is none of the writer's own.
fn path(item: &Value, at: &str, errors: &mut Errors) {
    let field = format!("{at}.path");
    let path = text(item, "/path");
    if path.is_empty() {
        errors.push(FieldError::required(field, ""));
    } else if path.starts_with('/') {
        let detail = "must be a relative path";
        errors.push(FieldError::invalid(field, &path.into(), detail));
    } else if path.starts_with("..") {
        let detail = "must not start with '..'";
        errors.push(FieldError::invalid(field, &path.into(), detail));
    } else {
        no_climbing(field, path, errors);
    }
}

fn mode(field: String, value: &Value, errors: &mut Errors) {
    let right = |mode: i64| (0..=0o777).contains(&mode);
    if !value.is_null() && !value.as_i64().is_some_and(right) {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(field, value, detail));
    }
}

fn user(field: String, value: &Value, errors: &mut Errors) {
    if !value.is_null() {
        errors.range(field, value, 0..=super::security::ID_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn projected_sources() {
        for (sources, want) in [
            (
                json!([{"configMap": {"name": "a"}}, {"secret": {"name": "b", "items": [{"key": "k", "path": "p"}]}}]),
                "",
            ),
            (json!([{}]), "v.sources[0]"),
            (json!([{"configMap": {}}]), "v.sources[0].configMap.name"),
            (
                json!([{"configMap": {"name": "a"}, "secret": {"name": "a"}}]),
                "v.sources[0].secret",
            ),
            (
                json!([{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]),
                "",
            ),
            (
                json!([{"serviceAccountToken": {"path": "t", "expirationSeconds": 1}}]),
                "v.sources[0].serviceAccountToken.expirationSeconds",
            ),
            (
                json!([{"serviceAccountToken": {}}]),
                "v.sources[0].serviceAccountToken.path",
            ),
            (
                json!([{"serviceAccountToken": {"path": "t"}}, {"secret": {"name": "b", "items": [{"key": "k", "path": "t"}]}}]),
                "v.sources[1].secret",
            ),
            (
                json!([{"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "status.podIP"}}]}}]),
                "v.sources[0].downwardAPI.items[0].fieldRef.fieldPath",
            ),
            (
                json!([{"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.labels['x']"}}]}}]),
                "",
            ),
            (
                json!([{"downwardAPI": {"items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]}}]),
                "v.sources[0].downwardAPI.items[0].resourceFieldRef.containerName",
            ),
            (
                json!([{"downwardAPI": {"items": [{"path": "a"}]}}]),
                "v.sources[0].downwardAPI.items[0]",
            ),
        ] {
            let mut errors = Errors::default();
            projected(&json!({"sources": sources}), "v", &mut errors);
            let found: Vec<String> = errors.list.into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{sources}");
        }
    }
}
