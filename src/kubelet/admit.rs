//! Whether this node takes a pod that was bound to it.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/> and kubelet's
//! `lifecycle.PredicateAdmitHandler`, whose reasons and words these are.

use super::pod::state::Verdict;
use super::spec::NodeFacts;
use super::spec::pod_resources::{Amounts, pod_requests};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;

/// What pods may use of this node.
#[derive(Debug, Clone)]
pub struct Room {
    pub pods_max: u32,
    pub facts: NodeFacts,
    pub labels: BTreeMap<String, String>,
}

/// Refuses `pod` where it does not fit beside `others` (what the pods here that are not over have been granted).
pub fn admit<'a>(
    pod: &Pod,
    others: impl Iterator<Item = &'a Amounts>,
    room: &Room,
) -> Result<(), Verdict> {
    let wanted = pod_requests(pod);
    let mut count: i64 = 0;
    let mut used: BTreeMap<String, i64> = BTreeMap::new();
    for other in others {
        count += 1;
        for (resource, amount) in other {
            let sum = used.entry(resource.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }
    let pods_max = i64::from(room.pods_max);
    if count + 1 > pods_max {
        return Err(out_of("pods", 1, count, pods_max));
    }
    for (resource, requested) in &wanted {
        let Some(capacity) = room.facts.capacity(resource) else {
            continue;
        };
        let used = used.get(resource).copied().unwrap_or(0);
        if *requested > 0 && requested.saturating_add(used) > capacity {
            return Err(out_of(resource, *requested, used, capacity));
        }
    }
    let selector = pod.spec.as_ref().and_then(|s| s.node_selector.as_ref());
    if selector
        .into_iter()
        .flatten()
        .any(|(k, v)| room.labels.get(k) != Some(v))
    {
        return Err(Verdict {
            reason: "NodeAffinity".to_string(),
            message: "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
                .to_string(),
        });
    }
    Ok(())
}

fn out_of(resource: &str, requested: i64, used: i64, capacity: i64) -> Verdict {
    Verdict {
        reason: format!("OutOf{resource}"),
        message: format!(
            "Pod was rejected: Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn reasons() {
        let room = Room {
            pods_max: 2,
            facts: NodeFacts {
                name: "n".to_string(),
                ip: String::new(),
                cpu_milli: 1000,
                memory_bytes: 1 << 20,
                ephemeral_storage_bytes: 1 << 30,
                ..NodeFacts::default()
            },
            labels: BTreeMap::from([("disk".to_string(), "ssd".to_string())]),
        };
        let pod = |requests: serde_json::Value, selector: serde_json::Value| -> Pod {
            serde_json::from_value(json!({"spec": {"nodeSelector": selector,
                "containers": [{"name": "c", "resources": {"requests": requests}}]}}))
            .unwrap()
        };
        let half = pod_requests(&pod(json!({"cpu": "600m"}), json!({})));
        for (requests, selector, others, expected) in [
            (json!({}), json!({}), 0, None),
            (json!({}), json!({}), 2, Some("OutOfpods")),
            (json!({"cpu": "500m"}), json!({}), 1, Some("OutOfcpu")),
            (json!({"cpu": "400m"}), json!({}), 1, None),
            (json!({"memory": "2Mi"}), json!({}), 0, Some("OutOfmemory")),
            (json!({}), json!({"disk": "hdd"}), 0, Some("NodeAffinity")),
            (json!({}), json!({"disk": "ssd"}), 0, None),
        ] {
            let others = std::iter::repeat_n(&half, others);
            let result = admit(&pod(requests, selector), others, &room);
            assert_eq!(result.err().map(|v| v.reason).as_deref(), expected);
        }
    }
}
