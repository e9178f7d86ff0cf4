//! Nodes, the pods on them, and the room that is left.
//!
//! A pod is placed and lifted, also to try what would be: every change is undone by its opposite.

use super::counts::{Counts, Footing};
use super::ports::HostPort;
use super::resources::Resources;
use super::snapshot::{NodeInfo, PodInfo, PodKey};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A pod and the counts it uses.
#[derive(Debug)]
pub struct Tracked {
    pub pod: Arc<PodInfo>,
    pub footing: Footing,
}

/// One node.
#[derive(Debug, Default)]
pub struct NodeState {
    /// `None`: pods name a node the API does not have.
    pub info: Option<Arc<NodeInfo>>,
    pub used: Resources,
    /// The same as scores see it.
    pub scored: Resources,
    pub ports: Vec<HostPort>,
    pub pods: Vec<Arc<Tracked>>,
    /// Of its name: settles equal scores.
    pub hash: u64,
}

/// An image some node has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    pub bytes: i64,
    pub nodes: usize,
}

/// As large as the pods and nodes that exist, which the store bounds.
#[derive(Debug, Default)]
pub struct Cluster {
    nodes: Vec<NodeState>,
    numbers: HashMap<String, usize>,
    free: Vec<usize>,
    pub counts: Counts,
    images: HashMap<String, Image>,
    /// Claims that placed pods use, and how many do.
    claims: HashMap<PodKey, usize>,
    /// Nodes that exist, zone by zone in turn.
    order: Vec<usize>,
    is_ordered: bool,
}

impl Cluster {
    pub fn node(&self, number: usize) -> Option<&NodeState> {
        self.nodes.get(number)
    }

    pub fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// Every node that exists.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &NodeState, &NodeInfo)> {
        let all = self.nodes.iter().enumerate();
        all.filter_map(|(number, state)| Some((number, state, state.info.as_deref()?)))
    }

    /// Numbers of the nodes that exist, in the order they are looked at; `order` brought it up to date.
    pub fn ordered(&self) -> &[usize] {
        &self.order
    }

    fn enter(&mut self, name: &str) -> usize {
        if let Some(known) = self.numbers.get(name) {
            return *known;
        }
        let state = NodeState {
            hash: mix(0, name),
            ..NodeState::default()
        };
        let number = if let Some(free) = self.free.pop() {
            self.nodes[free] = state;
            free
        } else {
            self.nodes.push(state);
            self.nodes.len() - 1
        };
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// A node that the API does not have and no pod names is forgotten.
    fn leave(&mut self, number: usize, name: &str) {
        let unused = |state: &NodeState| state.info.is_none() && state.pods.is_empty();
        if self.nodes.get(number).is_some_and(unused) {
            self.numbers.remove(name);
            self.free.push(number);
        }
    }

    /// Takes in a node; gives back what was known of it.
    pub fn set_node(&mut self, info: Arc<NodeInfo>) -> Option<Arc<NodeInfo>> {
        let number = self.enter(&info.name);
        let before = self.nodes[number].info.take();
        self.count_images(before.as_deref(), -1);
        self.count_images(Some(&info), 1);
        let moved = before.as_ref().is_none_or(|b| b.zone() != info.zone());
        self.is_ordered &= !moved;
        self.counts.set_node(number, Some(Arc::clone(&info.labels)));
        self.nodes[number].info = Some(info);
        before
    }

    pub fn remove_node(&mut self, name: &str) -> Option<Arc<NodeInfo>> {
        let number = self.number(name)?;
        let before = self.nodes[number].info.take();
        self.count_images(before.as_deref(), -1);
        self.is_ordered = false;
        self.counts.set_node(number, None);
        self.leave(number, name);
        before
    }

    fn count_images(&mut self, info: Option<&NodeInfo>, by: isize) {
        for (name, bytes) in info.into_iter().flat_map(|info| &info.images) {
            let image = self.images.entry(name.clone()).or_default();
            image.nodes = image.nodes.saturating_add_signed(by);
            image.bytes = *bytes;
            if image.nodes == 0 {
                self.images.remove(name);
            }
        }
    }

    pub fn image(&self, name: &str) -> Option<Image> {
        self.images.get(name).copied()
    }

    /// Counts a pod where it says it is; a finished one takes no room.
    pub fn place(&mut self, tracked: &Arc<Tracked>, name: &str) {
        let number = self.enter(name);
        self.place_on(tracked, number);
    }

    pub fn place_on(&mut self, tracked: &Arc<Tracked>, number: usize) {
        let pod = &tracked.pod;
        let Some(state) = self.nodes.get_mut(number) else {
            return;
        };
        state.used.add(&pod.requests);
        state.scored.add(&pod.scored);
        state.ports.extend(pod.ports.iter().cloned());
        state.pods.push(Arc::clone(tracked));
        self.counts
            .place(&tracked.footing, number, !pod.terminating);
        for claim in &pod.claims {
            let key = (pod.namespace.clone(), claim.name.clone());
            *self.claims.entry(key).or_default() += 1;
        }
    }

    pub fn lift(&mut self, tracked: &Arc<Tracked>, name: &str) {
        if let Some(number) = self.number(name) {
            self.lift_from(tracked, number);
            self.leave(number, name);
        }
    }

    pub fn lift_from(&mut self, tracked: &Arc<Tracked>, number: usize) {
        let pod = &tracked.pod;
        let Some(state) = self.nodes.get_mut(number) else {
            return;
        };
        let Some(at) = state.pods.iter().position(|p| Arc::ptr_eq(p, tracked)) else {
            return;
        };
        state.pods.swap_remove(at);
        state.used.subtract(&pod.requests);
        state.scored.subtract(&pod.scored);
        for port in &pod.ports {
            if let Some(at) = state.ports.iter().position(|p| p == port) {
                state.ports.swap_remove(at);
            }
        }
        self.counts.lift(&tracked.footing, number, !pod.terminating);
        for claim in &pod.claims {
            let key = (pod.namespace.clone(), claim.name.clone());
            if let Some(uses) = self.claims.get_mut(&key) {
                *uses -= 1;
                if *uses == 0 {
                    self.claims.remove(&key);
                }
            }
        }
    }

    /// Whether a placed pod uses a claim of this namespace.
    pub fn is_claim_used(&self, namespace: &str, claim: &str) -> bool {
        self.claims
            .contains_key(&(namespace.to_owned(), claim.to_owned()))
    }

    /// Puts the nodes in the order in which they are looked at: one of each zone in turn, so that a sample of them has
    /// all zones (upstream's `nodeTree`).
    pub fn order(&mut self) {
        if self.is_ordered {
            return;
        }
        let mut zones: BTreeMap<(String, String), Vec<(String, usize)>> = BTreeMap::new();
        for (number, _, info) in self.nodes() {
            let (region, zone) = info.zone();
            let zone = zones.entry((region.to_owned(), zone.to_owned()));
            zone.or_default().push((info.name.clone(), number));
        }
        for zone in zones.values_mut() {
            zone.sort();
        }
        let most = zones.values().map(Vec::len).max().unwrap_or(0);
        let turns = (0..most).flat_map(|turn| zones.values().filter_map(move |z| z.get(turn)));
        self.order = turns.map(|(_, number)| *number).collect();
        self.is_ordered = true;
    }
}

/// FNV-1a over the seed and a text: the same everywhere and always, unlike the standard library's hasher.
pub fn mix(seed: u64, text: &str) -> u64 {
    let bytes = seed.to_le_bytes().into_iter().chain(text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
