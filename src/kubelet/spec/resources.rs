//! Resource requests and limits as cgroup values, quality of service, and who dies first when memory runs out.
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/>

use crate::kubelet::pod::state::{containers, is_sidecar};
use crate::object::quantity::Quantity;
use crate::runtime;
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::BTreeMap;

/// cgroup v1's smallest and largest `cpu.shares`.
const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;
/// The period CPU quotas count in, microseconds (kubelet's `cpuCFSQuotaPeriod`).
const CPU_PERIOD_US: i64 = 100_000;
/// The kernel refuses quotas below 1 ms.
const CPU_QUOTA_US_MIN: i64 = 1_000;
/// Processes and threads of one container: ample for a service, and a fork bomb stays affordable on a board with
/// 512 MiB (CRI-O's long-time default).
const PIDS_MAX: i64 = 1_024;

/// A pod's quality of service class.
pub fn qos_class(pod: &Pod) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    for (_, container) in containers(pod) {
        for resource in ["cpu", "memory"] {
            let limit = amount(container, "limits", resource);
            let request = amount(container, "requests", resource);
            any |= limit > 0 || request > 0;
            guaranteed &= limit > 0 && (request == 0 || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// The pod's cgroup below the root.
pub fn cgroup(pod: &Pod) -> String {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    match class(pod) {
        "BestEffort" => format!("besteffort/pod{uid}"),
        "Burstable" => format!("burstable/pod{uid}"),
        _ => format!("pod{uid}"),
    }
}

fn class(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|s| s.qos_class.as_deref())
        .unwrap_or_else(|| qos_class(pod))
}

/// Limits of one container.
pub fn container_resources(
    pod: &Pod,
    container: &Container,
    node_memory_bytes: i64,
) -> runtime::Resources {
    let cpu_limit_milli = amount(container, "limits", "cpu");
    let cpu_request_milli = match amount(container, "requests", "cpu") {
        0 if !has(container, "requests", "cpu") => cpu_limit_milli,
        request => request,
    };
    let memory_limit = amount(container, "limits", "memory");
    runtime::Resources {
        cpu_shares: (cpu_request_milli.saturating_mul(1024) / 1000)
            .clamp(SHARES_MIN, SHARES_MAX)
            .unsigned_abs(),
        cpu_quota_us: (cpu_limit_milli > 0)
            .then(|| (cpu_limit_milli.saturating_mul(CPU_PERIOD_US) / 1000).max(CPU_QUOTA_US_MIN)),
        cpu_period_us: CPU_PERIOD_US.unsigned_abs(),
        memory_limit_bytes: (memory_limit > 0).then_some(memory_limit),
        pids_max: Some(PIDS_MAX),
        oom_score_adj: oom_score_adj(pod, container, node_memory_bytes),
    }
}

/// Upstream's `GetContainerOOMScoreAdjust`: -997 for Guaranteed, 1000 for BestEffort, between 3 and 999 for
/// Burstable by the share of memory requested.
fn oom_score_adj(pod: &Pod, container: &Container, node_memory_bytes: i64) -> i32 {
    match class(pod) {
        "Guaranteed" => -997,
        "BestEffort" => 1000,
        _ => {
            let request = match amount(container, "requests", "memory") {
                0 => amount(container, "limits", "memory"),
                request => request,
            };
            let share = i128::from(request) * 1000 / i128::from(node_memory_bytes.max(1));
            i32::try_from((1000 - share).clamp(3, 999)).unwrap_or(999)
        }
    }
}

/// CPU in thousandths, everything else in whole units; 0 where it is not set. Quantities were validated by the API;
/// one that cannot be read counts as not set.
fn amount(container: &Container, kind: &str, resource: &str) -> i64 {
    let Some(quantity) = lookup(container, kind, resource).and_then(|q| Quantity::parse(q).ok())
    else {
        return 0;
    };
    if resource == "cpu" {
        quantity.milli()
    } else {
        quantity.value()
    }
}

fn has(container: &Container, kind: &str, resource: &str) -> bool {
    lookup(container, kind, resource).is_some()
}

fn lookup<'a>(container: &'a Container, kind: &str, resource: &str) -> Option<&'a str> {
    let resources = container.resources.as_ref()?;
    let set = if kind == "limits" {
        &resources.limits
    } else {
        &resources.requests
    };
    set.as_ref()?.get(resource).map(|q| q.0.as_str())
}

