//! What the scheduler knows: nodes, pods, the room taken, and who waits.

use super::decide::{Decision, decide, mix};
use super::resources::Resources;
use super::snapshot::{NodeInfo, PodInfo, PodKey};
use super::volumes::Storage;
use crate::client::informer::Event;
use k8s_openapi::api::core::v1::{Node, Pod};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
struct NodeState {
    /// `None`: pods name a node the API does not have.
    info: Option<NodeInfo>,
    used: Resources,
}

/// As large as the pods and nodes that exist, which the store bounds.
///
/// A decision is assumed here at once: the next pod sees the room taken before the watch tells of the binding.
#[derive(Debug, Default)]
pub struct Cache {
    nodes: BTreeMap<String, NodeState>,
    pods: BTreeMap<PodKey, PodInfo>,
    /// Higher priority first, then by name.
    queue: BTreeSet<(Reverse<i32>, PodKey)>,
    /// Fitted nowhere; back in the queue when a change may help.
    parked: BTreeSet<PodKey>,
    /// Decided, and not yet seen bound.
    assumed: BTreeSet<PodKey>,
    storage: Storage,
}

impl Cache {
    pub fn on_node(&mut self, event: Event<Node>) {
        match event {
            Event::Restarted(nodes) => {
                for state in self.nodes.values_mut() {
                    state.info = None;
                }
                for node in nodes {
                    self.set_node(NodeInfo::read(node));
                }
                self.nodes
                    .retain(|_, s| s.info.is_some() || !s.used.0.is_empty());
            }
            Event::Applied(node) => self.set_node(NodeInfo::read(node)),
            Event::Deleted(node) => {
                let name = node.metadata.name.unwrap_or_default();
                if let Some(state) = self.nodes.get_mut(&name) {
                    state.info = None;
                }
            }
        }
    }

    fn set_node(&mut self, info: NodeInfo) {
        let state = self.nodes.entry(info.name.clone()).or_default();
        // Heartbeats change nothing here and wake nobody.
        if state.info.as_ref() != Some(&info) {
            state.info = Some(info);
            self.unpark();
        }
    }

    pub fn on_pod(&mut self, event: Event<Pod>) {
        match event {
            Event::Restarted(pods) => {
                let listed: Vec<_> = pods.into_iter().map(PodInfo::read).collect();
                let names: BTreeSet<_> = listed.iter().map(PodInfo::key).collect();
                let gone: Vec<_> = self
                    .pods
                    .keys()
                    .filter(|k| !names.contains(k))
                    .cloned()
                    .collect();
                for key in gone {
                    self.remove_pod(&key);
                }
                for pod in listed {
                    self.set_pod(pod);
                }
            }
            Event::Applied(pod) => self.set_pod(PodInfo::read(pod)),
            Event::Deleted(pod) => self.remove_pod(&PodInfo::read(pod).key()),
        }
    }

    pub fn set_pod(&mut self, mut pod: PodInfo) {
        let key = pod.key();
        let before = self.pods.get(&key).cloned();
        let same = before.as_ref().is_some_and(|b| b.uid == pod.uid);
        if self.assumed.contains(&key) {
            if pod.node.is_some() || !same || pod.finished {
                self.assumed.remove(&key);
            } else {
                // The watch has not caught up with our binding.
                pod.node = before.as_ref().and_then(|b| b.node.clone());
            }
        }
        // Only what can change the answer asks again: our own condition must not.
        let unchanged = before.as_ref().is_some_and(|b| {
            PodInfo {
                told: None,
                ..b.clone()
            } == PodInfo {
                told: None,
                ..pod.clone()
            }
        });
        if unchanged {
            self.pods.insert(key, pod);
            return;
        }
        self.take_out(&key);
        if let (Some(node), false) = (&pod.node, pod.finished) {
            self.nodes
                .entry(node.clone())
                .or_default()
                .used
                .add(&pod.requests);
        }
        if pod.is_pending() {
            self.queue.insert((Reverse(pod.priority), key.clone()));
        }
        self.pods.insert(key, pod);
    }

    pub fn remove_pod(&mut self, key: &PodKey) {
        self.take_out(key);
        self.assumed.remove(key);
    }

    /// Forgets the pod and gives its room back; that may help others.
    fn take_out(&mut self, key: &PodKey) {
        self.parked.remove(key);
        let Some(pod) = self.pods.remove(key) else {
            return;
        };
        self.queue.remove(&(Reverse(pod.priority), key.clone()));
        if let (Some(node), false) = (&pod.node, pod.finished) {
            if let Some(state) = self.nodes.get_mut(node) {
                state.used.subtract(&pod.requests);
            }
            self.unpark();
        }
    }

    fn unpark(&mut self) {
        for key in std::mem::take(&mut self.parked) {
            self.requeue(&key);
        }
    }

    fn requeue(&mut self, key: &PodKey) {
        if let Some(pod) = self.pods.get(key).filter(|pod| pod.is_pending()) {
            self.queue.insert((Reverse(pod.priority), key.clone()));
        }
    }

    /// Decides for the next pod in the queue and assumes the answer. `None`: nobody waits.
    pub fn next(&mut self) -> Option<(PodInfo, Decision)> {
        loop {
            let (_, key) = self.queue.pop_first()?;
            let Some(pod) = self.pods.get(&key).filter(|p| p.is_pending()).cloned() else {
                continue;
            };
            let nodes = self
                .nodes
                .values()
                .filter_map(|s| s.info.as_ref().map(|info| (info, &s.used)));
            let in_use = |claim: &str| self.uses(&pod, claim);
            let decision = decide(&pod, nodes, &self.storage, in_use, mix(0, &pod.uid));
            match &decision {
                Decision::Bind(node) => {
                    self.nodes
                        .entry(node.clone())
                        .or_default()
                        .used
                        .add(&pod.requests);
                    if let Some(known) = self.pods.get_mut(&key) {
                        known.node = Some(node.clone());
                    }
                    self.assumed.insert(key);
                }
                // News of the claims brings it back.
                Decision::Claim { .. } | Decision::Wait => {
                    self.parked.insert(key);
                }
                Decision::Unschedulable(message) => {
                    if let Some(known) = self.pods.get_mut(&key) {
                        known.told = Some(message.clone());
                    }
                    self.parked.insert(key);
                }
            }
            return Some((pod, decision));
        }
    }

    /// Whether another pod has a claim of this one's namespace.
    fn uses(&self, pod: &PodInfo, claim: &str) -> bool {
        self.pods.values().any(|other| {
            other.namespace == pod.namespace
                && other.name != pod.name
                && other.node.is_some()
                && !other.finished
                && other.claims.iter().any(|c| c.name == claim)
        })
    }

    /// Takes in news of persistent volumes, which may help those that wait.
    pub fn on_storage(&mut self, take_in: impl FnOnce(&mut Storage)) {
        take_in(&mut self.storage);
        self.unpark();
    }

    /// The binding failed: the room is free again, the pod waits for `retry`.
    pub fn forget(&mut self, key: &PodKey, uid: &str) {
        let ours = self.pods.get(key).is_some_and(|pod| pod.uid == uid);
        if !ours || !self.assumed.remove(key) {
            return;
        }
        if let Some(mut pod) = self.pods.get(key).cloned() {
            self.take_out(key);
            pod.node = None;
            self.pods.insert(key.clone(), pod);
        }
    }

    /// Puts a pod whose binding failed back in the queue.
    pub fn retry(&mut self, key: &PodKey) {
        self.requeue(key);
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
