//! A kind or a field of it, explained in kubectl's form.

use super::schema::{Document, Field};
use crate::object::access::list;
use serde_json::Value;
use std::fmt::Write;

/// Width of descriptions; kubectl's.
const WIDTH: usize = 80;
/// Deepest nesting with --recursive; a schema may contain itself.
const DEPTH_MAX: usize = 24;

/// What is explained.
pub struct Subject<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
    /// `spec containers`
    pub path: &'a [String],
}

/// The whole answer; the error names the field that is not there.
pub fn page(document: &Document, subject: &Subject<'_>, recursive: bool) -> Result<String, String> {
    let root = document
        .kind(subject.group, subject.version, subject.kind)
        .ok_or_else(|| format!("the server describes no fields of {}", subject.kind))?;
    let mut property = root;
    for name in subject.path {
        let field = document
            .fields(property)
            .into_iter()
            .find(|field| field.name == name)
            .ok_or_else(|| format!("field \"{name}\" does not exist"))?;
        property = field.property;
    }
    let mut out = String::new();
    // Writing into a String cannot fail.
    if !subject.group.is_empty() {
        let _ = writeln!(out, "GROUP:      {}", subject.group);
    }
    let _ = writeln!(out, "KIND:       {}", subject.kind);
    let _ = writeln!(out, "VERSION:    {}\n", subject.version);
    if let Some(name) = subject.path.last() {
        let _ = writeln!(out, "FIELD: {name} <{}>", document.type_name(property));
        let values = enumeration(document, property);
        if !values.is_empty() {
            let _ = writeln!(out, "ENUM:\n    {}", values.join("\n    "));
        }
        out.push('\n');
    }
    out.push_str("DESCRIPTION:\n");
    match document.description(property) {
        "" => out.push_str("    <empty>\n"),
        text => out.push_str(&wrapped(text, 4)),
    }
    let fields = document.fields(property);
    if !fields.is_empty() {
        out.push_str("\nFIELDS:\n");
        for field in fields {
            if recursive {
                nested(document, field, 1, &mut out);
            } else {
                flat(document, field, &mut out);
            }
        }
    }
    out.push('\n');
    Ok(out)
}

fn line(document: &Document, field: Field<'_>, depth: usize, out: &mut String) {
    let star = if field.required { " -required-" } else { "" };
    let _ = writeln!(
        out,
        "{}{}\t<{}>{star}",
        "  ".repeat(depth),
        field.name,
        document.type_name(field.property)
    );
    let values = enumeration(document, field.property);
    if !values.is_empty() {
        let _ = writeln!(out, "{}enum: {}", "  ".repeat(depth), values.join(", "));
    }
}

fn flat(document: &Document, field: Field<'_>, out: &mut String) {
    line(document, field, 1, out);
    match document.description(field.property) {
        "" => out.push_str("    <no description>\n"),
        text => out.push_str(&wrapped(text, 4)),
    }
    out.push('\n');
}

/// The field and those below it; one that contains itself is not opened again.
fn nested(document: &Document, field: Field<'_>, depth: usize, out: &mut String) {
    /// What stands open, by address: a schema is the same wherever it is referred to.
    fn open<'a>(
        document: &'a Document,
        field: Field<'a>,
        depth: usize,
        above: &mut Vec<*const Value>,
        out: &mut String,
    ) {
        line(document, field, depth, out);
        let inner: *const Value = document.inner(field.property);
        if depth >= DEPTH_MAX || above.contains(&inner) {
            return;
        }
        above.push(inner);
        for field in document.fields(field.property) {
            open(document, field, depth + 1, above, out);
        }
        above.pop();
    }
    open(document, field, depth, &mut Vec::new(), out);
}

fn enumeration(document: &Document, property: &Value) -> Vec<String> {
    list(document.resolve(property), "/enum")
        .iter()
        .map(|value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        })
        .collect()
}

/// Paragraphs broken into lines, indented.
fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && indent + line.len() + 1 + word.len() > WIDTH {
                let _ = writeln!(out, "{}{line}", " ".repeat(indent));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let _ = writeln!(
            out,
            "{}",
            format!("{}{line}", " ".repeat(indent)).trim_end()
        );
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::schema::tests::sample;
    use super::*;

    fn explain(path: &str, recursive: bool) -> Result<String, String> {
        let path: Vec<String> = path
            .split('.')
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect();
        let subject = Subject {
            group: "",
            version: "v1",
            kind: "Pod",
            path: &path,
        };
        page(&sample(), &subject, recursive)
    }

    #[test]
    fn pages_read_as_kubectls() {
        assert_eq!(
            explain("", false).unwrap(),
            "KIND:       Pod\nVERSION:    v1\n\nDESCRIPTION:\n    A pod.\n\nFIELDS:\n  kind\t<string>\n    Its kind.\n\n  spec\t<PodSpec>\n    What it is to be.\n\n\n"
        );
        assert_eq!(
            explain("spec.containers", false).unwrap(),
            "KIND:       Pod\nVERSION:    v1\n\nFIELD: containers <[]Container>\n\nDESCRIPTION:\n    <empty>\n\nFIELDS:\n  name\t<string> -required-\n    <no description>\n\n\n"
        );
        assert!(
            explain("spec.boats", false)
                .unwrap_err()
                .contains("\"boats\" does not exist")
        );
    }

    #[test]
    fn recursion_ends() {
        let text = explain("spec", true).unwrap();
        assert!(
            text.contains(
                "  containers\t<[]Container> -required-\n    name\t<string> -required-\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("  restartPolicy\t<string>\n  enum: Always, Never\n"),
            "{text}"
        );
        assert!(text.matches("self").count() <= 3, "{text}");
    }

    #[test]
    fn long_texts_are_broken() {
        let text = wrapped(&"word ".repeat(40), 4);
        assert!(
            text.lines()
                .all(|line| line.len() <= WIDTH && line.starts_with("    word"))
        );
    }
}
