//! Resource requests and limits as cgroup values, quality of service, and who dies first when memory runs out.
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/>

use super::pod_resources::{amounts, limits_of, page_size, quota_us, requests_of};
use crate::kubelet::pod::state::{containers, is_sidecar};
use crate::runtime;
use crate::runtime::cgroups::limits::Limits;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use std::collections::BTreeMap;

/// cgroup v1's smallest and largest `cpu.shares`.
const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;
pub use crate::runtime::cgroups::limits::CPU_PERIOD_US;
/// The kernel refuses quotas below 1 ms.
pub const CPU_QUOTA_US_MIN: i64 = 1_000;

/// A pod's quality of service class; what the pod itself says, if it does, decides alone.
pub fn qos_class(pod: &Pod) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    let mut judge = |resources: Option<&ResourceRequirements>| {
        for resource in ["cpu", "memory"] {
            let of = |set| amounts(set).get(resource).copied().unwrap_or(0);
            let limit = of(resources.and_then(|r| r.limits.as_ref()));
            let request = of(resources.and_then(|r| r.requests.as_ref()));
            any |= limit > 0 || request > 0;
            guaranteed &= limit > 0 && (request == 0 || request == limit);
        }
    };
    match own(pod) {
        Some(own) => judge(Some(own)),
        None => containers(pod).for_each(|(_, container)| judge(container.resources.as_ref())),
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Requests and limits of the pod itself, where it has any.
fn own(pod: &Pod) -> Option<&ResourceRequirements> {
    let own = pod.spec.as_ref()?.resources.as_ref()?;
    let given = |set: &Option<BTreeMap<String, _>>| set.as_ref().is_some_and(|s| !s.is_empty());
    (given(&own.limits) || given(&own.requests)).then_some(own)
}

/// `cpu.shares` of a request.
pub fn shares(cpu_milli: i64) -> u64 {
    (cpu_milli.saturating_mul(1024) / 1000)
        .clamp(SHARES_MIN, SHARES_MAX)
        .unsigned_abs()
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

pub fn class(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|s| s.qos_class.as_deref())
        .unwrap_or_else(|| qos_class(pod))
}

/// Limits of one container. One without its own may use what its pod may.
pub fn container_resources(
    pod: &Pod,
    container: &Container,
    node_memory_bytes: i64,
) -> runtime::Resources {
    let of_pod = limits_of(own(pod));
    let limits = limits_of(container.resources.as_ref());
    let requests = requests_of(container.resources.as_ref());
    let limit = |name: &str| {
        let own = limits.get(name).copied().filter(|amount| *amount > 0);
        own.or(of_pod.get(name).copied().filter(|amount| *amount > 0))
    };
    runtime::Resources {
        cpu_shares: shares(requests.get("cpu").copied().unwrap_or(0)),
        cpu_quota_us: limit("cpu").map(quota_us),
        cpu_period_us: CPU_PERIOD_US.unsigned_abs(),
        memory_limit_bytes: limit("memory"),
        // Its pod's cgroup has the limit, as upstream's podPidsLimit.
        pids_max: None,
        oom_score_adj: oom_score_adj(pod, container, node_memory_bytes),
        huge_pages: limits
            .iter()
            .filter_map(|(name, bytes)| Some((page_size(name)?, *bytes)))
            .collect(),
    }
}

/// The same for a container that runs already.
pub fn live_limits(resources: &runtime::Resources) -> Limits {
    Limits {
        cpu_shares: Some(resources.cpu_shares),
        cpu_quota_us: Some(resources.cpu_quota_us.into()),
        memory_bytes: Some(resources.memory_limit_bytes.into()),
        pids: None,
        huge_pages: Vec::new(),
    }
}

/// Upstream's `GetContainerOOMScoreAdjust`: -997 for Guaranteed and for what the node cannot do without, 1000 for
/// BestEffort, between 3 and 999 for Burstable by the share of memory requested. A sidecar goes no sooner than the
/// main container that asks for least.
fn oom_score_adj(pod: &Pod, container: &Container, node_memory_bytes: i64) -> i32 {
    let spec = pod.spec.as_ref();
    let is_vital =
        spec.is_some_and(|s| s.priority_class_name.as_deref() == Some("system-node-critical"));
    match class(pod) {
        _ if is_vital => -997,
        "Guaranteed" => -997,
        "BestEffort" => 1000,
        _ => {
            let memory = |c: &Container| {
                let all = requests_of(c.resources.as_ref());
                all.get("memory").copied().unwrap_or(0)
            };
            let score = |request: i64| {
                1000 - i128::from(request) * 1000 / i128::from(node_memory_bytes.max(1))
            };
            // What the pod asks for beyond its containers is every container's, in equal parts.
            let of_pod = requests_of(own(pod)).get("memory").copied();
            let (mut count, mut sum) = (0_i64, 0_i64);
            for (init, c) in containers(pod).filter(|(init, c)| !init || is_sidecar(c)) {
                count += i64::from(!init || is_sidecar(c));
                sum = sum.saturating_add(memory(c));
            }
            let rest = of_pod.map_or(0, |all| all.saturating_sub(sum).max(0) / count.max(1));
            let mut adjusted = score(memory(container).saturating_add(rest));
            if is_sidecar(container) {
                let mains = containers(pod).filter(|(init, _)| !init);
                let least = mains.map(|(_, c)| memory(c)).min().unwrap_or(0);
                adjusted = adjusted.min(score(least.saturating_add(rest)));
            }
            i32::try_from(adjusted.clamp(3, 999)).unwrap_or(999)
        }
    }
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
}
