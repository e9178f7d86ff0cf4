//! Laying out a page: labelled fields, indented blocks and tables, columns aligned within each block.

use crate::object::access::{integer, list, map, present, text};
use crate::object::time;
use serde_json::Value;

/// Spaces between columns, as kubectl's tab writer has.
const GAP: usize = 2;

/// Lines in the making. A block of lines written between two `text` lines shares column widths.
#[derive(Debug, Default)]
pub struct Page {
    out: String,
    block: Vec<(usize, Vec<String>)>,
}

impl Page {
    /// A line of cells at an indentation; its columns align with the lines around it at the same depth.
    pub fn row<const N: usize>(&mut self, depth: usize, cells: [&str; N]) {
        let cells = cells.iter().map(|cell| (*cell).to_owned()).collect();
        self.block.push((depth, cells));
    }

    /// `Label:  value`, further lines of the value below it.
    pub fn field(&mut self, depth: usize, label: &str, value: &str) {
        let label = format!("{label}:");
        let mut lines = value.lines();
        self.row(depth, [label.as_str(), lines.next().unwrap_or("")]);
        for line in lines {
            self.row(depth, ["", line]);
        }
    }

    /// A line by itself; ends the alignment of what stands before.
    pub fn text(&mut self, depth: usize, line: &str) {
        self.flush();
        self.out.push_str(&"  ".repeat(depth));
        self.out.push_str(line);
        self.out.push('\n');
    }

    pub fn finish(mut self) -> String {
        self.flush();
        self.out
    }

    fn flush(&mut self) {
        let block = std::mem::take(&mut self.block);
        let mut rest = block.as_slice();
        while let Some((depth, _)) = rest.first() {
            let length = rest.iter().take_while(|(other, _)| other == depth).count();
            let (group, after) = rest.split_at(length);
            rest = after;
            let mut widths: Vec<usize> = Vec::new();
            for (_, cells) in group {
                for (column, cell) in cells.iter().enumerate() {
                    if column == widths.len() {
                        widths.push(0);
                    }
                    widths[column] = widths[column].max(cell.chars().count());
                }
            }
            for (_, cells) in group {
                let mut line = "  ".repeat(*depth);
                for (column, cell) in cells.iter().enumerate() {
                    line.push_str(cell);
                    if column + 1 < cells.len() {
                        line.push_str(&" ".repeat(widths[column] - cell.chars().count() + GAP));
                    }
                }
                self.out.push_str(line.trim_end());
                self.out.push('\n');
            }
        }
    }
}

/// `value`, or what kubectl prints for nothing.
pub fn or_none(value: &str) -> &str {
    if value.is_empty() { "<none>" } else { value }
}

/// A string, number or boolean as text; nothing for the rest.
pub fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => String::new(),
    }
}

/// A map's entries, sorted, one a line, with `separator` between key and value.
pub fn entries(object: &Value, pointer: &str, separator: &str) -> String {
    let mut lines: Vec<String> = map(object, pointer)
        .iter()
        // kubectl leaves out what `apply` keeps for itself.
        .filter(|(key, _)| *key != "kubectl.kubernetes.io/last-applied-configuration")
        .map(|(key, value)| format!("{key}{separator}{}", scalar(value).replace('\n', "\\n")))
        .collect();
    lines.sort_unstable();
    or_none(&lines.join("\n")).to_owned()
}

/// Name, namespace, labels and annotations.
pub fn identity(page: &mut Page, object: &Value) {
    page.field(0, "Name", text(object, "/metadata/name"));
    if present(object, "/metadata/namespace") {
        page.field(0, "Namespace", text(object, "/metadata/namespace"));
    }
    labels(page, object);
}

/// Labels and annotations.
pub fn labels(page: &mut Page, object: &Value) {
    page.field(0, "Labels", &entries(object, "/metadata/labels", "="));
    page.field(
        0,
        "Annotations",
        &entries(object, "/metadata/annotations", ": "),
    );
}

/// The events about the object, oldest first.
pub fn events(page: &mut Page, events: &[Value], now: i64) {
    if events.is_empty() {
        page.field(0, "Events", "<none>");
        return;
    }
    page.text(0, "Events:");
    let mut events: Vec<(String, &Value)> = events
        .iter()
        .map(|event| (last_seen(event).to_owned(), event))
        .collect();
    events.sort_by(|(left, _), (right, _)| left.cmp(right));
    page.row(1, ["Type", "Reason", "Age", "From", "Message"]);
    page.row(1, ["----", "------", "----", "----", "-------"]);
    for (last, event) in events {
        let count = integer(event, "/series/count").max(integer(event, "/count"));
        let mut age = time::since(&last, now);
        if count > 1 {
            age = format!(
                "{age} (x{count} over {})",
                time::since(first_seen(event), now)
            );
        }
        let component = match text(event, "/source/component") {
            "" => text(event, "/reportingComponent"),
            component => component,
        };
        let from = match text(event, "/source/host") {
            "" => component.to_owned(),
            host => format!("{component}, {host}"),
        };
        page.row(
            1,
            [
                text(event, "/type"),
                text(event, "/reason"),
                &age,
                &from,
                &text(event, "/message").trim().replace('\n', " "),
            ],
        );
    }
}

fn first_seen(event: &Value) -> &str {
    match text(event, "/firstTimestamp") {
        "" => text(event, "/eventTime"),
        first => first,
    }
}

fn last_seen(event: &Value) -> &str {
    match (
        text(event, "/series/lastObservedTime"),
        text(event, "/lastTimestamp"),
    ) {
        ("", "") => first_seen(event),
        ("", last) | (last, _) => last,
    }
}

/// `Conditions:` of a pod or a namespace: type and status.
pub fn conditions(page: &mut Page, object: &Value) {
    let conditions = list(object, "/status/conditions");
    if conditions.is_empty() {
        return;
    }
    page.text(0, "Conditions:");
    page.row(1, ["Type", "Status"]);
    for condition in conditions {
        page.row(1, [text(condition, "/type"), text(condition, "/status")]);
    }
    page.flush();
}
