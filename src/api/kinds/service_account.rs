//! Service accounts.

use super::{FieldError, Strategy, metadata};
use crate::object::names;
use serde_json::Value;

pub struct ServiceAccount;

impl Strategy for ServiceAccount {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        metadata::validate(object, names::check_subdomain)
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        metadata::validate_update(old, object)
    }
}
