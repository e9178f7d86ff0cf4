//! The life of nodes: who is still there, and what becomes of the pods of those who are not.
//! <https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller>
//!
//! What comes in: nodes, their pods, and how long each node has been silent (`world::heartbeats`). What goes out, each
//! step decided from what the one before it wrote: conditions `Unknown` (`health`), taints after conditions (`taints`),
//! at the pace the zone's state allows (`zones`), pods not ready (`pods`), pods deleted that do not tolerate the taints
//! (`eviction`).
//!
//! Invariants: a silent node is never judged by a clock, its own or ours; where no node is well, nobody is evicted, for
//! then it is rather us who are cut off. It never knows about leases themselves or how pods end.

mod eviction;
mod health;
mod pods;
mod taints;
#[cfg(test)]
mod tests;
mod zones;

pub use eviction::{TaintEviction, disruption};
pub use health::NodeHealth;
pub use pods::PodsOfLostNodes;
pub use taints::NodeTaints;

use super::world::{Diff, Key, World, key};
use k8s_openapi::api::core::v1::{Node, NodeCondition};

/// As the node's condition says; `None`: it has none of that type.
fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// `True`, `False`, `Unknown`, or nothing where it has never said.
fn readiness(node: &Node) -> &str {
    condition(node, "Ready").map_or("", |ready| ready.status.as_str())
}

/// Whether the change is one of the node's readiness, or of its being there.
fn readiness_changed(diff: &Diff<Node>) -> bool {
    let of =
        |node: &Option<std::sync::Arc<Node>>| node.as_ref().map(|node| readiness(node).to_owned());
    of(&diff.old) != of(&diff.new)
}

/// The pods bound to the node of this name.
fn pods_of(world: &World, node: &str) -> Vec<Key> {
    let bound = world.pods.iter();
    bound
        .filter(|pod| pod.spec.node_name.as_deref() == Some(node))
        .map(|pod| key(&pod.metadata))
        .collect()
}

/// The node that the pod is bound to, if it is there.
fn node_of<'a>(world: &'a World, pod: &Key) -> Option<&'a Node> {
    let name = world.pods.get(pod)?.spec.node_name.clone()?;
    world.nodes.get(&(String::new(), name)).map(AsRef::as_ref)
}
