//! Topology spread: how unevenly pods may lie, and how evenly they should.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/>

use super::cluster::{Cluster, Tracked};
use super::filters::{Against, wants_node};
use super::scores::SCORE_MAX;
use super::snapshot::{NodeInfo, PodInfo};
use super::taints;
use super::tally::Tally;
use super::terms::{HOSTNAME, Spread};
use super::topology::{NOWHERE, Topology};
use std::collections::BTreeSet;

/// The least of no domains: upstream's `MaxInt32`, so that nothing is forbidden.
const NO_DOMAIN: i64 = i32::MAX as i64;

/// Whether the constraint leaves out nodes that have its label.
fn is_choosy(spread: &Spread, pod: &PodInfo) -> bool {
    let has_wish = pod.node_affinity.is_some() || !pod.node_selector.is_empty();
    spread.honors_affinity && has_wish || spread.honors_taints
}

fn includes(spread: &Spread, pod: &PodInfo, node: &NodeInfo) -> bool {
    (!spread.honors_affinity || wants_node(pod, node))
        && (!spread.honors_taints || taints::untolerated(pod, node).is_none())
}

/// A constraint with what is counted for it.
type Counted<'a> = (&'a Spread, usize, &'a Tally, &'a Topology);

fn counted<'a>(cluster: &'a Cluster, tracked: &'a Tracked, is_hard: bool) -> Vec<Counted<'a>> {
    let constraints = tracked.pod.rules.spread.iter();
    constraints
        .zip(&tracked.footing.spread)
        .filter(|(spread, _)| spread.is_hard == is_hard)
        .filter_map(|(spread, counter)| {
            let (tally, topology) = cluster.counts.counted(*counter)?;
            Some((spread, *counter, tally, topology))
        })
        .collect()
}

/// Pods per domain as one pod sees them.
#[derive(Debug)]
enum Domains<'a> {
    /// As they are counted.
    All(&'a Tally),
    /// On the nodes that count for it; `None`: no such node is in the domain.
    Some(Vec<Option<i64>>),
}

impl Domains<'_> {
    fn within(&self, domain: usize) -> i64 {
        match self {
            Domains::All(tally) => i64::from(tally.within(domain)),
            Domains::Some(list) => list.get(domain).copied().flatten().unwrap_or(0),
        }
    }
}

/// Counts for each constraint on the nodes that count: those that have all the keys (where that is asked), and that the
/// constraint's policies include.
fn domains<'a>(
    cluster: &'a Cluster,
    pod: &PodInfo,
    constraints: &[Counted<'a>],
    all_keys: bool,
) -> Vec<Domains<'a>> {
    let nodes = cluster.ordered().len();
    let partial =
        all_keys && constraints.len() > 1 && constraints.iter().any(|(_, _, _, t)| t.nodes < nodes);
    let choosy = constraints
        .iter()
        .any(|(spread, ..)| is_choosy(spread, pod));
    if !partial && !choosy {
        let all = constraints.iter();
        return all.map(|(_, _, tally, _)| Domains::All(tally)).collect();
    }
    let mut lists: Vec<Vec<Option<i64>>> = constraints
        .iter()
        .map(|(_, _, _, topology)| vec![None; topology.bound()])
        .collect();
    for (number, _, info) in cluster.nodes() {
        let mut keys = constraints.iter();
        if all_keys && keys.any(|(_, _, _, topology)| topology.of(number) == NOWHERE) {
            continue;
        }
        for ((spread, _, tally, topology), list) in constraints.iter().zip(&mut lists) {
            if let Some(count) = list.get_mut(topology.of(number))
                && includes(spread, pod, info)
            {
                *count = Some(count.unwrap_or(0) + i64::from(tally.on(number)));
            }
        }
    }
    lists.into_iter().map(Domains::Some).collect()
}

/// A constraint that must hold.
#[derive(Debug)]
pub struct Limit<'a> {
    topology: &'a Topology,
    domains: Domains<'a>,
    /// Pods in the domain that has fewest.
    least: i64,
    /// One where the pod counts itself.
    own: i64,
    max_skew: i64,
}

