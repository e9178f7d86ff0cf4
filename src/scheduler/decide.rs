//! From a pod and the nodes to a decision: no clock, no chance, no I/O.

use super::filters::reasons_against;
use super::resources::Resources;
use super::scores::score;
use super::snapshot::{NodeInfo, PodInfo};
use std::collections::BTreeMap;

/// Where a pod goes, or why nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Bind(String),
    /// Upstream's message, for condition and event.
    Unschedulable(String),
}

/// Chooses the best of the nodes that pass every filter. Equal scores are settled by `seed`, so that pods spread
/// and a simulation can repeat itself.
pub fn decide<'a>(
    pod: &PodInfo,
    nodes: impl Iterator<Item = (&'a NodeInfo, &'a Resources)>,
    seed: u64,
) -> Decision {
    let mut best: Option<((i128, u64), &NodeInfo)> = None;
    let mut against: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = 0_usize;
    for (node, used) in nodes {
        count += 1;
        let reasons = reasons_against(pod, node, used);
        if reasons.is_empty() {
            let rank = (score(pod, node, used), mix(seed, &node.name));
            if best.as_ref().is_none_or(|(best, _)| rank > *best) {
                best = Some((rank, node));
            }
        }
        for reason in reasons {
            *against.entry(reason).or_default() += 1;
        }
    }
    match best {
        Some((_, node)) => Decision::Bind(node.name.clone()),
        None => Decision::Unschedulable(message(count, &against)),
    }
}

/// Upstream's `FitError`: `0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods.`
fn message(nodes: usize, against: &BTreeMap<String, usize>) -> String {
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut reasons: Vec<_> = against
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    reasons.sort();
    format!("0/{nodes} nodes are available: {}.", reasons.join(", "))
}

/// FNV-1a over the seed and a text: the same everywhere and always, unlike the standard library's hasher.
pub fn mix(seed: u64, text: &str) -> u64 {
    let bytes = seed.to_le_bytes().into_iter().chain(text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
