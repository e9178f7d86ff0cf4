//! JSONPath as kubectl reads it: `{.status.conditions[?(@.type=="Ready")].status}`, with or without the braces.
//! <https://kubernetes.io/docs/reference/kubectl/jsonpath/>
//!
//! Fields, `['quoted']`, indices (also from the end), `[*]` and filters by equality. Ranges, unions and `..` are
//! refused by name.

use serde_json::Value;

/// Longest expression: far more than anybody types.
const CHARS_MAX: usize = 4_096;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Items whose value at a path is (or, with false, is not) this text; without it: which have one.
    Filter(Path, Option<(bool, String)>),
}

/// A parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl Path {
    pub fn parse(text: &str) -> Result<Path, String> {
        let bare = text.trim();
        if bare.len() > CHARS_MAX {
            return Err(format!(
                "the JSONPath is longer than {CHARS_MAX} characters"
            ));
        }
        let bare = match bare.strip_prefix('{') {
            Some(rest) => rest
                .strip_suffix('}')
                .ok_or_else(|| format!("the JSONPath {text:?} lacks its closing brace"))?,
            None => bare,
        };
        let bare = bare.trim();
        let bare = bare.strip_prefix(['$', '@']).unwrap_or(bare);
        steps(bare)
            .map(Path)
            .map_err(|problem| format!("the JSONPath {text:?}: {problem}"))
    }

    /// Every value the path leads to.
    pub fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![object];
        for step in &self.0 {
            found = found
                .into_iter()
                .flat_map(|value| step.from(value))
                .collect();
        }
        found
    }
}

impl Step {
    fn from<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Step::Field(name) => value.get(name).into_iter().collect(),
            Step::Index(index) => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let index = if *index < 0 { length + index } else { *index };
                usize::try_from(index)
                    .ok()
                    .and_then(|index| items.get(index))
                    .into_iter()
                    .collect()
            }
            Step::All => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(map) => map.values().collect(),
                _ => Vec::new(),
            },
            Step::Filter(path, wanted) => value
                .as_array()
                .into_iter()
                .flatten()
                .filter(|item| {
                    let found = path.find(item);
                    match wanted {
                        None => !found.is_empty(),
                        Some((equal, text)) => {
                            found
                                .iter()
                                .any(|value| scalar(value).as_deref() == Some(text))
                                == *equal
                        }
                    }
                })
                .collect(),
        }
    }
}

/// A value as text; none for lists and maps.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Array(_) | Value::Object(_) => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn steps(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    let mut first = true;
    while let Some(character) = rest.chars().next() {
        if rest.starts_with("..") {
            return Err("`..` is not supported: name the fields".to_owned());
        }
        if character == '[' {
            let end = closing(rest).ok_or("a `[` lacks its `]`")?;
            steps.push(bracket(&rest[1..end])?);
            rest = &rest[end + 1..];
        } else if character == '.' || first {
            let (name, after) = field(rest.strip_prefix('.').unwrap_or(rest));
            match name.as_str() {
                "" if after.starts_with('[') || after.is_empty() => {}
                "" => return Err("a field's name is missing".to_owned()),
                "*" => steps.push(Step::All),
                _ => steps.push(Step::Field(name)),
            }
            rest = after;
        } else {
            return Err(format!("{rest:?} cannot stand there"));
        }
        first = false;
    }
    Ok(steps)
}

/// A field's name, in which `\.` is a dot, and what stands behind it.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut letters = text.char_indices();
    while let Some((index, character)) = letters.next() {
        match character {
            '\\' => name.extend(letters.next().map(|(_, next)| next)),
            '.' | '[' => return (name, &text[index..]),
            _ => name.push(character),
        }
    }
    (name, "")
}

/// Where the bracket that `text` starts with closes; brackets in quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    for (index, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Result<Step, String> {
    let text = text.trim();
    if text == "*" {
        return Ok(Step::All);
    }
    if let Some(filter) = text
        .strip_prefix("?(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        return filter_step(filter);
    }
    if let Some(name) = quoted(text) {
        return Ok(Step::Field(name.to_owned()));
    }
    text.parse().map(Step::Index).map_err(|_| {
        format!("[{text}] is not supported: an index, *, a quoted name or ?(@.field==\"value\")")
    })
}

fn filter_step(text: &str) -> Result<Step, String> {
    let path = |text: &str| -> Result<Path, String> {
        let text = text.trim();
        let bare = text
            .strip_prefix('@')
            .ok_or_else(|| format!("the filter {text:?} does not start with @"))?;
        // Filters in filters would nest without end.
        if bare.contains('?') {
            return Err("a filter cannot stand in a filter".to_owned());
        }
        steps(bare).map(Path)
    };
    for (sign, equal) in [("==", true), ("!=", false)] {
        if let Some((left, right)) = text.split_once(sign) {
            let right = right.trim();
            let value = quoted(right).unwrap_or(right).to_owned();
            return Ok(Step::Filter(path(left)?, Some((equal, value))));
        }
    }
    if text.contains(['<', '>']) {
        return Err("filters know == and != only".to_owned());
    }
    Ok(Step::Filter(path(text)?, None))
}

fn quoted(text: &str) -> Option<&str> {
    ['\'', '"']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn paths_lead_where_kubectls_do() {
        let object = json!({
            "metadata": {"annotations": {"a.b/c": "x"}},
            "status": {"phase": "Running", "n": 3, "conditions": [
                {"type": "A", "status": "False"}, {"type": "Ready", "status": "True"}]},
        });
        for (path, expected) in [
            ("{.status.phase}", "Running"),
            (".status.phase", "Running"),
            ("status.phase", "Running"),
            ("{$.status.n}", "3"),
            ("{.status.conditions[0].type}", "A"),
            ("{.status.conditions[-1].type}", "Ready"),
            ("{.status.conditions[*].status}", "False True"),
            ("{.status.conditions[?(@.type==\"Ready\")].status}", "True"),
            ("{.status.conditions[?(@.type!='Ready')].status}", "False"),
            ("{.status.conditions[?(@.status)].type}", "A Ready"),
            ("{.metadata.annotations.a\\.b/c}", "x"),
            ("{.metadata.annotations['a.b/c']}", "x"),
            ("{.status.nothing}", ""),
            ("{.status.phase[0]}", ""),
        ] {
            let path = Path::parse(path).unwrap();
            let found: Vec<String> = path.find(&object).into_iter().filter_map(scalar).collect();
            assert_eq!(found.join(" "), expected, "{path:?}");
        }
        for path in [
            "{.a",
            "{..a}",
            "{.a[}",
            "{.a[0:2]}",
            "{.a[?(x==1)]}",
            "{.a[?(@.n>1)]}",
            "{.a[0]b}",
            "{.a.}.b",
        ] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a.\\[\\]'\"?()@=*{}$\\\\0-]{0,24}|.{0,12}") {
            if let Ok(path) = Path::parse(&text) {
                path.find(&json!({"a": [{"a": 1}]}));
            }
        }
    }
}
