//! The scheduler without its shell, for benchmarks: objects in, decisions out.

use super::cache::Cache;
use super::decide::Decision;
use crate::client::informer::Event;
use k8s_openapi::api::core::v1::{Node, Pod};

/// A scheduler that writes nothing.
#[derive(Debug, Default)]
pub struct Bench {
    cache: Cache,
}

impl Bench {
    /// A scheduler that knows these nodes.
    pub fn new(nodes: Vec<Node>) -> Bench {
        let mut bench = Bench::default();
        bench.cache.on_node(Event::Restarted(nodes));
        bench
    }

    /// Takes in a pod as the watch tells of it.
    pub fn add(&mut self, pod: Pod) {
        self.cache.on_pod(Event::Applied(pod));
    }

    /// Decides for all that wait; how many found a node.
    pub fn decide_all(&mut self) -> usize {
        let decisions = std::iter::from_fn(|| self.cache.next());
        decisions
            .filter(|(_, decision)| matches!(decision, Decision::Bind(_)))
            .count()
    }
}
