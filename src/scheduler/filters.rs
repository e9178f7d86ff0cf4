//! Which nodes can take a pod at all; each filter answers with upstream's words.

use super::cluster::{Cluster, NodeState, Tracked};
use super::counts::Wish;
use super::plugins::Plugins;
use super::snapshot::{NodeInfo, PodInfo};
use super::spread::{self, Limit};
use super::taints;
use super::tally::Tally;
use super::topology::{NOWHERE, Topology};
use super::volumes::{Need, Storage};
use crate::object::node_selector;

/// Why a node cannot take a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Against {
    Cordoned,
    /// The taint's place in the node's list.
    Taint(usize),
    NodeAffinity,
    Ports,
    Room,
    Volumes(String),
    /// The node lacks the label to spread by.
    SpreadLabel,
    Spread,
    Affinity,
    AntiAffinity,
    /// A pod that is there does not want this one near.
    OthersAntiAffinity,
}

impl Against {
    pub fn plugin(&self) -> Plugins {
        match self {
            Against::Cordoned => Plugins::CORDON,
            Against::Taint(_) => Plugins::TAINTS,
            Against::NodeAffinity => Plugins::NODE_AFFINITY,
            Against::Ports => Plugins::PORTS,
            Against::Room => Plugins::ROOM,
            Against::Volumes(_) => Plugins::VOLUMES,
            Against::SpreadLabel | Against::Spread => Plugins::SPREAD,
            Against::Affinity | Against::AntiAffinity | Against::OthersAntiAffinity => {
                Plugins::INTER_POD
            }
        }
    }

    /// Whether it may pass when pods leave the node (upstream's `Unschedulable` beside `UnschedulableAndUnresolvable`).
    pub fn may_yield(&self, pod: &PodInfo, node: &NodeInfo) -> bool {
        match self {
            Against::Ports
            | Against::Spread
            | Against::AntiAffinity
            | Against::OthersAntiAffinity => true,
            Against::Room => pod.requests.fit(&node.allocatable, &Default::default()),
            _ => false,
        }
    }

    /// Upstream's words; every resource that lacks is named, not the first only.
    pub fn words(&self, pod: &PodInfo, state: &NodeState) -> Vec<String> {
        let words = match self {
            Against::Cordoned => "node(s) were unschedulable",
            Against::Taint(at) => {
                let taint = state.info.as_ref().and_then(|info| info.taints.get(*at));
                let key = taint.map_or("", |taint| taint.key.as_str());
                let value = taint.and_then(|t| t.value.as_deref()).unwrap_or_default();
                return vec![format!("node(s) had untolerated taint {{{key}: {value}}}")];
            }
            Against::NodeAffinity => "node(s) didn't match Pod's node affinity/selector",
            Against::Ports => "node(s) didn't have free ports for the requested pod ports",
            Against::Room => {
                let Some(info) = &state.info else {
                    return Vec::new();
                };
                let lacking = pod.requests.lacking(&info.allocatable, &state.used);
                let words = |name: &str| match name {
                    super::resources::PODS => "Too many pods".to_owned(),
                    other => format!("Insufficient {other}"),
                };
                return lacking.into_iter().map(words).collect();
            }
            Against::Volumes(why) => why,
            Against::SpreadLabel => {
                "node(s) didn't match pod topology spread constraints (missing required label)"
            }
            Against::Spread => "node(s) didn't match pod topology spread constraints",
            Against::Affinity => "node(s) didn't match pod affinity rules",
            Against::AntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Against::OthersAntiAffinity => {
                "node(s) didn't satisfy existing pods anti-affinity rules"
            }
        };
        vec![words.to_owned()]
    }
}

/// Node selector and required node affinity.
pub fn wants_node(pod: &PodInfo, node: &NodeInfo) -> bool {
    let mut selected = pod.node_selector.iter();
    selected.all(|(key, value)| node.labels.get(key) == Some(value))
        && pod
            .node_affinity
            .as_ref()
            .is_none_or(|s| node_selector::matches(s, &node.name, &node.labels))
}

