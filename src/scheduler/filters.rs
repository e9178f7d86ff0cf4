//! Which nodes can take a pod at all; each filter answers with upstream's words.

use super::resources::{PODS, Resources};
use super::snapshot::{NodeInfo, PodInfo};
use k8s_openapi::api::core::v1::{Taint, Toleration};

/// A filter's view: the pod, the node and what is already taken there.
type Filter = fn(&PodInfo, &NodeInfo, &Resources) -> Vec<String>;

/// In upstream's order; the first that objects is the node's answer.
const FILTERS: [Filter; 4] = [unschedulable, taints, node_selector, resources_fit];

/// Why `node` cannot take `pod`; empty: it can.
pub fn reasons_against(pod: &PodInfo, node: &NodeInfo, used: &Resources) -> Vec<String> {
    FILTERS
        .iter()
        .map(|filter| filter(pod, node, used))
        .find(|reasons| !reasons.is_empty())
        .unwrap_or_default()
}

fn unschedulable(pod: &PodInfo, node: &NodeInfo, _: &Resources) -> Vec<String> {
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    if node.unschedulable && !tolerated(&cordon, &pod.tolerations) {
        vec!["node(s) were unschedulable".to_owned()]
    } else {
        Vec::new()
    }
}

/// <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>
fn taints(pod: &PodInfo, node: &NodeInfo, _: &Resources) -> Vec<String> {
    let untolerated = node
        .taints
        .iter()
        .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
        .find(|taint| !tolerated(taint, &pod.tolerations));
    untolerated
        .map(|taint| {
            let value = taint.value.as_deref().unwrap_or_default();
            format!("node(s) had untolerated taint {{{}: {value}}}", taint.key)
        })
        .into_iter()
        .collect()
}

fn tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    let filled = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    tolerations.iter().any(|toleration| {
        let effect = filled(&toleration.effect).is_none_or(|effect| effect == taint.effect);
        let key = filled(&toleration.key).is_none_or(|key| key == taint.key);
        let value = match filled(&toleration.operator).as_deref() {
            Some("Exists") => true,
            Some("Equal") | None => {
                filled(&toleration.key).is_some()
                    && filled(&toleration.value) == filled(&taint.value)
            }
            Some(_) => false,
        };
        effect && key && value
    })
}

fn node_selector(pod: &PodInfo, node: &NodeInfo, _: &Resources) -> Vec<String> {
    let all = pod
        .node_selector
        .iter()
        .all(|(key, value)| node.labels.get(key) == Some(value));
    if all {
        Vec::new()
    } else {
        vec!["node(s) didn't match Pod's node affinity/selector".to_owned()]
    }
}

/// Every resource that lacks is named, not the first only.
fn resources_fit(pod: &PodInfo, node: &NodeInfo, used: &Resources) -> Vec<String> {
    let lacks = |name: &str, amount: i128| {
        amount > 0 && amount > node.allocatable.get(name) - used.get(name)
    };
    pod.requests
        .0
        .iter()
        .filter(|(name, amount)| lacks(name, **amount))
        .map(|(name, _)| match name.as_str() {
            PODS => "Too many pods".to_owned(),
            other => format!("Insufficient {other}"),
        })
        .collect()
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
    fn a_cordoned_node_and_a_selector_say_why() {
        let pod = PodInfo {
            node_selector: [("disk".to_owned(), "ssd".to_owned())].into(),
            ..PodInfo::default()
        };
        let mut node = NodeInfo::default();
        let used = Resources::default();
        let against = reasons_against(&pod, &node, &used);
        assert_eq!(
            against,
            ["node(s) didn't match Pod's node affinity/selector"]
        );
        node.unschedulable = true;
        let against = reasons_against(&pod, &node, &used);
        assert_eq!(against, ["node(s) were unschedulable"]);
    }
}
