//! From a pod and the nodes to a decision: no clock, no chance, no I/O.

use super::filters::reasons_against;
use super::resources::Resources;
use super::scores::score;
use super::snapshot::{NodeInfo, PodInfo};
use super::volumes::{Step, Storage, is_chosen};
use std::collections::BTreeMap;

/// Where a pod goes, or why nowhere yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Bind(String),
    /// Its claims are to be bound there first.
    Claim {
        node: String,
        steps: Vec<Step>,
    },
    /// They are being bound.
    Wait,
    /// Upstream's message, for condition and event.
    Unschedulable(String),
}

/// Whether its claims chose the node already, its score, and chance.
type Rank = (bool, i128, u64);

/// Chooses the best of the nodes that pass every filter. Equal scores are settled by `seed`, so that pods spread
/// and a simulation can repeat itself.
pub fn decide<'a>(
    pod: &PodInfo,
    nodes: impl Iterator<Item = (&'a NodeInfo, &'a Resources)>,
    storage: &Storage,
    claim_in_use: impl Fn(&str) -> bool,
    seed: u64,
) -> Decision {
    let needs = match storage.needs(pod, claim_in_use) {
        Ok(needs) => needs,
        // No node can change that, so none is counted.
        Err(why) => {
            let count = nodes.count();
            return Decision::Unschedulable(format!("0/{count} nodes are available: {why}."));
        }
    };
    let mut best: Option<(Rank, &NodeInfo, Vec<Step>)> = None;
    let mut against: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = 0_usize;
    for (node, used) in nodes {
        count += 1;
        let mut reasons = reasons_against(pod, node, used);
        if reasons.is_empty() {
            match storage.steps(&needs, node) {
                Err(why) => reasons.push(why),
                Ok(steps) => {
                    let kept = is_chosen(&needs, node);
                    let rank = (kept, score(pod, node, used), mix(seed, &node.name));
                    if best.as_ref().is_none_or(|(best, _, _)| rank > *best) {
                        best = Some((rank, node, steps));
                    }
                }
            }
        }
        for reason in reasons {
            *against.entry(reason).or_default() += 1;
        }
    }
    match best {
        Some((_, node, steps)) if steps.is_empty() => Decision::Bind(node.name.clone()),
        Some((_, node, steps)) if storage.is_under_way(&needs, &steps, node) => Decision::Wait,
        Some((_, node, steps)) => Decision::Claim {
            node: node.name.clone(),
            steps,
        },
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
