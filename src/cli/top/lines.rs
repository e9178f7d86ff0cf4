//! From metrics to the lines of a table, with kubectl's columns, units and rounding.

use super::SortBy;
use crate::object::access::{list, text};
use crate::object::quantity::Quantity;
use serde_json::Value;

const MIB: i64 = 1 << 20;

/// CPU in thousandths of a core, memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    cpu_milli: i64,
    memory_bytes: i64,
}

impl Usage {
    fn read(amounts: &Value) -> Usage {
        let amount = |name: &str| Quantity::parse(text(amounts, name)).unwrap_or_default();
        Usage {
            cpu_milli: amount("/cpu").milli(),
            memory_bytes: amount("/memory").value(),
        }
    }

    fn plus(self, other: Usage) -> Usage {
        Usage {
            cpu_milli: self.cpu_milli.saturating_add(other.cpu_milli),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
        }
    }

    fn cells(self) -> [String; 2] {
        [
            format!("{}m", self.cpu_milli),
            format!("{}Mi", self.memory_bytes / MIB),
        ]
    }

    fn by(self, sort_by: SortBy) -> i64 {
        match sort_by {
            SortBy::Cpu => self.cpu_milli,
            SortBy::Memory => self.memory_bytes,
        }
    }
}

fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// By name, or the largest first.
fn sort<T>(
    rows: &mut [T],
    sort_by: Option<SortBy>,
    usage: impl Fn(&T) -> Usage,
    name: impl Fn(&T) -> String,
) {
    rows.sort_by_key(&name);
    if let Some(sort_by) = sort_by {
        rows.sort_by_key(|row| std::cmp::Reverse(usage(row).by(sort_by)));
    }
}

fn percent(part: i64, whole: i64) -> String {
    if whole <= 0 {
        return "<unknown>".to_owned();
    }
    format!("{}%", i128::from(part) * 100 / i128::from(whole))
}

/// Nodes without metrics are listed last, as unknown.
pub fn node_lines(
    metrics: &[Value],
    nodes: &[Value],
    whole: &str,
    sort_by: Option<SortBy>,
    headers: bool,
) -> Vec<Vec<String>> {
    let unknown = || "<unknown>".to_owned();
    let mut rows: Vec<(String, Usage)> = metrics
        .iter()
        .map(|node| (name(node).to_owned(), Usage::read(&node["usage"])))
        .collect();
    sort(&mut rows, sort_by, |row| row.1, |row| row.0.clone());
    let mut lines = Vec::new();
    if headers {
        lines.push(
            ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]
                .map(str::to_owned)
                .to_vec(),
        );
    }
    for (node, usage) in &rows {
        let whole = nodes
            .iter()
            .find(|object| name(object) == node)
            .and_then(|object| object.pointer(whole))
            .map_or_else(Usage::default, Usage::read);
        let [cpu, memory] = usage.cells();
        lines.push(vec![
            node.clone(),
            cpu,
            percent(usage.cpu_milli, whole.cpu_milli),
            memory,
            percent(usage.memory_bytes, whole.memory_bytes),
        ]);
    }
    for node in nodes
        .iter()
        .map(name)
        .filter(|node| rows.iter().all(|(known, _)| known != node))
    {
        lines.push(vec![
            node.to_owned(),
            unknown(),
            unknown(),
            unknown(),
            unknown(),
        ]);
    }
    lines
}

/// What to show of pods.
#[derive(Debug, Clone, Copy, Default)]
pub struct PodStyle {
    pub namespace: bool,
    pub containers: bool,
    pub sort_by: Option<SortBy>,
    pub headers: bool,
    pub sum: bool,
}

