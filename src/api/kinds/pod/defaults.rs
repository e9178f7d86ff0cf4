//! What Kubernetes fills in where a pod's author said nothing.

use super::GRACE_PERIOD_SECONDS;
use crate::api::kinds::status::{default_to, put};
use crate::object::access::{present, text, truth};
use serde_json::{Value, json};

/// Seconds a pod stays on a node that is not ready or unreachable (upstream's DefaultTolerationSeconds plugin).
const NODE_TROUBLE_SECONDS: i64 = 300;
/// Priorities of the two classes every cluster has.
const SYSTEM_PRIORITIES: [(&str, i64); 2] = [
    ("system-cluster-critical", 2_000_000_000),
    ("system-node-critical", 2_000_001_000),
];

pub fn apply(pod: &mut Value) {
    // A static pod cannot use what only the API has (upstream's ServiceAccount admission passes mirrors over).
    let mirror = pod
        .pointer("/metadata/annotations")
        .is_some_and(|annotations| annotations.get(super::MIRROR).is_some());
    let Some(spec) = pod.get_mut("spec").filter(|spec| spec.is_object()) else {
        return;
    };
    default_to(spec, "enableServiceLinks", true);
    if !mirror {
        account(spec);
    }
    priority(spec);
    tolerations(spec);
    complete_spec(spec);
    super::resources::default_of_pod(spec);
    if super::quality::class(pod) != "BestEffort" {
        tolerate_memory_pressure(&mut pod["spec"]);
    }
}

/// What is filled in in a template too; the rest waits for the pod that is made of it.
pub fn complete_spec(spec: &mut Value) {
    default_to(spec, "restartPolicy", "Always");
    default_to(spec, "dnsPolicy", "ClusterFirst");
    default_to(spec, "terminationGracePeriodSeconds", GRACE_PERIOD_SECONDS);
    default_to(spec, "schedulerName", "default-scheduler");
    default_to(spec, "securityContext", json!({}));
    let host_network = truth(spec, "/hostNetwork");
    for group in ["initContainers", "containers", "ephemeralContainers"] {
        if let Some(Value::Array(containers)) = spec.get_mut(group) {
            for item in containers.iter_mut().filter(|item| item.is_object()) {
                container(item, host_network);
            }
        }
    }
    if let Some(Value::Array(volumes)) = spec.get_mut("volumes") {
        volumes.iter_mut().for_each(volume);
    }
}

