//! Values of one node label as small numbers, so that counts per topology are plain arrays.

use std::collections::HashMap;

/// The domain of a node that lacks the label.
pub const NOWHERE: usize = usize::MAX;

/// As large as the nodes there are.
#[derive(Debug, Default, Clone)]
pub struct Topology {
    pub key: String,
    /// Counts that are kept by it.
    pub uses: usize,
    /// Of each node, by its number.
    of_node: Vec<usize>,
    numbers: HashMap<String, usize>,
    /// Of each domain: its value, and nodes in it. Without nodes, its number is free.
    domains: Vec<(String, usize)>,
    free: Vec<usize>,
    /// Nodes that have the label.
    pub nodes: usize,
}

impl Topology {
    /// Without nodes yet, for its first use.
    pub fn new(key: &str) -> Topology {
        Topology {
            key: key.to_owned(),
            uses: 1,
            ..Topology::default()
        }
    }

    pub fn of(&self, node: usize) -> usize {
        self.of_node.get(node).copied().unwrap_or(NOWHERE)
    }

    /// Numbers are below this.
    pub fn bound(&self) -> usize {
        self.domains.len()
    }

    /// Whether the domain has nodes.
    pub fn is_there(&self, domain: usize) -> bool {
        self.domains
            .get(domain)
            .is_some_and(|(_, nodes)| *nodes > 0)
    }

    /// Notes the node's value; gives back its domain before and now.
    pub fn set(&mut self, node: usize, value: Option<&str>) -> (usize, usize) {
        let before = self.of(node);
        let held = self.domains.get(before).map(|(held, _)| held.as_str());
        if held == value {
            return (before, before);
        }
        if let Some((value, nodes)) = self.domains.get_mut(before) {
            *nodes -= 1;
            self.nodes -= 1;
            if *nodes == 0 {
                self.numbers.remove(value);
                self.free.push(before);
            }
        }
        let now = value.map_or(NOWHERE, |value| self.enter(value));
        if self.of_node.len() <= node {
            self.of_node.resize(node + 1, NOWHERE);
        }
        self.of_node[node] = now;
        (before, now)
    }

    fn enter(&mut self, value: &str) -> usize {
        self.nodes += 1;
        if let Some(known) = self.numbers.get(value) {
            self.domains[*known].1 += 1;
            return *known;
        }
        let number = if let Some(free) = self.free.pop() {
            self.domains[free] = (value.to_owned(), 1);
            free
        } else {
            self.domains.push((value.to_owned(), 1));
            self.domains.len() - 1
        };
        self.numbers.insert(value.to_owned(), number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_come_and_go_with_their_nodes() {
        let mut zones = Topology::default();
        assert_eq!(zones.set(0, Some("a")), (NOWHERE, 0));
        assert_eq!(zones.set(1, Some("a")), (NOWHERE, 0));
        assert_eq!(zones.set(2, Some("b")), (NOWHERE, 1));
        assert_eq!(zones.nodes, 3);
        assert_eq!(zones.set(2, Some("b")), (1, 1));
        assert_eq!(zones.set(2, None), (1, NOWHERE));
        assert!(!zones.is_there(1));
        assert_eq!(zones.set(0, Some("c")), (0, 1));
        assert_eq!((zones.nodes, zones.bound()), (2, 2));
        assert_eq!((zones.of(0), zones.of(1), zones.of(9)), (1, 0, NOWHERE));
    }
}
