//! What the pods of a node have asked for, against what it has for them.

use super::page::Page;
use crate::object::access::{list, map, text};
use crate::object::quantity::Quantity;
use crate::object::time;
use serde_json::Value;

const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// `pods`: those of the node that are not over.
pub fn write(page: &mut Page, node: &Value, pods: &[Value], now: i64) {
    page.text(
        0,
        &format!("Non-terminated Pods:  ({} in total)", pods.len()),
    );
    page.row(
        1,
        [
            "Namespace",
            "Name",
            "CPU Requests",
            "CPU Limits",
            "Memory Requests",
            "Memory Limits",
            "Age",
        ],
    );
    page.row(
        1,
        [
            "---------",
            "----",
            "------------",
            "----------",
            "---------------",
            "-------------",
            "---",
        ],
    );
    for pod in pods {
        let cell =
            |resource: &str, kind: &str| with_share(node, resource, sum(pod, resource, kind));
        page.row(
            1,
            [
                text(pod, "/metadata/namespace"),
                text(pod, "/metadata/name"),
                &cell("cpu", "requests"),
                &cell("cpu", "limits"),
                &cell("memory", "requests"),
                &cell("memory", "limits"),
                &time::since(text(pod, "/metadata/creationTimestamp"), now),
            ],
        );
    }
    page.text(0, "Allocated resources:");
    page.text(
        1,
        "(Total limits may be over 100 percent, i.e., overcommitted.)",
    );
    page.row(1, ["Resource", "Requests", "Limits"]);
    page.row(1, ["--------", "--------", "------"]);
    for resource in RESOURCES {
        let total = |kind: &str| {
            let nano = pods.iter().fold(0_i128, |total, pod| {
                total.saturating_add(sum(pod, resource, kind).nano)
            });
            with_share(node, resource, Quantity { nano })
        };
        page.row(1, [resource, &total("requests"), &total("limits")]);
    }
}

/// Of the containers together with sidecars, or of the largest init container if that is more.
fn sum(pod: &Value, resource: &str, kind: &str) -> Quantity {
    let of = |container: &Value| {
        map(container, &format!("/resources/{kind}"))
            .get(resource)
            .and_then(Value::as_str)
            .and_then(|amount| Quantity::parse(amount).ok())
            .unwrap_or_default()
            .nano
    };
    let mut together: i128 = list(pod, "/spec/containers")
        .iter()
        .map(of)
        .fold(0, i128::saturating_add);
    let mut largest = 0;
    for container in list(pod, "/spec/initContainers") {
        if text(container, "/restartPolicy") == "Always" {
            together = together.saturating_add(of(container));
        } else {
            largest = largest.max(of(container));
        }
    }
    Quantity {
        nano: together.max(largest),
    }
}

fn with_share(node: &Value, resource: &str, amount: Quantity) -> String {
    const MIB: i64 = 1 << 20;
    let whole = map(node, "/status/allocatable")
        .get(resource)
        .and_then(Value::as_str)
        .and_then(|whole| Quantity::parse(whole).ok())
        .map_or(0, |whole| whole.nano);
    let share = if whole > 0 {
        amount.nano.saturating_mul(100) / whole
    } else {
        0
    };
    let shown = match amount.value() {
        0 => "0".to_owned(),
        _ if resource == "cpu" => format!("{}m", amount.milli()),
        bytes if bytes % MIB == 0 => format!("{}Mi", bytes / MIB),
        bytes => bytes.to_string(),
    };
    format!("{shown} ({share}%)")
}