/// A pod that says what it needs copes with memory pressure; only BestEffort pods are kept from such a node.
/// <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-nodes-by-condition>
fn tolerate_memory_pressure(spec: &mut Value) {
    const KEY: &str = "node.kubernetes.io/memory-pressure";
    let Some(Value::Array(tolerations)) = spec.get_mut("tolerations") else {
        return;
    };
    let tolerated = tolerations.iter().any(|t| {
        let (own, effect) = (text(t, "/key"), text(t, "/effect"));
        (own == KEY || (own.is_empty() && text(t, "/operator") == "Exists"))
            && (effect == "NoSchedule" || effect.is_empty())
    });
    if !tolerated {
        tolerations.push(json!({"key": KEY, "operator": "Exists", "effect": "NoSchedule"}));
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`.
fn account(spec: &mut Value) {
    let old_name = text(spec, "/serviceAccount").to_owned();
    let name = match text(spec, "/serviceAccountName") {
        "" if old_name.is_empty() => "default".to_owned(),
        "" => old_name,
        name => name.to_owned(),
    };
    spec["serviceAccountName"] = name.clone().into();
    spec["serviceAccount"] = name.into();
}

fn priority(spec: &mut Value) {
    let class = text(spec, "/priorityClassName");
    let known = SYSTEM_PRIORITIES.iter().find(|(name, _)| *name == class);
    let priority = known.map_or(0, |(_, priority)| *priority);
    default_to(spec, "priority", priority);
    default_to(spec, "preemptionPolicy", "PreemptLowerPriority");
}

fn tolerations(spec: &mut Value) {
    default_to(spec, "tolerations", json!([]));
    let Some(Value::Array(tolerations)) = spec.get_mut("tolerations") else {
        return;
    };
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let tolerated = tolerations.iter().any(|t| {
            let (own, effect) = (text(t, "/key"), text(t, "/effect"));
            (own == key || own.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        });
        if !tolerated {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": NODE_TROUBLE_SECONDS,
            }));
        }
    }
}

fn container(container: &mut Value, host_network: bool) {
    let policy = pull_policy(text(container, "/image"));
    default_to(container, "imagePullPolicy", policy);
    default_to(container, "terminationMessagePath", "/dev/termination-log");
    default_to(container, "terminationMessagePolicy", "File");
    default_to(container, "resources", json!({}));
    super::probes::defaults(container);
    if let Some(Value::Object(limits)) = container["resources"].get("limits").cloned()
        && !limits.is_empty()
    {
        let resources = &mut container["resources"];
        default_to(resources, "requests", json!({}));
        for (name, amount) in limits {
            default_to(&mut resources["requests"], &name, amount);
        }
    }
    if let Some(Value::Array(ports)) = container.get_mut("ports") {
        for port in ports {
            default_to(port, "protocol", "TCP");
            let number = port["containerPort"].clone();
            if host_network && !number.is_null() {
                default_to(port, "hostPort", number);
            }
        }
    }
    for stage in ["postStart", "preStop"] {
        if let Some(get) = container.pointer_mut(&format!("/lifecycle/{stage}/httpGet")) {
            for (field, value) in [("path", "/"), ("scheme", "HTTP")] {
                if get[field] == "" {
                    put(get, field, Value::Null);
                }
                default_to(get, field, value);
            }
        }
    }
    if let Some(Value::Array(variables)) = container.get_mut("env") {
        for variable in variables {
            if let Some(reference) = variable.pointer_mut("/valueFrom/fieldRef") {
                default_to(reference, "apiVersion", "v1");
            }
        }
    }
}

/// `Always` for `:latest` or neither tag nor digest.
pub fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let name = image.rsplit('/').next().unwrap_or_default();
    match name.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

fn volume(volume: &mut Value) {
    /// Upstream's `ConfigMapVolumeSourceDefaultMode`: 0644.
    const MODE: i64 = 0o644;
    /// Upstream's default of a projected token's life.
    const TOKEN_SECONDS: i64 = 3600;
    let sourceless = volume
        .as_object()
        .is_some_and(|fields| fields.keys().all(|key| key == "name"));
    if sourceless {
        default_to(volume, "emptyDir", json!({}));
    }
    for source in ["configMap", "secret", "downwardAPI", "projected"] {
        if present(volume, &format!("/{source}")) {
            default_to(&mut volume[source], "defaultMode", MODE);
        }
    }
    if let Some(Value::Array(items)) = volume.pointer_mut("/downwardAPI/items") {
        items.iter_mut().for_each(field_version);
    }
    if let Some(Value::Array(parts)) = volume.pointer_mut("/projected/sources") {
        for part in parts {
            if let Some(token) = part.get_mut("serviceAccountToken") {
                default_to(token, "expirationSeconds", TOKEN_SECONDS);
            }
            if let Some(Value::Array(items)) = part.pointer_mut("/downwardAPI/items") {
                items.iter_mut().for_each(field_version);
            }
        }
    }
    if present(volume, "/image") {
        let policy = pull_policy(text(volume, "/image/reference"));
        default_to(&mut volume["image"], "pullPolicy", policy);
    }
    if let Some(claim) = volume.pointer_mut("/ephemeral/volumeClaimTemplate/spec") {
        default_to(claim, "volumeMode", "Filesystem");
    }
    if present(volume, "/hostPath") {
        default_to(&mut volume["hostPath"], "type", "");
    }
}

fn field_version(item: &mut Value) {
    if let Some(reference) = item.get_mut("fieldRef") {
        default_to(reference, "apiVersion", "v1");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pull_policies() {
        for (image, want) in [
            ("busybox", "Always"),
            ("busybox:latest", "Always"),
            ("busybox:1.36", "IfNotPresent"),
            ("registry:5000/busybox", "Always"),
            ("registry:5000/a/busybox:1", "IfNotPresent"),
            ("busybox@sha256:00", "IfNotPresent"),
            ("busybox:latest@sha256:00", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), want, "{image}");
        }
    }

    #[test]
    fn fills_a_pod() {
        let mut pod = json!({"spec": {
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
            "containers": [{"name": "a", "image": "x:1", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}, "requests": {"memory": "1Gi"}}}],
            "volumes": [{"name": "v"}, {"name": "c", "configMap": {"name": "c"}}],
        }});
        apply(&mut pod);
        let spec = &pod["spec"];
        assert_eq!(
            spec["containers"][0]["resources"]["requests"],
            json!({"memory": "1Gi", "cpu": "1"})
        );
        assert_eq!(spec["containers"][0]["ports"][0]["protocol"], "TCP");
        assert_eq!(spec["containers"][0]["imagePullPolicy"], "IfNotPresent");
        assert_eq!(
            spec["volumes"],
            json!([{"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c", "defaultMode": 420}}])
        );
        let tolerated = spec["tolerations"].as_array().unwrap();
        // The one given, unreachable, and memory pressure: it is not BestEffort.
        assert_eq!(tolerated.len(), 3);
        assert_eq!(tolerated[2]["effect"], "NoSchedule");
        assert_eq!(spec["serviceAccountName"], "default");
        assert_eq!(spec["priority"], 0);
        let once = pod.clone();
        apply(&mut pod);
        assert_eq!(once, pod);
        apply(&mut json!({"spec": {"containers": ["x", 1], "volumes": [3], "initContainers": {}}}));
        apply(&mut json!({"spec": 1}));
    }
}
