//! ConfigMaps, Secrets and service accounts.

use super::page::{Page, identity, or_none};
use crate::object::access::{list, map, text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The size of base64 text once decoded.
fn decoded_bytes(value: &Value) -> usize {
    STANDARD
        .decode(value.as_str().unwrap_or_default())
        .map_or(0, |bytes| bytes.len())
}

pub fn config_map(page: &mut Page, object: &Value) {
    identity(page, object);
    page.text(0, "");
    page.text(0, "Data");
    page.text(0, "====");
    for (key, value) in map(object, "/data") {
        page.text(0, &format!("{key}:"));
        page.text(0, "----");
        page.text(0, value.as_str().unwrap_or_default());
        page.text(0, "");
    }
    page.text(0, "");
    page.text(0, "BinaryData");
    page.text(0, "====");
    for (key, value) in map(object, "/binaryData") {
        page.text(0, &format!("{key}: {} bytes", decoded_bytes(value)));
    }
    page.text(0, "");
}

/// Sizes only: a secret's values are not for the screen.
pub fn secret(page: &mut Page, secret: &Value) {
    identity(page, secret);
    page.text(0, "");
    page.field(0, "Type", text(secret, "/type"));
    page.text(0, "");
    page.text(0, "Data");
    page.text(0, "====");
    for (key, value) in map(secret, "/data") {
        page.field(0, key, &format!("{} bytes", decoded_bytes(value)));
    }
}

pub fn service_account(page: &mut Page, account: &Value) {
    identity(page, account);
    for (label, pointer) in [
        ("Image pull secrets", "/imagePullSecrets"),
        ("Mountable secrets", "/secrets"),
    ] {
        let names: Vec<&str> = list(account, pointer)
            .iter()
            .map(|s| text(s, "/name"))
            .collect();
        page.field(0, label, or_none(&names.join("\n")));
    }
}