/// What a pod asks of a node, in the units of [`amount`]: the sum of its containers and sidecars, or the largest
/// init container beside the sidecars before it, whichever is more.
pub fn pod_requests(pod: &Pod) -> BTreeMap<String, i64> {
    let mut mains: BTreeMap<String, i64> = BTreeMap::new();
    let mut sidecars: BTreeMap<String, i64> = BTreeMap::new();
    let mut init_peak: BTreeMap<String, i64> = BTreeMap::new();
    for (init, container) in containers(pod) {
        for resource in ["cpu", "memory", "ephemeral-storage"] {
            let request = if has(container, "requests", resource) {
                amount(container, "requests", resource)
            } else {
                amount(container, "limits", resource)
            };
            if !init {
                *mains.entry(resource.to_string()).or_default() += request;
            } else if is_sidecar(container) {
                *sidecars.entry(resource.to_string()).or_default() += request;
            } else {
                let beside = sidecars.get(resource).copied().unwrap_or(0) + request;
                let peak = init_peak.entry(resource.to_string()).or_default();
                *peak = (*peak).max(beside);
            }
        }
    }
    for (resource, request) in &mut mains {
        *request += sidecars.get(resource).copied().unwrap_or(0);
        *request = (*request).max(init_peak.get(resource).copied().unwrap_or(0));
    }
    mains
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn pod(resources: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "u"},
            "spec": {"containers": [{"name": "c", "resources": resources}]}
        }))
        .unwrap()
    }

    #[test]
    fn classes_and_cgroups() {
        for (resources, class, path) in [
            (json!({}), "BestEffort", "besteffort/podu"),
            (
                json!({"requests": {"cpu": "100m"}}),
                "Burstable",
                "burstable/podu",
            ),
            (
                json!({"limits": {"cpu": "1", "memory": "64Mi"}}),
                "Guaranteed",
                "podu",
            ),
            (
                json!({"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "1", "memory": "32Mi"}}),
                "Burstable",
                "burstable/podu",
            ),
        ] {
            let pod = pod(resources);
            assert_eq!(qos_class(&pod), class);
            assert_eq!(cgroup(&pod), path);
        }
    }

    #[test]
    fn cgroup_values() {
        let gib = 1_i64 << 30;
        for (resources, shares, quota, memory, oom) in [
            (json!({}), 2, None, None, 1000),
            (
                json!({"requests": {"cpu": "100m", "memory": "256Mi"}}),
                102,
                None,
                None,
                750,
            ),
            (
                json!({"limits": {"cpu": "250m", "memory": "64Mi"}}),
                256,
                Some(25_000),
                Some(64 << 20),
                -997,
            ),
            (json!({"limits": {"cpu": "1m"}}), 2, Some(1_000), None, 999),
            (json!({"requests": {"memory": "1Gi"}}), 2, None, None, 3),
        ] {
            let pod = pod(resources.clone());
            let container = &pod.spec.as_ref().unwrap().containers[0];
            let made = container_resources(&pod, container, gib);
            assert_eq!(
                (
                    made.cpu_shares,
                    made.cpu_quota_us,
                    made.memory_limit_bytes,
                    made.oom_score_adj
                ),
                (shares, quota, memory, oom),
                "{resources}"
            );
        }
    }

    #[test]
    fn init_containers_count_by_their_peak() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "initContainers": [
                {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
                {"name": "big", "resources": {"requests": {"cpu": "2"}}}],
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "300m"}}}]}}))
        .unwrap();
        assert_eq!(pod_requests(&pod)["cpu"], 2100);
    }
}
