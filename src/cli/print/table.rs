//! The server's Table (meta.k8s.io/v1) as aligned text.
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables>

use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write;

/// What kubectl leaves between columns.
const GAP: usize = 3;

/// A Table as the server sends it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Table {
    pub column_definitions: Vec<Column>,
    pub rows: Vec<Row>,
    pub metadata: TableMetadata,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TableMetadata {
    pub resource_version: String,
    #[serde(rename = "continue")]
    pub continue_token: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Column {
    pub name: String,
    /// 0: always shown; more: with `-o wide`.
    pub priority: i32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Row {
    pub cells: Vec<Value>,
    pub object: Value,
}

/// What to show of a table.
#[derive(Debug, Clone, Default)]
pub struct Style {
    pub wide: bool,
    pub headers: bool,
    /// A first column with each object's namespace.
    pub namespace: bool,
    /// Names become `pod/web`.
    pub prefix: Option<String>,
    pub labels: bool,
}

/// Prints rows; widths are remembered, so that rows of a watch stay in line.
#[derive(Debug, Default)]
pub struct Printer {
    widths: Vec<usize>,
    columns: Vec<Column>,
    headed: bool,
}

impl Printer {
    /// The table as text. Headers are part of it where `style` has them.
    pub fn print(&mut self, table: &Table, style: &Style) -> String {
        if !table.column_definitions.is_empty() {
            self.columns.clone_from(&table.column_definitions);
        }
        let mut lines: Vec<Vec<String>> = Vec::with_capacity(table.rows.len() + 1);
        if style.headers {
            lines.push(self.headers(style));
            self.headed = true;
        }
        lines.extend(table.rows.iter().map(|row| self.cells(row, style)));
        render(&lines, &mut self.widths)
    }

    pub fn has_printed_headers(&self) -> bool {
        self.headed
    }

    fn shown(&self, style: &Style) -> impl Iterator<Item = (usize, &Column)> {
        let wide = style.wide;
        self.columns
            .iter()
            .enumerate()
            .filter(move |(_, column)| wide || column.priority == 0)
    }

    fn headers(&self, style: &Style) -> Vec<String> {
        let own = self
            .shown(style)
            .map(|(_, column)| column.name.to_uppercase());
        let namespace = style.namespace.then(|| "NAMESPACE".to_owned());
        let labels = style.labels.then(|| "LABELS".to_owned());
        namespace.into_iter().chain(own).chain(labels).collect()
    }

    fn cells(&self, row: &Row, style: &Style) -> Vec<String> {
        let metadata = &row.object["metadata"];
        let namespace = style.namespace.then(|| {
            metadata["namespace"]
                .as_str()
                .unwrap_or("<none>")
                .to_owned()
        });
        let own = self.shown(style).map(|(index, column)| {
            let text = cell(row.cells.get(index).unwrap_or(&Value::Null));
            match &style.prefix {
                Some(prefix) if column.name.eq_ignore_ascii_case("name") => {
                    format!("{prefix}/{text}")
                }
                _ => text,
            }
        });
        let labels = style.labels.then(|| labels(&metadata["labels"]));
        namespace.into_iter().chain(own).chain(labels).collect()
    }
}

fn labels(labels: &Value) -> String {
    let mut pairs: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.sort();
    if pairs.is_empty() {
        "<none>".to_owned()
    } else {
        pairs.join(",")
    }
}

/// One cell: a single line, with nothing a terminal would act on.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "<none>".to_owned(),
        Value::String(text) => one_line(text),
        other => other.to_string(),
    }
}

fn one_line(text: &str) -> String {
    let (first, more) = match text.split_once(['\n', '\r']) {
        Some((first, _)) => (first, true),
        None => (text, false),
    };
    let mut line: String = first
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    if more {
        line.push_str("...");
    }
    line
}

/// Pads every cell but a line's last to its column's width; `widths` only grow.
pub fn render(lines: &[Vec<String>], widths: &mut Vec<usize>) -> String {
    for line in lines {
        for (index, text) in line.iter().enumerate() {
            let width = text.chars().count();
            match widths.get_mut(index) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for line in lines {
        for (index, cell) in line.iter().enumerate() {
            if index + 1 == line.len() {
                text.push_str(cell);
            } else {
                let width = widths.get(index).copied().unwrap_or_default() + GAP;
                // Writing into a String cannot fail.
                let _ = write!(text, "{cell:<width$}");
            }
        }
        while text.ends_with(' ') {
            text.pop();
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn pods() -> Table {
        serde_json::from_value(json!({
            "columnDefinitions": [
                {"name": "Name", "priority": 0}, {"name": "Ready", "priority": 0},
                {"name": "Restarts", "priority": 0}, {"name": "IP", "priority": 1}
            ],
            "rows": [
                {"cells": ["web", "1/1", 0, "10.42.0.2"], "object": {"metadata": {"namespace": "default", "labels": {"b": "2", "a": "1"}}}},
                {"cells": ["a-long-name", "0/1", 12, null], "object": {"metadata": {"namespace": "kube-system"}}}
            ]
        }))
        .unwrap()
    }

    #[test]
    fn tables_look_like_kubectls() {
        let plain = Style {
            headers: true,
            ..Style::default()
        };
        for (style, expected) in [
            (
                plain.clone(),
                "NAME          READY   RESTARTS\nweb           1/1     0\na-long-name   0/1     12\n",
            ),
            (
                Style {
                    wide: true,
                    headers: false,
                    ..Style::default()
                },
                "web           1/1   0    10.42.0.2\na-long-name   0/1   12   <none>\n",
            ),
            (
                Style {
                    namespace: true,
                    prefix: Some("pod".to_owned()),
                    ..plain.clone()
                },
                "NAMESPACE     NAME              READY   RESTARTS\ndefault       pod/web           1/1     0\nkube-system   pod/a-long-name   0/1     12\n",
            ),
            (
                Style {
                    labels: true,
                    ..plain
                },
                "NAME          READY   RESTARTS   LABELS\nweb           1/1     0          a=1,b=2\na-long-name   0/1     12         <none>\n",
            ),
        ] {
            assert_eq!(Printer::default().print(&pods(), &style), expected);
        }
    }

    #[test]
    fn rows_of_a_watch_keep_the_columns() {
        let mut printer = Printer::default();
        let style = Style {
            headers: true,
            ..Style::default()
        };
        printer.print(&pods(), &style);
        let later: Table =
            serde_json::from_value(json!({"rows": [{"cells": ["x", "1/1", 1, ""]}]})).unwrap();
        let text = printer.print(&later, &Style::default());
        assert_eq!(text, "x             1/1     1\n");
    }

    #[test]
    fn cells_are_harmless() {
        assert_eq!(one_line("a\u{1b}[31mb"), "a [31mb");
        assert_eq!(one_line("first\nsecond"), "first...");
        assert_eq!(cell(&json!(null)), "<none>");
    }
}
