//! Columns of NodeMetrics and PodMetrics, as metrics-server prints them.

use super::{Column, cells};
use crate::object::access::{list, text};
use crate::object::quantity::Quantity;
use serde_json::Value;

const fn column(
    name: &'static str,
    description: &'static str,
    cell: fn(&Value, i64) -> Value,
) -> Column {
    Column {
        name,
        kind: "string",
        format: "",
        description,
        priority: 0,
        cell,
    }
}

pub const METRICS: &[Column] = &[
    Column {
        name: "Name",
        kind: "string",
        format: "name",
        description: "Name of the resource",
        priority: 0,
        cell: cells::name,
    },
    column("CPU", "CPU usage, thousandths of a core", |object, _| {
        let milli = sum(object, "cpu").div_ceil(1_000_000);
        format!("{milli}m").into()
    }),
    column("Memory", "Memory in use", |object, _| {
        format!("{}Ki", sum(object, "memory") / 1_000_000_000 / 1024).into()
    }),
    column(
        "Window",
        "The time the CPU usage is the mean of",
        |object, _| text(object, "/window").into(),
    ),
];

/// Billionths of the node's or all containers' usage.
fn sum(object: &Value, resource: &str) -> u128 {
    let own = std::iter::once(object);
    own.chain(list(object, "/containers"))
        .filter_map(|one| Quantity::parse(text(one, &format!("/usage/{resource}"))).ok())
        .map(|quantity| quantity.nano.unsigned_abs())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn containers_are_added_up() {
        let pod = json!({"metadata": {"name": "p"}, "window": "10s", "containers": [
            {"usage": {"cpu": "1500000n", "memory": "2Ki"}}, {"usage": {"cpu": "1m", "memory": "1Mi"}}]});
        let cells: Vec<Value> = METRICS.iter().map(|c| (c.cell)(&pod, 0)).collect();
        assert_eq!(json!(cells), json!(["p", "3m", "1026Ki", "10s"]));
    }
}
