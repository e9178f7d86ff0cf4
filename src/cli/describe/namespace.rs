//! Namespaces.

use super::page::{Page, conditions, identity};
use crate::object::access::text;
use serde_json::Value;

pub fn write(page: &mut Page, namespace: &Value) {
    identity(page, namespace);
    page.field(0, "Status", text(namespace, "/status/phase"));
    conditions(page, namespace);
}
