//! Taints of nodes and what pods tolerate.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>
//!
//! Of the newest API's operators, `Gt` and `Lt` stand behind a gate that is off by default; validation refuses them.

use super::snapshot::{NodeInfo, PodInfo};
use crate::object::tolerations::tolerated;
use k8s_openapi::api::core::v1::Taint;

const CORDON: &str = "node.kubernetes.io/unschedulable";

/// Whether the node is cordoned, and the pod minds.
pub fn is_cordoned(pod: &PodInfo, node: &NodeInfo) -> bool {
    node.unschedulable && {
        let cordon = Taint {
            key: CORDON.to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        !tolerated(&cordon, &pod.tolerations)
    }
}

/// Where the first taint stands that keeps the pod away.
pub fn untolerated(pod: &PodInfo, node: &NodeInfo) -> Option<usize> {
    node.taints.iter().position(|taint| {
        matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
            && !tolerated(taint, &pod.tolerations)
    })
}

/// Taints that would rather keep the pod away.
pub fn disliked(pod: &PodInfo, node: &NodeInfo) -> usize {
    let soft = |taint: &&Taint| taint.effect == "PreferNoSchedule";
    let taints = node.taints.iter().filter(soft);
    taints
        .filter(|taint| !tolerated(taint, &pod.tolerations))
        .count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn tolerations_match_as_documented() {
        let taint: Taint =
            serde_json::from_value(json!({"key": "k", "value": "v", "effect": "NoSchedule"}))
                .unwrap();
        for (toleration, expected) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "k", "operator": "Exists"}), true),
            (json!({"key": "k", "value": "v"}), true),
            (
                json!({"key": "k", "value": "v", "effect": "NoExecute"}),
                false,
            ),
            (json!({"key": "k", "value": "w"}), false),
            (json!({"key": "j", "operator": "Exists"}), false),
            (json!({"key": "k", "value": "v", "operator": "Odd"}), false),
        ] {
            let list = [serde_json::from_value(toleration.clone()).unwrap()];
            assert_eq!(tolerated(&taint, &list), expected, "{toleration}");
        }
    }

    #[test]
    fn a_soft_taint_is_only_disliked() {
        let node = NodeInfo {
            taints: serde_json::from_value(json!([
                {"key": "a", "effect": "PreferNoSchedule"}, {"key": "b", "effect": "PreferNoSchedule"}]))
            .unwrap(),
            ..NodeInfo::default()
        };
        let mut pod = PodInfo::default();
        assert_eq!((untolerated(&pod, &node), disliked(&pod, &node)), (None, 2));
        pod.tolerations =
            serde_json::from_value(json!([{"key": "a", "operator": "Exists"}])).unwrap();
        assert_eq!(disliked(&pod, &node), 1);
    }
}
