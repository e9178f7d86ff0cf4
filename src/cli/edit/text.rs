//! What stands in the editor, and what comes back from it.

use crate::cli::outcome::Shown;
use crate::cli::print::document;
use serde_json::Value;
use std::fmt::Write;

/// What stands above every object; kubectl's words.
const HEAD: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,\n\
# and an empty file will abort the edit. If an error occurs while saving this file will be\n\
# reopened with the relevant failures.\n#\n";

/// What an editor's user has done.
#[derive(Debug, PartialEq)]
pub enum Edited {
    /// Nothing but comments is left.
    Empty,
    /// It cannot be read: why.
    Broken(String),
    Object(Value),
}

/// The object with its head; `problem` says why it is shown again.
pub fn page(object: &Value, shown: Shown, problem: Option<&str>) -> Result<String, anyhow::Error> {
    let body = match shown {
        Shown::Json => document::json(object)?,
        Shown::Yaml | Shown::Name => document::yaml(object)?,
    };
    Ok(again(&body, problem))
}

/// `body` as it came back, with a new head.
pub fn again(body: &str, problem: Option<&str>) -> String {
    let mut text = HEAD.to_owned();
    for line in problem.into_iter().flat_map(str::lines) {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "# {line}");
    }
    if problem.is_some() {
        text.push_str("#\n");
    }
    text.push_str(body);
    text
}

/// The text without the lines that are to be ignored.
pub fn body(text: &str) -> String {
    text.split_inclusive('\n')
        .filter(|line| !line.starts_with('#'))
        .collect()
}

pub fn read(text: &str) -> Edited {
    let body = body(text);
    if body.trim().is_empty() {
        return Edited::Empty;
    }
    match serde_saphyr::from_str::<Value>(&body) {
        Ok(object) if object.is_object() => Edited::Object(object),
        Ok(_) => Edited::Broken("the edited file is no object".to_owned()),
        Err(cause) => Edited::Broken(format!(
            "the edited file had a syntax error: {}",
            cause.without_snippet()
        )),
    }
}

/// What an edit cannot change, if it was changed: the object would be another.
pub fn other_object(before: &Value, after: &Value) -> Option<String> {
    [
        "/apiVersion",
        "/kind",
        "/metadata/name",
        "/metadata/namespace",
    ]
    .into_iter()
    .find(|pointer| before.pointer(pointer) != after.pointer(pointer))
    .map(|pointer| {
        format!(
            "{} may not be changed by an edit: it would be another object",
            pointer[1..].replace('/', ".")
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_shown_reads_back() {
        let object = json!({"kind": "ConfigMap", "data": {"script": "# no comment\nb\n"}});
        for shown in [Shown::Yaml, Shown::Json] {
            for problem in [None, Some("first\nsecond")] {
                let text = page(&object, shown, problem).unwrap();
                assert_eq!(text.contains("# second\n"), problem.is_some());
                assert_eq!(read(&text), Edited::Object(object.clone()), "{text}");
            }
        }
    }

    #[test]
    fn mistakes_are_told() {
        assert_eq!(read("# only\n\n"), Edited::Empty);
        assert!(matches!(read("a: [b"), Edited::Broken(_)));
        assert!(matches!(read("- a"), Edited::Broken(_)));
        let before = json!({"metadata": {"name": "a"}, "kind": "Pod"});
        let after = json!({"metadata": {"name": "b"}, "kind": "Pod"});
        assert!(other_object(&before, &before).is_none());
        assert!(other_object(&before, &after).is_some_and(|text| text.contains("metadata.name")));
    }
}
