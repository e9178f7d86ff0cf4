//! The little of pods and nodes that decides where a pod goes.

use super::resources::{Resources, pod_requests};
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use std::collections::BTreeMap;

/// Pods of other schedulers are left to them.
const SCHEDULER_NAME: &str = "default-scheduler";

/// `namespace/name`.
pub type PodKey = (String, String);

/// A node as filters and scores see it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeInfo {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    pub allocatable: Resources,
}

impl NodeInfo {
    pub fn read(node: Node) -> NodeInfo {
        let spec = node.spec.unwrap_or_default();
        let status = node.status.unwrap_or_default();
        let amounts = status.allocatable.or(status.capacity);
        NodeInfo {
            name: node.metadata.name.unwrap_or_default(),
            labels: node.metadata.labels.unwrap_or_default(),
            unschedulable: spec.unschedulable.unwrap_or(false),
            taints: spec.taints.unwrap_or_default(),
            allocatable: Resources::read(amounts.as_ref()),
        }
    }
}

/// A pod as filters and scores see it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PodInfo {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub requests: Resources,
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<Toleration>,
    pub priority: i32,
    /// Where it is bound or assumed to be.
    pub node: Option<String>,
    /// Takes no room any more.
    pub finished: bool,
    /// Ours to bind: our scheduler's name, no gates, not being deleted.
    pub wanted: bool,
    /// Message of a `PodScheduled=False` condition that stands in the API.
    pub told: Option<String>,
    /// Persistent volume claims it uses, in its own namespace.
    pub claims: Vec<ClaimName>,
}

/// A claim that a pod's volume stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimName {
    pub name: String,
    /// It is made for the pod.
    pub ephemeral: bool,
}

fn claims(pod: &Pod) -> Vec<ClaimName> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes
        .filter_map(|volume| match &volume.persistent_volume_claim {
            Some(claim) => Some(ClaimName {
                name: claim.claim_name.clone(),
                ephemeral: false,
            }),
            None => volume.ephemeral.as_ref().map(|_| ClaimName {
                name: format!("{name}-{}", volume.name),
                ephemeral: true,
            }),
        })
        .collect()
}

impl PodInfo {
    pub fn read(pod: Pod) -> PodInfo {
        let requests = pod_requests(&pod);
        let claims = claims(&pod);
        let spec = pod.spec.unwrap_or_default();
        let status = pod.status.unwrap_or_default();
        let told = status
            .conditions
            .into_iter()
            .flatten()
            .find(|c| c.type_ == "PodScheduled" && c.status == "False")
            .and_then(|c| c.message);
        PodInfo {
            requests,
            told,
            claims,
            finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            wanted: pod.metadata.deletion_timestamp.is_none()
                && spec.scheduling_gates.is_none_or(|gates| gates.is_empty())
                && spec.scheduler_name.is_none_or(|n| n == SCHEDULER_NAME),
            node: spec.node_name.filter(|node| !node.is_empty()),
            priority: spec.priority.unwrap_or(0),
            node_selector: spec.node_selector.unwrap_or_default(),
            tolerations: spec.tolerations.unwrap_or_default(),
            namespace: pod.metadata.namespace.unwrap_or_default(),
            name: pod.metadata.name.unwrap_or_default(),
            uid: pod.metadata.uid.unwrap_or_default(),
        }
    }

    pub fn key(&self) -> PodKey {
        (self.namespace.clone(), self.name.clone())
    }

    pub fn is_pending(&self) -> bool {
        self.wanted && !self.finished && self.node.is_none()
    }
}
