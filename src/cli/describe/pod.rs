//! Pods.

use super::page::{self, Page, entries, or_none, scalar};
use crate::object::access::{integer, list, map, present, text, truth};
use serde_json::Value;

pub fn write(page: &mut Page, pod: &Value) {
    identity(page, pod);
    let status = if present(pod, "/metadata/deletionTimestamp") {
        format!(
            "Terminating (since {})",
            text(pod, "/metadata/deletionTimestamp")
        )
    } else {
        text(pod, "/status/phase").to_owned()
    };
    page.field(0, "Status", &status);
    for (label, pointer) in [("Reason", "/status/reason"), ("Message", "/status/message")] {
        if !text(pod, pointer).is_empty() {
            page.field(0, label, text(pod, pointer));
        }
    }
    page.field(0, "IP", text(pod, "/status/podIP"));
    let addresses = list(pod, "/status/podIPs");
    if addresses.is_empty() {
        page.field(0, "IPs", "<none>");
    } else {
        page.text(0, "IPs:");
        for address in addresses {
            page.field(1, "IP", text(address, "/ip"));
        }
    }
    if let Some(owner) = list(pod, "/metadata/ownerReferences")
        .iter()
        .find(|o| truth(o, "/controller"))
    {
        page.field(
            0,
            "Controlled By",
            &format!("{}/{}", text(owner, "/kind"), text(owner, "/name")),
        );
    }
    for (title, group, statuses) in [
        (
            "Init Containers:",
            "/spec/initContainers",
            "/status/initContainerStatuses",
        ),
        (
            "Containers:",
            "/spec/containers",
            "/status/containerStatuses",
        ),
        (
            "Ephemeral Containers:",
            "/spec/ephemeralContainers",
            "/status/ephemeralContainerStatuses",
        ),
    ] {
        let containers = list(pod, group);
        if !containers.is_empty() {
            page.text(0, title);
        }
        for item in containers {
            let name = text(item, "/name");
            let status = list(pod, statuses)
                .iter()
                .find(|s| text(s, "/name") == name);
            container(page, item, status.unwrap_or(&Value::Null));
        }
    }
    let gates = list(pod, "/spec/readinessGates");
    if !gates.is_empty() {
        page.text(0, "Readiness Gates:");
        page.row(1, ["Type", "Status"]);
    }
    for gate in gates {
        let kind = text(gate, "/conditionType");
        let status = list(pod, "/status/conditions")
            .iter()
            .find(|condition| text(condition, "/type") == kind)
            .map_or("", |condition| text(condition, "/status"));
        page.row(1, [kind, or_none(status)]);
    }
    page::conditions(page, pod);
    super::volumes::write(page, pod);
    page.field(0, "QoS Class", text(pod, "/status/qosClass"));
    page.field(
        0,
        "Node-Selectors",
        &entries(pod, "/spec/nodeSelector", "="),
    );
    let tolerations: Vec<String> = list(pod, "/spec/tolerations")
        .iter()
        .map(toleration)
        .collect();
    page.field(0, "Tolerations", or_none(&tolerations.join("\n")));
}

fn identity(page: &mut Page, pod: &Value) {
    page.field(0, "Name", text(pod, "/metadata/name"));
    page.field(0, "Namespace", text(pod, "/metadata/namespace"));
    page.field(0, "Priority", &integer(pod, "/spec/priority").to_string());
    page.field(0, "Service Account", text(pod, "/spec/serviceAccountName"));
    let node = match (text(pod, "/spec/nodeName"), text(pod, "/status/hostIP")) {
        ("", _) => "<none>".to_owned(),
        (node, address) => format!("{node}/{address}"),
    };
    page.field(0, "Node", &node);
    if present(pod, "/status/startTime") {
        page.field(0, "Start Time", text(pod, "/status/startTime"));
    }
    page::labels(page, pod);
}

