//! Field selectors: equality on the few fields a kind allows.
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/>

use serde_json::Value;

/// Terms in one selector: no kind has as many fields.
const TERMS_MAX: usize = 100;

/// What every kind allows.
const ALWAYS: [(&str, &str); 2] = [
    ("metadata.name", "/metadata/name"),
    ("metadata.namespace", "/metadata/namespace"),
];

/// A parsed field selector (`spec.nodeName=a,status.phase!=Failed`): only fields the kind allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    pointer: String,
    equal: bool,
    value: String,
}

impl FieldSelector {
    /// `selectable`: (name, JSON pointer) of the kind, metadata.name and metadata.namespace are always allowed.
    pub fn parse(text: &str, selectable: &[(&str, &str)]) -> Result<FieldSelector, String> {
        let mut terms = Vec::new();
        for part in split_terms(text) {
            if part.is_empty() {
                continue;
            }
            if terms.len() == TERMS_MAX {
                return Err(format!("invalid selector: more than {TERMS_MAX} terms"));
            }
            let (field, equal, value) = split_term(part)
                .ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
            let value = unescape(value)?;
            let (_, pointer) = ALWAYS
                .iter()
                .chain(selectable)
                .find(|(name, _)| *name == field)
                .ok_or_else(|| format!("field label not supported: {field}"))?;
            terms.push(Term {
                pointer: (*pointer).into(),
                equal,
                value,
            });
        }
        Ok(FieldSelector { terms })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub fn matches_object(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| {
            let holds = match object.pointer(&term.pointer) {
                Some(Value::String(text)) => *text == term.value,
                Some(value @ (Value::Bool(_) | Value::Number(_))) => {
                    let shown = value.to_string();
                    shown == term.value
                }
                // Left out: the empty string, or false for a boolean.
                _ => matches!(term.value.as_str(), "" | "false"),
            };
            holds == term.equal
        })
    }

    /// Whether an object of this JSON, as `serde_json` writes it, may match. What this says no to need not be decoded:
    /// with a watch for the pods of each node, nearly every change is nothing to nearly every watch.
    pub fn may_match(&self, json: &str) -> bool {
        let is_written_as_it_is =
            |value: &str| !value.contains(|c: char| matches!(c, '"' | '\\') || c.is_control());
        self.terms
            .iter()
            .filter(|term| term.equal && !matches!(term.value.as_str(), "" | "false"))
            .filter(|term| is_written_as_it_is(&term.value))
            .all(|term| json.contains(&term.value))
    }

    /// The value an equality on metadata.name asks for: the list can then be one get.
    pub fn name(&self) -> Option<&str> {
        self.terms
            .iter()
            .find(|term| term.equal && term.pointer == ALWAYS[0].1)
            .map(|term| term.value.as_str())
    }
}

/// Splits at commas that no backslash escapes.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn split_term(part: &str) -> Option<(&str, bool, &str)> {
    let at = part.find('=')?;
    let value = part[at + 1..].strip_prefix('=').unwrap_or(&part[at + 1..]);
    match part[..at].strip_suffix('!') {
        // `a!==b` is no operator, but `a!=` followed by the value `=b`: upstream refuses the unescaped `=` below.
        Some(field) => Some((field.trim(), false, &part[at + 1..])),
        None => Some((part[..at].trim(), true, value)),
    }
}

fn unescape(value: &str) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => out.push(next),
                other => {
                    return Err(format!(
                        "invalid field selector: invalid escape sequence: \\{}",
                        other.map(String::from).unwrap_or_default()
                    ));
                }
            },
            '=' | ',' => {
                return Err(format!(
                    "invalid field selector: unescaped character in value: {c}"
                ));
            }
            _ => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    const FIELDS: &[(&str, &str)] = &[
        ("spec.nodeName", "/spec/nodeName"),
        ("status.phase", "/status/phase"),
        ("spec.unschedulable", "/spec/unschedulable"),
    ];

    #[test]
    fn matches() {
        let pod = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"unschedulable": true}, "status": {"phase": "Running"}});
        for (text, want) in [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a,metadata.namespace=b", true),
            ("metadata.name=c", false),
            ("spec.nodeName=", true),
            ("spec.nodeName!=", false),
            ("status.phase!=Failed,status.phase!=Succeeded", true),
            ("status.phase=Failed", false),
            ("spec.unschedulable=true", true),
            ("spec.unschedulable=false", false),
            (",", true),
            (r"metadata.name=a\,b", false),
        ] {
            let selector = FieldSelector::parse(text, FIELDS).unwrap();
            assert_eq!(selector.matches_object(&pod), want, "{text}");
            assert!(!want || selector.may_match(&pod.to_string()), "{text}");
        }
        let elsewhere = FieldSelector::parse("spec.nodeName=n-2", FIELDS).unwrap();
        assert!(!elsewhere.may_match(&pod.to_string()));
        let quoted = json!({"metadata": {"name": "a\"b"}});
        let selector = FieldSelector::parse("metadata.name=a\"b", FIELDS).unwrap();
        assert!(selector.matches_object(&quoted) && selector.may_match(&quoted.to_string()));
        assert_eq!(
            FieldSelector::parse("status.phase=x,metadata.name=a", FIELDS)
                .unwrap()
                .name(),
            Some("a")
        );
        assert_eq!(
            FieldSelector::parse("metadata.name!=a", FIELDS)
                .unwrap()
                .name(),
            None
        );
    }

    #[test]
    fn refuses() {
        for text in [
            "spec.foo=a",
            "a",
            "metadata.name",
            r"metadata.name=\a",
            r"metadata.name=\",
            "metadata.name===a",
            "metadata.name!==a",
        ] {
            assert!(FieldSelector::parse(text, FIELDS).is_err(), "{text}");
        }
    }
}
