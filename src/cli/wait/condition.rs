//! What `wait --for` means, and whether an object is there yet.

use crate::cli::json_path::{Path, scalar};
use crate::object::access::{integer, list, text};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// The object is there.
    Create,
    /// It is gone, or another has taken its name.
    Delete,
    /// A condition has a status.
    Condition { kind: String, status: String },
    /// A path leads to a value, or, without one, to anything.
    Path { path: Path, value: Option<String> },
}

impl Awaited {
    pub fn parse(typed: &str) -> Result<Awaited, String> {
        let lower = typed.to_lowercase();
        if lower == "delete" {
            return Ok(Awaited::Delete);
        }
        if lower == "create" {
            return Ok(Awaited::Create);
        }
        if lower.starts_with("condition=") {
            let rest = &typed["condition=".len()..];
            let (kind, status) = rest.split_once('=').unwrap_or((rest, "true"));
            if kind.is_empty() || status.is_empty() {
                return Err(format!(
                    "{typed:?}: condition=NAME or condition=NAME=STATUS is needed"
                ));
            }
            return Ok(Awaited::Condition {
                kind: kind.to_owned(),
                status: status.to_owned(),
            });
        }
        if lower.starts_with("jsonpath=") {
            return path(&typed["jsonpath=".len()..]);
        }
        Err(format!(
            "unrecognized condition: {typed:?}: create, delete, condition=NAME[=STATUS] or jsonpath='{{.path}}'[=VALUE]"
        ))
    }

    /// Whether `object` (null where there is none) is there yet. `uid`: the object that was there at the start.
    pub fn is_met(&self, object: &Value, uid: &str) -> Result<bool, String> {
        Ok(match self {
            Awaited::Create => !object.is_null(),
            Awaited::Delete => {
                object.is_null() || (!uid.is_empty() && text(object, "/metadata/uid") != uid)
            }
            Awaited::Condition { kind, status } => has_condition(object, kind, status),
            Awaited::Path { path, value } => {
                let found = path.find(object);
                match (value, found.as_slice()) {
                    (_, []) => false,
                    (None, _) => true,
                    (Some(value), [single]) => match scalar(single) {
                        Some(found) => found == *value,
                        None => {
                            return Err(
                                "jsonpath leads to a list or a map, which cannot be compared with a value"
                                    .to_owned(),
                            );
                        }
                    },
                    (Some(_), several) => {
                        return Err(format!(
                            "given jsonpath expression matches {} values: a single one is needed",
                            several.len()
                        ));
                    }
                }
            }
        })
    }
}

/// `{.status.phase}=Running`, `'{.status.phase}'`, `.status.phase=Running`
fn path(typed: &str) -> Result<Awaited, String> {
    let bare = typed.trim_matches(['\'', '"']);
    let (expression, value) = match bare.rfind('}') {
        Some(end) => (
            &bare[..=end],
            bare[end + 1..].trim_start_matches(['\'', '"']),
        ),
        None => match bare.split_once('=') {
            Some((expression, _)) => (expression, &bare[expression.len()..]),
            None => (bare, ""),
        },
    };
    let value = match value.strip_prefix('=') {
        Some("") => return Err(format!("{typed:?}: a value is needed behind =")),
        Some(value) => Some(value.trim_matches(['\'', '"']).to_owned()),
        None if value.is_empty() => None,
        None => return Err(format!("{typed:?}: =VALUE is needed behind the path")),
    };
    if expression.is_empty() {
        return Err("jsonpath expression cannot be empty".to_owned());
    }
    Ok(Awaited::Path {
        path: Path::parse(expression)?,
        value,
    })
}

fn has_condition(object: &Value, kind: &str, status: &str) -> bool {
    let generation = integer(object, "/metadata/generation");
    list(object, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type").eq_ignore_ascii_case(kind))
        .is_some_and(|condition| {
            // A condition that tells of an older spec says nothing of this one.
            let own = condition["observedGeneration"].as_i64();
            let observed = own.or(object["status"]["observedGeneration"].as_i64());
            observed.is_none_or(|observed| observed >= generation)
                && text(condition, "/status").eq_ignore_ascii_case(status)
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_are_met_or_not() {
        let object = json!({
            "metadata": {"uid": "u", "generation": 2},
            "status": {"phase": "Running", "observedGeneration": 2, "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Old", "status": "True", "observedGeneration": 1}]},
        });
        for (typed, now, gone) in [
            ("delete", false, true),
            ("create", true, false),
            ("condition=Ready", true, false),
            ("condition=ready=true", true, false),
            ("condition=Ready=False", false, false),
            ("condition=Old", false, false),
            ("condition=Other", false, false),
            ("jsonpath={.status.phase}=Running", true, false),
            ("jsonpath='{.status.phase}'=Pending", false, false),
            ("jsonpath='{.status.phase}'", true, false),
            ("jsonpath=.status.phase=Running", true, false),
            ("jsonpath={.status.nothing}", false, false),
            (
                "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True",
                true,
                false,
            ),
        ] {
            let awaited = Awaited::parse(typed).unwrap();
            assert_eq!(awaited.is_met(&object, "u"), Ok(now), "{typed}");
            assert_eq!(awaited.is_met(&Value::Null, "u"), Ok(gone), "{typed}");
        }
        // The name was taken anew.
        assert_eq!(Awaited::Delete.is_met(&object, "older"), Ok(true));
        let several = Awaited::parse("jsonpath={.status.conditions[*].type}=x").unwrap();
        assert!(several.is_met(&object, "").is_err());
        let map = Awaited::parse("jsonpath={.status}=x").unwrap();
        assert!(map.is_met(&object, "").is_err());
    }

    #[test]
    fn what_cannot_be_awaited_is_refused() {
        for typed in [
            "ready",
            "condition=",
            "condition=Ready=",
            "jsonpath=",
            "jsonpath={.a}x",
            "jsonpath={.a}=",
            "jsonpath={..a}",
        ] {
            assert!(Awaited::parse(typed).is_err(), "{typed}");
        }
    }
}
