//! Kinds without a page of their own: every field, as kubectl prints custom resources.

use super::page::{Page, identity, scalar};
use serde_json::Value;

/// Levels printed; deeper ones are nobody's to read.
const DEPTH_MAX: usize = 32;

pub fn write(page: &mut Page, object: &Value) {
    identity(page, object);
    for (field, value) in object.as_object().into_iter().flatten() {
        if field == "metadata" {
            continue;
        }
        write_field(page, 0, &label(field), value);
    }
}

fn write_field(page: &mut Page, depth: usize, name: &str, value: &Value) {
    match value {
        _ if depth > DEPTH_MAX => page.field(depth, name, "..."),
        Value::Object(fields) => {
            page.text(depth, &format!("{name}:"));
            for (field, value) in fields {
                write_field(page, depth + 1, &label(field), value);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            page.text(depth, &format!("{name}:"));
            for (index, item) in items.iter().enumerate() {
                match item {
                    Value::Object(fields) => {
                        for (field, value) in fields {
                            write_field(page, depth + 1, &label(field), value);
                        }
                    }
                    other => write_field(page, depth + 1, &index.to_string(), other),
                }
            }
        }
        Value::Array(items) => {
            page.text(depth, &format!("{name}:"));
            for item in items {
                page.text(depth + 1, &scalar(item));
            }
        }
        Value::Null => page.field(depth, name, "<nil>"),
        scalar_value => page.field(depth, name, &scalar(scalar_value)),
    }
}

/// `apiVersion` becomes `API Version`, `nodeName` becomes `Node Name`.
fn label(field: &str) -> String {
    let mut words = String::new();
    for (index, c) in field.chars().enumerate() {
        if index == 0 {
            words.extend(c.to_uppercase());
        } else {
            let before = field.chars().nth(index - 1);
            if c.is_uppercase() && before.is_some_and(|b| b.is_lowercase()) {
                words.push(' ');
            }
            words.push(c);
        }
    }
    words.replace("Api ", "API ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for (field, want) in [
            ("apiVersion", "API Version"),
            ("nodeName", "Node Name"),
            ("spec", "Spec"),
            ("podIP", "Pod IP"),
        ] {
            assert_eq!(label(field), want);
        }
    }
}
