//! The cells of every kind but the pod, as upstream's printers fill them.

use crate::object::access::{integer, list, map, present, text, truth};
use crate::object::time;
use serde_json::Value;

fn or(value: &str, otherwise: &str) -> Value {
    Value::from(if value.is_empty() { otherwise } else { value })
}

pub fn name(object: &Value, _now: i64) -> Value {
    text(object, "/metadata/name").into()
}

pub fn created(object: &Value, _now: i64) -> Value {
    text(object, "/metadata/creationTimestamp").into()
}

pub fn age(object: &Value, now: i64) -> Value {
    time::since(text(object, "/metadata/creationTimestamp"), now).into()
}

pub fn phase(object: &Value, _now: i64) -> Value {
    text(object, "/status/phase").into()
}

pub fn node_status(node: &Value, _now: i64) -> Value {
    let ready = list(node, "/status/conditions")
        .iter()
        .find(|c| text(c, "/type") == "Ready");
    let mut status = match ready.map(|c| text(c, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if truth(node, "/spec/unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    status.into()
}

pub fn node_roles(node: &Value, _now: i64) -> Value {
    let mut roles: Vec<&str> = map(node, "/metadata/labels")
        .iter()
        .filter_map(
            |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) => Some(role),
                None if key == "kubernetes.io/role" => value.as_str(),
                None => None,
            },
        )
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    or(&roles.join(","), "<none>")
}

pub fn node_version(node: &Value, _now: i64) -> Value {
    text(node, "/status/nodeInfo/kubeletVersion").into()
}

fn node_address(node: &Value, kind: &str) -> Value {
    let found = list(node, "/status/addresses")
        .iter()
        .find(|address| text(address, "/type") == kind);
    or(
        found.map_or("", |address| text(address, "/address")),
        "<none>",
    )
}

pub fn node_internal_address(node: &Value, _now: i64) -> Value {
    node_address(node, "InternalIP")
}

pub fn node_external_address(node: &Value, _now: i64) -> Value {
    node_address(node, "ExternalIP")
}

pub fn node_os_image(node: &Value, _now: i64) -> Value {
    or(text(node, "/status/nodeInfo/osImage"), "<unknown>")
}

pub fn node_kernel(node: &Value, _now: i64) -> Value {
    or(text(node, "/status/nodeInfo/kernelVersion"), "<unknown>")
}

pub fn node_runtime(node: &Value, _now: i64) -> Value {
    or(
        text(node, "/status/nodeInfo/containerRuntimeVersion"),
        "<unknown>",
    )
}

pub fn service_type(service: &Value, _now: i64) -> Value {
    text(service, "/spec/type").into()
}

pub fn service_cluster_address(service: &Value, _now: i64) -> Value {
    match text(service, "/spec/clusterIPs/0") {
        "" => or(text(service, "/spec/clusterIP"), "<none>"),
        address => address.into(),
    }
}

pub fn service_external_address(service: &Value, _now: i64) -> Value {
    let own: Vec<&str> = list(service, "/spec/externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let own = own.join(",");
    match text(service, "/spec/type") {
        "LoadBalancer" => {
            let mut addresses: Vec<&str> = list(service, "/status/loadBalancer/ingress")
                .iter()
                .map(|ingress| match text(ingress, "/ip") {
                    "" => text(ingress, "/hostname"),
                    address => address,
                })
                .filter(|address| !address.is_empty())
                .collect();
            if !own.is_empty() {
                addresses.push(&own);
            }
            or(&addresses.join(","), "<pending>")
        }
        "ExternalName" => text(service, "/spec/externalName").into(),
        _ => or(&own, "<none>"),
    }
}

pub fn service_ports(service: &Value, _now: i64) -> Value {
    let ports: Vec<String> = list(service, "/spec/ports")
        .iter()
        .map(|port| {
            let (number, protocol) = (integer(port, "/port"), text(port, "/protocol"));
            match integer(port, "/nodePort") {
                0 => format!("{number}/{protocol}"),
                node => format!("{number}:{node}/{protocol}"),
            }
        })
        .collect();
    or(&ports.join(","), "<none>")
}

pub fn service_selector(service: &Value, _now: i64) -> Value {
    let mut terms: Vec<String> = map(service, "/spec/selector")
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    terms.sort_unstable();
    or(&terms.join(","), "<none>")
}

pub fn config_map_data(object: &Value, _now: i64) -> Value {
    (map(object, "/data").len() + map(object, "/binaryData").len()).into()
}

pub fn secret_type(secret: &Value, _now: i64) -> Value {
    text(secret, "/type").into()
}

pub fn secret_data(secret: &Value, _now: i64) -> Value {
    map(secret, "/data").len().into()
}

pub fn account_secrets(account: &Value, _now: i64) -> Value {
    list(account, "/secrets").len().into()
}

fn event_first(event: &Value) -> &str {
    match text(event, "/firstTimestamp") {
        "" => text(event, "/eventTime"),
        first => first,
    }
}

pub fn event_first_seen(event: &Value, now: i64) -> Value {
    time::since(event_first(event), now).into()
}

pub fn event_last_seen(event: &Value, now: i64) -> Value {
    let last = match text(event, "/lastTimestamp") {
        _ if present(event, "/series") => text(event, "/series/lastObservedTime"),
        "" => event_first(event),
        last => last,
    };
    time::since(last, now).into()
}

pub fn event_count(event: &Value, _now: i64) -> Value {
    let count = if present(event, "/series") {
        integer(event, "/series/count")
    } else {
        integer(event, "/count").max(1)
    };
    count.to_string().into()
}

pub fn event_type(event: &Value, _now: i64) -> Value {
    text(event, "/type").into()
}

pub fn event_reason(event: &Value, _now: i64) -> Value {
    text(event, "/reason").into()
}

pub fn event_object(event: &Value, _now: i64) -> Value {
    let kind = text(event, "/involvedObject/kind").to_lowercase();
    Value::from(format!("{kind}/{}", text(event, "/involvedObject/name")))
}

pub fn event_subobject(event: &Value, _now: i64) -> Value {
    text(event, "/involvedObject/fieldPath").into()
}

/// `component, host` of whichever of the two ways the reporter named itself by.
pub fn event_source(event: &Value, _now: i64) -> Value {
    let (mut component, mut host) = (
        text(event, "/source/component"),
        text(event, "/source/host"),
    );
    if component.is_empty() {
        component = text(event, "/reportingComponent");
    }
    if host.is_empty() {
        host = text(event, "/reportingInstance");
    }
    if host.is_empty() {
        component.into()
    } else {
        format!("{component}, {host}").into()
    }
}

pub fn event_message(event: &Value, _now: i64) -> Value {
    text(event, "/message").trim().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::table::{self, Column};
    use serde_json::json;

    fn row(columns: &[Column], object: &Value) -> Value {
        columns
            .iter()
            .map(|column| (column.cell)(object, 100))
            .collect()
    }

    #[test]
    fn rows() {
        let metadata = json!({"name": "x", "creationTimestamp": "1970-01-01T00:01:30Z"});
        for (columns, object, want) in [
            (
                table::NAMESPACE,
                json!({"metadata": metadata, "status": {"phase": "Active"}}),
                json!(["x", "Active", "10s"]),
            ),
            (
                table::SECRET,
                json!({"metadata": metadata, "type": "Opaque", "data": {"a": "", "b": ""}}),
                json!(["x", "Opaque", 2, "10s"]),
            ),
            (
                table::SERVICE_ACCOUNT,
                json!({"metadata": metadata}),
                json!(["x", 0, "10s"]),
            ),
            (
                table::CONFIG_MAP,
                json!({"metadata": metadata, "data": {"a": ""}, "binaryData": {"b": ""}}),
                json!(["x", 2, "10s"]),
            ),
            (
                table::GENERIC,
                json!({"metadata": metadata}),
                json!(["x", "1970-01-01T00:01:30Z"]),
            ),
            (
                table::SERVICE,
                json!({"metadata": metadata, "spec": {"type": "ClusterIP", "clusterIPs": ["10.43.0.1"], "selector": {"b": "2", "a": "1"}, "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "nodePort": 30053}]}}),
                json!([
                    "x",
                    "ClusterIP",
                    "10.43.0.1",
                    "<none>",
                    "80/TCP,53:30053/UDP",
                    "10s",
                    "a=1,b=2"
                ]),
            ),
            (
                table::SERVICE,
                json!({"metadata": metadata, "spec": {"type": "LoadBalancer"}}),
                json!([
                    "x",
                    "LoadBalancer",
                    "<none>",
                    "<pending>",
                    "<none>",
                    "10s",
                    "<none>"
                ]),
            ),
            (
                table::SERVICE,
                json!({"metadata": metadata, "spec": {"type": "ExternalName", "externalName": "a.b"}}),
                json!([
                    "x",
                    "ExternalName",
                    "<none>",
                    "a.b",
                    "<none>",
                    "10s",
                    "<none>"
                ]),
            ),
            (
                table::NODE,
                json!({"metadata": {"name": "x", "creationTimestamp": "1970-01-01T00:01:30Z", "labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
                    "spec": {"unschedulable": true},
                    "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "nodeInfo": {"kubeletVersion": "v1", "osImage": "os", "kernelVersion": "6"}}}),
                json!([
                    "x",
                    "Ready,SchedulingDisabled",
                    "control-plane,worker",
                    "10s",
                    "v1",
                    "10.0.0.1",
                    "<none>",
                    "os",
                    "6",
                    "<unknown>"
                ]),
            ),
            (
                table::EVENT,
                json!({"metadata": metadata, "type": "Warning", "reason": "BackOff", "message": "m ", "count": 3, "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "f"},
                    "source": {"component": "kubelet", "host": "n"}, "firstTimestamp": "1970-01-01T00:00:40Z", "lastTimestamp": "1970-01-01T00:01:30Z"}),
                json!([
                    "10s",
                    "Warning",
                    "BackOff",
                    "pod/p",
                    "f",
                    "kubelet, n",
                    "m",
                    "60s",
                    "3",
                    "x"
                ]),
            ),
            (
                table::EVENT,
                json!({"metadata": metadata, "eventTime": "1970-01-01T00:00:40.000000Z", "series": {"count": 5, "lastObservedTime": "1970-01-01T00:01:39.000000Z"}, "reportingComponent": "c"}),
                json!(["1s", "", "", "/", "", "c", "", "60s", "5", "x"]),
            ),
        ] {
            assert_eq!(row(columns, &object), want);
        }
        assert_eq!(node_status(&json!({}), 0), "Unknown");
        assert_eq!(
            node_status(
                &json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}),
                0
            ),
            "NotReady"
        );
    }
}
