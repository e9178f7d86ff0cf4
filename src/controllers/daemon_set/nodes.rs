//! Which nodes a DaemonSet means, and which of its pods belong where.

use crate::controllers::owners;
use crate::controllers::world::{PodView, World};
use crate::object::node_selector;
use crate::object::tolerations::tolerated;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, PodSpec, Toleration};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a DaemonSet's pods bear without being told: they stay where others are sent away.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations>
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// Those that use the node's own network do not wait for the pods'.
const TOLERATED_HOST_NETWORK: (&str, &str) =
    ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// One node, or what is left of one.
#[derive(Debug, Default)]
pub struct Place {
    /// A pod is to be here.
    pub runs: bool,
    /// A pod that is here may stay.
    pub stays: bool,
    /// The set's pods, those scheduled first, older first.
    pub pods: Vec<Arc<PodView>>,
}

/// By the name of the node.
#[derive(Debug, Default)]
pub struct Places {
    pub nodes: BTreeMap<String, Place>,
    /// Pods for nodes that are not there, and on none.
    pub lost: Vec<Arc<PodView>>,
}

impl Places {
    pub fn pods(&self) -> impl Iterator<Item = &Arc<PodView>> {
        let placed = self.nodes.values().flat_map(|place| &place.pods);
        placed.chain(&self.lost)
    }

    /// How many nodes are to have a pod.
    pub fn wanted(&self) -> i32 {
        let wanted = self.nodes.values().filter(|place| place.runs).count();
        i32::try_from(wanted).unwrap_or(i32::MAX)
    }
}

pub fn places(world: &World, set: &DaemonSet, pods: &[Arc<PodView>]) -> Places {
    let spec = set.spec.template.spec.clone().unwrap_or_default();
    let tolerations = tolerations(&spec);
    let mut places = Places::default();
    for node in world.nodes.iter() {
        let (runs, stays) = means(&spec, &tolerations, node);
        let name = node.metadata.name.clone().unwrap_or_default();
        let pods = Vec::new();
        places.nodes.insert(name, Place { runs, stays, pods });
    }
    for pod in pods {
        let bound = pod.spec.node_name.as_ref().filter(|n| !n.is_empty());
        let name = bound.or(pod.spec.affinity.pinned_node.as_ref());
        match name.and_then(|name| places.nodes.get_mut(name)) {
            Some(place) => place.pods.push(pod.clone()),
            // Of a bound pod without a node somebody else takes care.
            None if bound.is_none() && name.is_some() => places.lost.push(pod.clone()),
            None => {}
        }
    }
    for place in places.nodes.values_mut() {
        place.pods.sort_by(|a, b| order(a).cmp(&order(b)));
    }
    places
}

fn order(pod: &PodView) -> (Reverse<bool>, Option<jiff::Timestamp>, &str) {
    let is_bound = pod.spec.node_name.as_ref().is_some_and(|n| !n.is_empty());
    let created = pod.metadata.creation_timestamp.as_ref().map(|at| at.0);
    (
        Reverse(is_bound),
        created,
        pod.metadata.name.as_deref().unwrap_or_default(),
    )
}

/// Whether a pod is to run on the node, and whether one that does may stay.
fn means(spec: &PodSpec, tolerations: &[Toleration], node: &Node) -> (bool, bool) {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let labels = owners::labels(&node.metadata);
    let named = spec.node_name.as_deref().unwrap_or_default();
    let selected = spec.node_selector.iter().flatten();
    let mut selected = selected.into_iter();
    let affinity = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref());
    let required = affinity.and_then(|a| {
        a.required_during_scheduling_ignored_during_execution
            .as_ref()
    });
    let is_meant = (named.is_empty() || named == name)
        && selected.all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|selector| node_selector::matches(selector, name, labels));
    if !is_meant {
        return (false, false);
    }
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    let minded: Vec<&str> = taints
        .filter(|taint| !tolerated(taint, tolerations))
        .map(|taint| taint.effect.as_str())
        .collect();
    let runs = !minded
        .iter()
        .any(|e| matches!(*e, "NoSchedule" | "NoExecute"));
    (runs, !minded.contains(&"NoExecute"))
}

/// The template's tolerations, and those of every DaemonSet.
pub fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let mut all = spec.tolerations.clone().unwrap_or_default();
    let network = Some(TOLERATED_HOST_NETWORK).filter(|_| spec.host_network == Some(true));
    for (key, effect) in TOLERATED.into_iter().chain(network) {
        let toleration = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        let is_same = |t: &&mut Toleration| {
            let value = t.value.as_deref().unwrap_or_default();
            (&t.key, &t.operator, &t.effect, value)
                == (
                    &toleration.key,
                    &toleration.operator,
                    &toleration.effect,
                    "",
                )
        };
        match all.iter_mut().find(is_same) {
            Some(same) => *same = toleration,
            None => all.push(toleration),
        }
    }
    all
}