pub fn pod_lines(metrics: &[Value], style: PodStyle) -> Vec<Vec<String>> {
    let usage = |pod: &Value| {
        list(pod, "/containers")
            .iter()
            .fold(Usage::default(), |sum, container| {
                sum.plus(Usage::read(&container["usage"]))
            })
    };
    let mut pods: Vec<&Value> = metrics.iter().collect();
    sort(
        &mut pods,
        style.sort_by,
        |pod| usage(pod),
        |pod| format!("{}\0{}", text(pod, "/metadata/namespace"), name(pod)),
    );
    let mut lines = Vec::new();
    if style.headers {
        let mut heads = Vec::new();
        heads.extend(style.namespace.then_some("NAMESPACE"));
        heads.extend(if style.containers {
            &["POD", "NAME"][..]
        } else {
            &["NAME"]
        });
        heads.extend(["CPU(cores)", "MEMORY(bytes)"]);
        lines.push(heads.into_iter().map(str::to_owned).collect());
    }
    for pod in &pods {
        let start: Vec<String> = style
            .namespace
            .then(|| text(pod, "/metadata/namespace").to_owned())
            .into_iter()
            .chain([name(pod).to_owned()])
            .collect();
        let mut line = |middle: Option<&str>, usage: Usage| {
            let middle = middle.map(str::to_owned);
            lines.push(
                start
                    .iter()
                    .cloned()
                    .chain(middle)
                    .chain(usage.cells())
                    .collect(),
            );
        };
        if style.containers {
            let mut containers: Vec<&Value> = list(pod, "/containers").iter().collect();
            sort(
                &mut containers,
                style.sort_by,
                |one| Usage::read(&one["usage"]),
                |one| text(one, "/name").to_owned(),
            );
            for container in containers {
                line(
                    Some(text(container, "/name")),
                    Usage::read(&container["usage"]),
                );
            }
        } else {
            line(None, usage(pod));
        }
    }
    if style.sum {
        let sum = pods
            .iter()
            .fold(Usage::default(), |sum, pod| sum.plus(usage(pod)));
        let blanks = usize::from(style.namespace) + usize::from(style.containers);
        let blank = std::iter::repeat_n(String::new(), blanks + 1);
        lines.push(
            blank
                .clone()
                .chain(["________", "________"].map(str::to_owned))
                .collect(),
        );
        lines.push(blank.chain(sum.cells()).collect());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text_of(lines: &[Vec<String>]) -> Vec<String> {
        lines.iter().map(|line| line.join("|")).collect()
    }

    #[test]
    fn nodes() {
        let metrics = [
            json!({"metadata": {"name": "a"}, "usage": {"cpu": "123456789n", "memory": "512Mi"}}),
            json!({"metadata": {"name": "b"}, "usage": {"cpu": "1", "memory": "1Ki"}}),
        ];
        let nodes = [
            json!({"metadata": {"name": "a"}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}}),
            json!({"metadata": {"name": "c"}}),
        ];
        assert_eq!(
            text_of(&node_lines(
                &metrics,
                &nodes,
                "/status/allocatable",
                Some(SortBy::Cpu),
                true
            )),
            [
                "NAME|CPU(cores)|CPU(%)|MEMORY(bytes)|MEMORY(%)",
                "b|1000m|<unknown>|0Mi|<unknown>",
                "a|124m|6%|512Mi|50%",
                "c|<unknown>|<unknown>|<unknown>|<unknown>",
            ]
        );
    }

    #[test]
    fn pods() {
        let metrics = [
            json!({"metadata": {"name": "b", "namespace": "x"}, "containers": [
                {"name": "one", "usage": {"cpu": "10m", "memory": "3Mi"}}, {"name": "two", "usage": {"cpu": "20m", "memory": "2Mi"}}]}),
            json!({"metadata": {"name": "a", "namespace": "x"}, "containers": [{"name": "one", "usage": {"cpu": "5m", "memory": "9Mi"}}]}),
            json!({"metadata": {"name": "broken"}, "containers": [{"usage": {"cpu": "much"}}]}),
        ];
        let style = PodStyle {
            namespace: true,
            headers: true,
            ..PodStyle::default()
        };
        assert_eq!(
            text_of(&pod_lines(&metrics, style)),
            [
                "NAMESPACE|NAME|CPU(cores)|MEMORY(bytes)",
                "|broken|0m|0Mi",
                "x|a|5m|9Mi",
                "x|b|30m|5Mi"
            ]
        );
        let style = PodStyle {
            containers: true,
            sort_by: Some(SortBy::Cpu),
            headers: true,
            sum: true,
            ..PodStyle::default()
        };
        assert_eq!(
            text_of(&pod_lines(&metrics[..2], style)),
            [
                "POD|NAME|CPU(cores)|MEMORY(bytes)",
                "b|two|20m|2Mi",
                "b|one|10m|3Mi",
                "a|one|5m|9Mi",
                "||________|________",
                "||35m|14Mi",
            ]
        );
    }
}