/// What a pod asks, made ready to be asked of many nodes.
pub struct Ask<'a> {
    cluster: &'a Cluster,
    tracked: &'a Tracked,
    storage: &'a Storage,
    needs: &'a [Need<'a>],
    limits: Vec<Limit<'a>>,
    near: Vec<(&'a Tally, &'a Topology)>,
    /// Nobody it wants near is anywhere, and it is one of those itself.
    is_first: bool,
    apart: Vec<(&'a Tally, &'a Topology)>,
    others_apart: Vec<(&'a Tally, &'a Topology)>,
}

impl<'a> Ask<'a> {
    pub fn new(
        cluster: &'a Cluster,
        tracked: &'a Tracked,
        storage: &'a Storage,
        needs: &'a [Need<'a>],
    ) -> Ask<'a> {
        let (counts, footing) = (&cluster.counts, &tracked.footing);
        let counted = |list: &[usize]| -> Vec<(&'a Tally, &'a Topology)> {
            let counters = list.iter();
            counters.filter_map(|c| counts.counted(*c)).collect()
        };
        let near = counted(&footing.near);
        let is_first = near.iter().all(|(tally, _)| tally.total == 0)
            && footing
                .near
                .first()
                .is_some_and(|counter| counts.counts_itself(footing, *counter));
        let others = counts.held_by(footing);
        Ask {
            cluster,
            tracked,
            storage,
            needs,
            limits: spread::limits(cluster, tracked),
            near,
            is_first,
            apart: counted(&footing.apart),
            others_apart: others
                .filter(|(wish, _, _)| *wish == Wish::Apart)
                .map(|(_, tally, topology)| (tally, topology))
                .collect(),
        }
    }

    /// Asks one node, in upstream's order; the first that objects is the node's answer.
    pub fn check(&self, number: usize) -> Result<(), Against> {
        let Some(state) = self.cluster.node(number) else {
            return Err(Against::NodeAffinity);
        };
        let Some(node) = state.info.as_deref() else {
            return Err(Against::NodeAffinity);
        };
        let pod = &self.tracked.pod;
        if taints::is_cordoned(pod, node) {
            return Err(Against::Cordoned);
        }
        if let Some(at) = taints::untolerated(pod, node) {
            return Err(Against::Taint(at));
        }
        if !wants_node(pod, node) {
            return Err(Against::NodeAffinity);
        }
        let taken = |port| state.ports.iter().any(|p| p.conflicts(port));
        if pod.ports.iter().any(taken) {
            return Err(Against::Ports);
        }
        if !pod.requests.fit(&node.allocatable, &state.used) {
            return Err(Against::Room);
        }
        if !self.needs.is_empty() {
            let steps = self.storage.steps(self.needs, node);
            steps.map(drop).map_err(Against::Volumes)?;
        }
        for limit in &self.limits {
            limit.check(number)?;
        }
        self.inter_pod(number)
    }

    /// <https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity>
    fn inter_pod(&self, node: usize) -> Result<(), Against> {
        let mut all_near = true;
        for (tally, topology) in &self.near {
            let domain = topology.of(node);
            if domain == NOWHERE {
                return Err(Against::Affinity);
            }
            all_near &= tally.within(domain) > 0;
        }
        // The first of a group that wants to be together has nobody to join.
        if !all_near && !self.is_first {
            return Err(Against::Affinity);
        }
        let meets = |list: &[(&Tally, &Topology)]| {
            let mut pairs = list.iter();
            pairs.any(|(tally, topology)| tally.within(topology.of(node)) > 0)
        };
        if meets(&self.apart) {
            return Err(Against::AntiAffinity);
        }
        if meets(&self.others_apart) {
            return Err(Against::OthersAntiAffinity);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "filters_tests.rs"]
mod tests;