fn container(page: &mut Page, container: &Value, status: &Value) {
    page.text(1, &format!("{}:", text(container, "/name")));
    page.field(2, "Container ID", text(status, "/containerID"));
    page.field(2, "Image", text(container, "/image"));
    page.field(2, "Image ID", text(status, "/imageID"));
    let ports = |field: &str| {
        let ports: Vec<String> = list(container, "/ports")
            .iter()
            .map(|port| format!("{}/{}", integer(port, field), text(port, "/protocol")))
            .collect();
        or_none(&ports.join(", ")).to_owned()
    };
    page.field(2, "Port", &ports("/containerPort"));
    page.field(2, "Host Port", &ports("/hostPort"));
    for (label, pointer) in [("Command:", "/command"), ("Args:", "/args")] {
        let words = list(container, pointer);
        if !words.is_empty() {
            page.text(2, label);
            for word in words {
                for line in scalar(word).lines() {
                    page.text(3, line);
                }
            }
        }
    }
    if !text(container, "/restartPolicy").is_empty() {
        page.field(2, "Restart Policy", text(container, "/restartPolicy"));
    }
    if status.is_object() {
        state(page, "State", &status["state"]);
        if !map(status, "/lastState").is_empty() {
            state(page, "Last State", &status["lastState"]);
        }
        page.field(
            2,
            "Ready",
            if truth(status, "/ready") {
                "True"
            } else {
                "False"
            },
        );
        page.field(
            2,
            "Restart Count",
            &integer(status, "/restartCount").to_string(),
        );
    }
    for (label, pointer) in [
        ("Limits:", "/resources/limits"),
        ("Requests:", "/resources/requests"),
    ] {
        let amounts = map(container, pointer);
        if !amounts.is_empty() {
            page.text(2, label);
            for (name, amount) in amounts {
                page.field(3, name, &scalar(amount));
            }
        }
    }
    super::probes::write(page, container);
    environment(page, container);
    let mounts = list(container, "/volumeMounts");
    if mounts.is_empty() {
        page.field(2, "Mounts", "<none>");
    } else {
        page.text(2, "Mounts:");
    }
    for mount in mounts {
        let mut access = if truth(mount, "/readOnly") {
            "ro"
        } else {
            "rw"
        }
        .to_owned();
        let below = match text(mount, "/subPath") {
            "" => text(mount, "/subPathExpr"),
            below => below,
        };
        if !below.is_empty() {
            access = format!("{access},path={below:?}");
        }
        page.text(
            3,
            &format!(
                "{} from {} ({access})",
                text(mount, "/mountPath"),
                text(mount, "/name")
            ),
        );
    }
}

fn state(page: &mut Page, label: &str, state: &Value) {
    if present(state, "/running") {
        page.field(2, label, "Running");
        page.field(3, "Started", text(state, "/running/startedAt"));
    } else if present(state, "/terminated") {
        page.field(2, label, "Terminated");
        let ended = &state["terminated"];
        for (label, pointer) in [("Reason", "/reason"), ("Message", "/message")] {
            if !text(ended, pointer).is_empty() {
                page.field(3, label, text(ended, pointer));
            }
        }
        page.field(3, "Exit Code", &integer(ended, "/exitCode").to_string());
        if integer(ended, "/signal") != 0 {
            page.field(3, "Signal", &integer(ended, "/signal").to_string());
        }
        page.field(3, "Started", text(ended, "/startedAt"));
        page.field(3, "Finished", text(ended, "/finishedAt"));
    } else {
        page.field(2, label, "Waiting");
        for (label, pointer) in [
            ("Reason", "/waiting/reason"),
            ("Message", "/waiting/message"),
        ] {
            if !text(state, pointer).is_empty() {
                page.field(3, label, text(state, pointer));
            }
        }
    }
}

fn environment(page: &mut Page, container: &Value) {
    let sources = list(container, "/envFrom");
    if !sources.is_empty() {
        page.text(2, "Environment Variables from:");
    }
    for source in sources {
        let (kind, pointer) = if present(source, "/secretRef") {
            ("Secret", "/secretRef")
        } else {
            ("ConfigMap", "/configMapRef")
        };
        let optional = truth(source, &format!("{pointer}/optional"));
        let name = text(source, &format!("{pointer}/name"));
        page.row(3, [name, &format!("{kind}  Optional: {optional}")]);
    }
    let variables = list(container, "/env");
    if variables.is_empty() {
        page.field(2, "Environment", "<none>");
        return;
    }
    page.text(2, "Environment:");
    for variable in variables {
        let source = &variable["valueFrom"];
        let value = if present(source, "/fieldRef") {
            format!(
                "({}:{})",
                text(source, "/fieldRef/apiVersion"),
                text(source, "/fieldRef/fieldPath")
            )
        } else if let Some((kind, reference)) = [
            ("secret", &source["secretKeyRef"]),
            ("config map", &source["configMapKeyRef"]),
        ]
        .into_iter()
        .find(|(_, reference)| reference.is_object())
        {
            format!(
                "<set to the key '{}' of {kind} '{}'>  Optional: {}",
                text(reference, "/key"),
                text(reference, "/name"),
                truth(reference, "/optional")
            )
        } else {
            text(variable, "/value").to_owned()
        };
        page.field(3, text(variable, "/name"), &value);
    }
}

/// `key=value:effect op=Exists for 300s`
fn toleration(toleration: &Value) -> String {
    let mut line = text(toleration, "/key").to_owned();
    if !text(toleration, "/value").is_empty() {
        line.push('=');
        line.push_str(text(toleration, "/value"));
    }
    if !text(toleration, "/effect").is_empty() {
        line.push(':');
        line.push_str(text(toleration, "/effect"));
    }
    if text(toleration, "/operator") == "Exists" && text(toleration, "/value").is_empty() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str("op=Exists");
    }
    if present(toleration, "/tolerationSeconds") {
        line.push_str(" for ");
        line.push_str(&integer(toleration, "/tolerationSeconds").to_string());
        line.push('s');
    }
    line
}
