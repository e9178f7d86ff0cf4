//! `--append-hash`: a name that changes with the content, as kubectl and kustomize make it.

use crate::cli::print::document::sorted;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Ten characters for a `ConfigMap` or `Secret`.
pub fn of(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default();
    let or_empty = |value: &Value| {
        if value.is_null() {
            json!("")
        } else {
            value.clone()
        }
    };
    let data = match &object["data"] {
        Value::Null => json!({}),
        data => data.clone(),
    };
    let mut hashed = json!({"kind": kind, "name": object["metadata"]["name"], "data": data});
    if kind == "Secret" {
        hashed["type"] = or_empty(&object["type"]);
    }
    if !object["binaryData"].is_null() {
        hashed["binaryData"] = object["binaryData"].clone();
    }
    // Go's encoder escapes these in strings; the two must hash the same bytes.
    let text = sorted(&hashed)
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    Sha256::digest(text.as_bytes())
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .take(10)
        .map(letter)
        .collect()
}

/// A hexadecimal digit, with letters in place of digits and vowels that could spell something.
fn letter(digit: u8) -> char {
    match digit {
        0 => 'g',
        1 => 'h',
        3 => 'k',
        10 => 'm',
        14 => 't',
        other => char::from_digit(u32::from(other), 16).unwrap_or('x'),
    }
}
