//! Events (core/v1).

use super::{FieldError, Strategy, metadata};
use crate::object::access::text;
use crate::object::names;
use serde_json::Value;

/// The namespace of events about objects that have none.
const DEFAULT_NAMESPACE: &str = "default";

pub struct Event;

impl Strategy for Event {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate(object, names::check_subdomain);
        let namespace = text(object, "/metadata/namespace");
        let about = text(object, "/involvedObject/namespace");
        let fits = about == namespace || (about.is_empty() && namespace == DEFAULT_NAMESPACE);
        if !fits {
            errors.push(FieldError::invalid(
                "involvedObject.namespace",
                &about.into(),
                "does not match event.namespace",
            ));
        }
        errors
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        metadata::validate_update(old, object)
    }
}
