//! Nodes.

use super::page::{Page, labels, or_none, scalar};
use crate::object::access::{list, map, text, truth};
use serde_json::Value;

pub fn write(page: &mut Page, node: &Value) {
    page.field(0, "Name", text(node, "/metadata/name"));
    let mut roles: Vec<&str> = map(node, "/metadata/labels")
        .keys()
        .filter_map(|key| key.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    roles.sort_unstable();
    page.field(0, "Roles", or_none(&roles.join(",")));
    labels(page, node);
    page.field(
        0,
        "CreationTimestamp",
        text(node, "/metadata/creationTimestamp"),
    );
    let taints: Vec<String> = list(node, "/spec/taints")
        .iter()
        .map(|taint| match text(taint, "/value") {
            "" => format!("{}:{}", text(taint, "/key"), text(taint, "/effect")),
            value => format!("{}={value}:{}", text(taint, "/key"), text(taint, "/effect")),
        })
        .collect();
    page.field(0, "Taints", or_none(&taints.join("\n")));
    page.field(
        0,
        "Unschedulable",
        &truth(node, "/spec/unschedulable").to_string(),
    );
    let conditions = list(node, "/status/conditions");
    if !conditions.is_empty() {
        page.text(0, "Conditions:");
        page.row(
            1,
            [
                "Type",
                "Status",
                "LastHeartbeatTime",
                "LastTransitionTime",
                "Reason",
                "Message",
            ],
        );
        page.row(
            1,
            [
                "----",
                "------",
                "-----------------",
                "------------------",
                "------",
                "-------",
            ],
        );
        for condition in conditions {
            let cell = |field: &str| text(condition, field);
            page.row(
                1,
                [
                    cell("/type"),
                    cell("/status"),
                    cell("/lastHeartbeatTime"),
                    cell("/lastTransitionTime"),
                    cell("/reason"),
                    cell("/message"),
                ],
            );
        }
    }
    page.text(0, "Addresses:");
    for address in list(node, "/status/addresses") {
        page.field(1, text(address, "/type"), text(address, "/address"));
    }
    for (title, pointer) in [
        ("Capacity:", "/status/capacity"),
        ("Allocatable:", "/status/allocatable"),
    ] {
        page.text(0, title);
        for (name, amount) in map(node, pointer) {
            page.field(1, name, &scalar(amount));
        }
    }
    page.text(0, "System Info:");
    for (label, field) in [
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
    ] {
        page.field(1, label, text(node, &format!("/status/nodeInfo/{field}")));
    }
    for (label, pointer) in [
        ("PodCIDR", "/spec/podCIDR"),
        ("ProviderID", "/spec/providerID"),
    ] {
        if !text(node, pointer).is_empty() {
            page.field(0, label, text(node, pointer));
        }
    }
}
