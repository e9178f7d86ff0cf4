//! The little of pods and nodes that decides where a pod goes.

use super::ports::{self, HostPort};
use super::resources::{Resources, Sum, pod_requests};
use super::terms::{Labels, PodRules, REGION, ZONE};
use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorTerm, Pod, PodSpec, Taint, Toleration,
};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Pods of other schedulers are left to them.
const SCHEDULER_NAME: &str = "default-scheduler";

/// `namespace/name`.
pub type PodKey = (String, String);

/// A node as filters and scores see it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeInfo {
    pub name: String,
    pub labels: Arc<Labels>,
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    pub allocatable: Resources,
    /// Bytes of each image that is there, by each of its names.
    pub images: BTreeMap<String, i64>,
}

impl NodeInfo {
    pub fn read(node: Node) -> NodeInfo {
        let spec = node.spec.unwrap_or_default();
        let status = node.status.unwrap_or_default();
        let amounts = status.allocatable.or(status.capacity);
        let mut images = BTreeMap::new();
        for image in status.images.into_iter().flatten() {
            for name in image.names.into_iter().flatten() {
                images.insert(name, image.size_bytes.unwrap_or(0));
            }
        }
        NodeInfo {
            name: node.metadata.name.unwrap_or_default(),
            labels: Arc::new(node.metadata.labels.unwrap_or_default()),
            unschedulable: spec.unschedulable.unwrap_or(false),
            taints: spec.taints.unwrap_or_default(),
            allocatable: Resources::read(amounts.as_ref()),
            images,
        }
    }

    /// Region and zone: nodes are looked at zone by zone in turn.
    pub fn zone(&self) -> (&str, &str) {
        let label = |key| self.labels.get(key).map_or("", String::as_str);
        (label(REGION), label(ZONE))
    }
}

/// A pod as filters and scores see it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PodInfo {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub labels: Arc<Labels>,
    /// Its controller's uid.
    pub owner: Option<String>,
    pub requests: Resources,
    /// The same as scores see it.
    pub scored: Resources,
    pub node_selector: BTreeMap<String, String>,
    pub node_affinity: Option<NodeSelector>,
    /// Wishes about nodes, with their weights.
    pub node_wishes: Vec<(i64, NodeSelectorTerm)>,
    pub rules: PodRules,
    pub ports: Vec<HostPort>,
    /// References of images, with a tag.
    pub images: BTreeSet<String>,
    /// Containers, which the most an image is worth grows with.
    pub containers: usize,
    pub tolerations: Vec<Toleration>,
    pub priority: i32,
    /// It may displace pods of lower priority.
    pub may_preempt: bool,
    /// Where it is bound or assumed to be.
    pub node: Option<String>,
    /// `status.nominatedNodeName`: where room is being made for it.
    pub nominated: Option<String>,
    /// Takes no room any more.
    pub finished: bool,
    /// It is being deleted.
    pub terminating: bool,
    /// Seconds since the epoch at which it started; of two of the same priority, the older one stays.
    pub started: i64,
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

/// Upstream's `normalizedImageName`: a reference without a tag means `:latest`.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains(':') || image.contains('@') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

fn images(spec: &PodSpec) -> BTreeSet<String> {
    let containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    containers
        .filter_map(|container| container.image.as_deref())
        .map(with_tag)
        .collect()
}

impl From<Pod> for PodInfo {
    fn from(pod: Pod) -> PodInfo {
        PodInfo::read(pod)
    }
}

/// Decodes from a whole Pod, of which no more is kept while the others of a list are read.
impl<'a> Deserialize<'a> for PodInfo {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<PodInfo, D::Error> {
        Pod::deserialize(deserializer).map(PodInfo::read)
    }
}

impl PodInfo {
    pub fn read(pod: Pod) -> PodInfo {
        let requests = pod_requests(&pod, Sum::Asked);
        let scored = pod_requests(&pod, Sum::Scored);
        let claims = claims(&pod);
        let rules = PodRules::read(&pod);
        let owners = pod.metadata.owner_references.into_iter().flatten();
        let owner = owners
            .into_iter()
            .find(|o| o.controller == Some(true))
            .map(|o| o.uid);
        let spec = pod.spec.unwrap_or_default();
        let status = pod.status.unwrap_or_default();
        let told = status
            .conditions
            .into_iter()
            .flatten()
            .find(|c| c.type_ == "PodScheduled" && c.status == "False")
            .and_then(|c| c.message);
        let terminating = pod.metadata.deletion_timestamp.is_some();
        let node_affinity = spec
            .affinity
            .as_ref()
            .and_then(|a| a.node_affinity.as_ref());
        let wishes = node_affinity.and_then(|a| {
            a.preferred_during_scheduling_ignored_during_execution
                .as_ref()
        });
        PodInfo {
            node_affinity: node_affinity.and_then(|a| {
                a.required_during_scheduling_ignored_during_execution
                    .clone()
            }),
            node_wishes: wishes
                .into_iter()
                .flatten()
                .map(|wish| (i64::from(wish.weight), wish.preference.clone()))
                .collect(),
            ports: ports::read(&spec),
            images: images(&spec),
            containers: spec.containers.len() + spec.init_containers.iter().flatten().count(),
            requests,
            scored,
            told,
            claims,
            rules,
            owner,
            terminating,
            finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            wanted: !terminating
                && spec.scheduling_gates.is_none_or(|gates| gates.is_empty())
                && spec.scheduler_name.is_none_or(|n| n == SCHEDULER_NAME),
            started: status
                .start_time
                .or(pod.metadata.creation_timestamp)
                .map_or(0, |time| time.0.as_second()),
            node: spec.node_name.filter(|node| !node.is_empty()),
            nominated: status.nominated_node_name.filter(|node| !node.is_empty()),
            priority: spec.priority.unwrap_or(0),
            may_preempt: spec.preemption_policy.as_deref() != Some("Never"),
            node_selector: spec.node_selector.unwrap_or_default(),
            tolerations: spec.tolerations.unwrap_or_default(),
            labels: Arc::new(pod.metadata.labels.unwrap_or_default()),
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

    /// Whether it takes room of a node.
    pub fn is_placed(&self) -> bool {
        self.node.is_some() && !self.finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_without_a_tag_are_the_latest() {
        for (image, want) in [
            ("busybox", "busybox:latest"),
            ("registry:5000/a", "registry:5000/a:latest"),
            ("a:1", "a:1"),
            ("a@sha256:00", "a@sha256:00"),
        ] {
            assert_eq!(with_tag(image), want);
        }
    }
}
