//! One count of pods: per node, and per domain of a topology.

use super::topology::NOWHERE;

/// Pods per node and per domain of one topology.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub topology: usize,
    pub per_node: Vec<u32>,
    pub per_domain: Vec<u32>,
    /// On nodes that are in the topology.
    pub total: u64,
}

impl Tally {
    pub fn on(&self, node: usize) -> u32 {
        self.per_node.get(node).copied().unwrap_or(0)
    }

    pub fn within(&self, domain: usize) -> u32 {
        self.per_domain.get(domain).copied().unwrap_or(0)
    }

    /// More or fewer pods on a node of this domain.
    pub fn change(&mut self, node: usize, domain: usize, by: i64) {
        shift(&mut self.per_node, node, by);
        self.change_domain(domain, by);
    }

    /// A node with so many pods joined or left the domain.
    pub fn change_domain(&mut self, domain: usize, by: i64) {
        if domain != NOWHERE {
            shift(&mut self.per_domain, domain, by);
            self.total = self.total.saturating_add_signed(by);
        }
    }
}

fn shift(list: &mut Vec<u32>, at: usize, by: i64) {
    if list.len() <= at {
        list.resize(at + 1, 0);
    }
    list[at] = u32::try_from((i64::from(list[at]) + by).max(0)).unwrap_or(u32::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_outside_the_topology_are_on_their_node_only() {
        let mut tally = Tally::default();
        tally.change(3, 1, 2);
        tally.change(0, NOWHERE, 1);
        assert_eq!((tally.on(3), tally.on(0), tally.on(9)), (2, 1, 0));
        assert_eq!(
            (tally.within(1), tally.within(NOWHERE), tally.total),
            (2, 0, 2)
        );
        tally.change_domain(1, -2);
        tally.change_domain(0, 2);
        assert_eq!((tally.within(1), tally.within(0), tally.total), (0, 2, 2));
    }
}
