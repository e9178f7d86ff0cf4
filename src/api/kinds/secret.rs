//! Secrets.

use super::config_map::{DATA_BYTES_MAX, base64_bytes, validate_immutable};
use super::errors::{Errors, IMMUTABLE};
use super::status::{default_to, put};
use super::{FieldError, Strategy, metadata};
use crate::object::access::{present, text};
use crate::object::names;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Keys that a type of secret must have.
const REQUIRED_KEYS: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

/// Filled by a controller, for the account that the annotation names.
const ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

pub struct Secret;

impl Strategy for Secret {
    /// `stringData` is for writing only: it goes into `data`.
    fn default(&self, object: &mut Value) {
        default_to(object, "type", "Opaque");
        let Some(Value::Object(plain)) = object
            .as_object_mut()
            .and_then(|o| o.shift_remove("stringData"))
        else {
            return;
        };
        default_to(object, "data", json!({}));
        for (key, value) in plain {
            put(
                &mut object["data"],
                &key,
                STANDARD.encode(value.as_str().unwrap_or_default()).into(),
            );
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_subdomain),
        };
        if base64_bytes(object, "data", &mut errors) > DATA_BYTES_MAX {
            errors.push(FieldError::too_long("data", DATA_BYTES_MAX));
        }
        let required = REQUIRED_KEYS
            .iter()
            .find(|(kind, _)| *kind == text(object, "/type"));
        for key in required.map_or(&[][..], |(_, keys)| keys) {
            if !present(object, &format!("/data/{key}")) {
                errors.push(FieldError::required(format!("data[{key}]"), ""));
            }
        }
        if text(object, "/type") == ACCOUNT_TOKEN
            && object["metadata"]["annotations"][ACCOUNT_NAME]
                .as_str()
                .is_none_or(str::is_empty)
        {
            let field = format!("metadata.annotations[{ACCOUNT_NAME}]");
            errors.push(FieldError::required(field, ""));
        }
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        if old["type"] != object["type"] {
            errors.push(FieldError::invalid("type", &object["type"], IMMUTABLE));
        }
        errors.extend(validate_immutable(old, object, &["data"]));
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_become_data() {
        let mut secret = json!({"metadata": {"name": "a"}, "data": {"k": "eA==", "l": "eQ=="}, "stringData": {"k": "hi"}});
        Secret.default(&mut secret);
        assert_eq!(
            secret,
            json!({"metadata": {"name": "a"}, "data": {"k": "aGk=", "l": "eQ=="}, "type": "Opaque"})
        );
        assert_eq!(Secret.validate(&secret), []);
    }

    #[test]
    fn types_have_keys_and_stay() {
        let tls = json!({"metadata": {"name": "a"}, "type": "kubernetes.io/tls", "data": {"tls.crt": ""}});
        assert_eq!(Secret.validate(&tls)[0].field, "data[tls.key]");
        let token = json!({"metadata": {"name": "a"}, "type": ACCOUNT_TOKEN});
        assert_eq!(
            Secret.validate(&token)[0].field,
            "metadata.annotations[kubernetes.io/service-account.name]"
        );
        let opaque = json!({"metadata": {"name": "a"}, "type": "Opaque"});
        assert_eq!(Secret.validate_update(&tls, &opaque)[0].field, "type");
        let wrong = json!({"metadata": {"name": "a"}, "data": {"k": "not base64"}});
        assert!(!Secret.validate(&wrong)[0].message.contains("not base64"));
    }
}