impl Limit<'_> {
    pub fn check(&self, node: usize) -> Result<(), Against> {
        let domain = self.topology.of(node);
        if domain == NOWHERE {
            return Err(Against::SpreadLabel);
        }
        let skew = self.domains.within(domain) + self.own - self.least;
        if skew > self.max_skew {
            return Err(Against::Spread);
        }
        Ok(())
    }
}

/// The constraints a node must keep for this pod.
pub fn limits<'a>(cluster: &'a Cluster, tracked: &'a Tracked) -> Vec<Limit<'a>> {
    let constraints = counted(cluster, tracked, true);
    if constraints.is_empty() {
        return Vec::new();
    }
    let all = domains(cluster, &tracked.pod, &constraints, true);
    let pairs = constraints.into_iter().zip(all);
    pairs
        .map(|((spread, counter, _, topology), domains)| {
            let there: Vec<i64> = match &domains {
                Domains::All(tally) => (0..topology.bound())
                    .filter(|domain| topology.is_there(*domain))
                    .map(|domain| i64::from(tally.within(domain)))
                    .collect(),
                Domains::Some(list) => list.iter().flatten().copied().collect(),
            };
            let few = i64::try_from(there.len()).unwrap_or(i64::MAX) < spread.min_domains;
            let least = there.into_iter().min().unwrap_or(NO_DOMAIN);
            let own = cluster.counts.counts_itself(&tracked.footing, counter);
            Limit {
                topology,
                domains,
                least: if few { 0 } else { least },
                own: i64::from(own),
                max_skew: spread.max_skew,
            }
        })
        .collect()
}

/// How evenly each of `nodes` would leave the pods, 0 to 100; `None`: no constraint wishes for anything.
pub fn scores(cluster: &Cluster, tracked: &Tracked, nodes: &[usize]) -> Option<Vec<i64>> {
    let constraints = counted(cluster, tracked, false);
    if constraints.is_empty() {
        return None;
    }
    let all_keys = !tracked.pod.rules.is_spread_by_default;
    let is_ignored = |node: usize| {
        let mut keys = constraints.iter();
        all_keys && keys.any(|(_, _, _, topology)| topology.of(node) == NOWHERE)
    };
    let eligible: Vec<usize> = nodes.iter().copied().filter(|n| !is_ignored(*n)).collect();
    let counts = domains(cluster, &tracked.pod, &constraints, all_keys);
    // Among many domains a pod more or less weighs less (upstream's `topologyNormalizingWeight`).
    let weights: Vec<f64> = constraints
        .iter()
        .map(|(spread, _, _, topology)| {
            let size = if spread.term.topology_key == HOSTNAME {
                eligible.len()
            } else {
                let domains = eligible.iter().map(|node| topology.of(*node));
                domains
                    .filter(|domain| *domain != NOWHERE)
                    .collect::<BTreeSet<_>>()
                    .len()
            };
            (size as f64 + 2.0).ln()
        })
        .collect();
    let raw = |node: usize| -> i64 {
        let mut sum = 0.0;
        for (((spread, _, tally, topology), domains), weight) in
            constraints.iter().zip(&counts).zip(&weights)
        {
            let domain = topology.of(node);
            if domain == NOWHERE {
                continue;
            }
            let pods = if spread.term.topology_key == HOSTNAME {
                i64::from(tally.on(node))
            } else {
                domains.within(domain)
            };
            sum += pods as f64 * weight + (spread.max_skew - 1) as f64;
        }
        sum.round() as i64
    };
    let found: Vec<Option<i64>> = nodes
        .iter()
        .map(|node| (!is_ignored(*node)).then(|| raw(*node)))
        .collect();
    let most = found.iter().flatten().copied().max().unwrap_or(0);
    let least = found.iter().flatten().copied().min().unwrap_or(0);
    let normal = |score: Option<i64>| match score {
        None => 0,
        Some(_) if most == 0 => SCORE_MAX,
        Some(score) => SCORE_MAX * (most + least - score) / most,
    };
    Some(found.into_iter().map(normal).collect())
}

#[cfg(test)]
#[path = "spread_tests.rs"]
mod tests;
