//! From a pod and the nodes to a decision: no clock, no chance, no I/O.

use super::budgets::Budgets;
use super::cluster::{Cluster, Tracked};
use super::filters::{Against, Ask};
use super::plugins::Plugins;
use super::preempt;
use super::scores::score;
use super::snapshot::{PodInfo, PodKey};
use super::volumes::{Need, Step, Storage, is_chosen};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Upstream's `minFeasibleNodesToFind` and the bounds of its adaptive `percentageOfNodesToScore`: in a small cluster
/// every node is looked at, in a large one enough of them to choose well.
const FEASIBLE_MIN: usize = 100;
const PERCENT_MOST: usize = 50;
const PERCENT_LEAST: usize = 5;
const NODES_PER_PERCENT: usize = 125;

/// Where a pod goes, or why nowhere yet.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    Bind(String),
    /// Its claims are to be bound there first.
    Claim {
        node: String,
        steps: Vec<Step>,
    },
    /// What it waits for is under way: its claims are being bound, or pods make room.
    Wait(Plugins),
    Unschedulable {
        /// Upstream's, for condition and event.
        message: String,
        failed: Plugins,
        /// The room that was being made for it does not help it any more.
        gives_up_room: bool,
    },
    /// These pods are to make room on the node.
    Preempt {
        node: String,
        victims: Vec<Arc<PodInfo>>,
        message: String,
        failed: Plugins,
        /// Pods of lower priority for which room was being made there.
        displaced: Vec<PodKey>,
    },
}

/// All that a decision depends on.
pub struct Scene<'a> {
    pub cluster: &'a mut Cluster,
    pub storage: &'a Storage,
    pub budgets: &'a Budgets,
    /// Other pods for which room is being made, and on which node.
    pub nominated: &'a [(Arc<Tracked>, usize)],
    /// Where the last search for nodes ended.
    pub start: &'a mut usize,
    pub seed: u64,
}

/// Why nodes cannot take a pod, counted.
#[derive(Debug, Default)]
pub struct Reasons {
    pub words: BTreeMap<String, usize>,
    pub failed: Plugins,
    /// Nodes that could if pods left them.
    pub yielding: Vec<usize>,
}

impl Reasons {
    /// Words say what is lacking, so this is asked in the state in which the node objected.
    fn note(&mut self, cluster: &Cluster, pod: &PodInfo, number: usize, against: &Against) {
        self.failed.add(against.plugin());
        let Some(state) = cluster.node(number) else {
            return;
        };
        for words in against.words(pod, state) {
            *self.words.entry(words).or_default() += 1;
        }
        let info = state.info.as_deref();
        if info.is_some_and(|info| against.may_yield(pod, info)) {
            self.yielding.push(number);
        }
    }
}

/// Chooses the best of the nodes that pass every filter. Equal scores are settled by the seed, so that pods spread
/// and a simulation can repeat itself.
pub fn decide(scene: &mut Scene, tracked: &Tracked) -> Decision {
    scene.cluster.order();
    let pod = &tracked.pod;
    let count = scene.cluster.ordered().len();
    if count == 0 {
        return Decision::Unschedulable {
            message: "no nodes available to schedule pods".to_owned(),
            failed: Plugins::ALL,
            gives_up_room: pod.nominated.is_some(),
        };
    }
    let storage = scene.storage;
    let cluster = &*scene.cluster;
    let in_use = |claim: &str| cluster.is_claim_used(&pod.namespace, claim);
    let needs = match storage.needs(pod, in_use) {
        Ok(needs) => needs,
        // No node can change that, so none is counted.
        Err(why) => {
            let reasons = Reasons {
                failed: Plugins::VOLUMES,
                ..Reasons::default()
            };
            let message = format!("0/{count} nodes are available: {why}.");
            return preempt::decide(scene, tracked, message, &reasons);
        }
    };
    let (nodes, reasons) = feasible(scene, tracked, &needs);
    if nodes.is_empty() {
        let message = available(count, &reasons.words);
        return preempt::decide(scene, tracked, message, &reasons);
    }
    choose(scene, tracked, &needs, nodes)
}

/// Nodes that can take the pod: as many as are needed to choose well.
fn feasible(scene: &mut Scene, tracked: &Tracked, needs: &[Need]) -> (Vec<usize>, Reasons) {
    let order = scene.cluster.ordered();
    let (count, wanted) = (order.len(), sample(order.len()));
    let begin = *scene.start % count;
    let rotated: Vec<usize> = order[begin..]
        .iter()
        .chain(&order[..begin])
        .copied()
        .collect();
    let ours = tracked.pod.nominated.as_deref();
    let ours = ours.and_then(|name| scene.cluster.number(name));

    for (other, node) in scene.nominated {
        scene.cluster.place_on(other, *node);
    }
    let (mut nodes, mut reasons, mut seen) = (Vec::new(), Reasons::default(), 0);
    {
        let cluster = &*scene.cluster;
        let ask = Ask::new(cluster, tracked, scene.storage, needs);
        // Room that was made for it is taken without looking further.
        if let Some(node) = ours
            && ask.check(node).is_ok()
        {
            nodes.push(node);
        } else {
            let mut against = Vec::new();
            for number in rotated {
                seen += 1;
                match ask.check(number) {
                    Ok(()) => nodes.push(number),
                    Err(why) => against.push((number, why)),
                }
                if nodes.len() == wanted {
                    break;
                }
            }
            if nodes.is_empty() {
                for (number, why) in &against {
                    reasons.note(cluster, &tracked.pod, *number, why);
                }
            }
        }
    }
    for (other, node) in scene.nominated {
        scene.cluster.lift_from(other, *node);
    }
    *scene.start = (begin + seen) % count;
    // Those for whom room is made are not there yet: what only they would allow is not allowed.
    if !scene.nominated.is_empty() && !nodes.is_empty() {
        let cluster = &*scene.cluster;
        let ask = Ask::new(cluster, tracked, scene.storage, needs);
        let mut against = Vec::new();
        nodes.retain(|number| match ask.check(*number) {
            Ok(()) => true,
            Err(why) => {
                against.push((*number, why));
                false
            }
        });
        if nodes.is_empty() {
            for (number, why) in &against {
                reasons.note(cluster, &tracked.pod, *number, why);
            }
        }
    }
    (nodes, reasons)
}

/// How many nodes that can take a pod are enough.
fn sample(nodes: usize) -> usize {
    let percent = PERCENT_MOST.saturating_sub(nodes / NODES_PER_PERCENT);
    let wanted = nodes * percent.max(PERCENT_LEAST) / 100;
    wanted.max(FEASIBLE_MIN)
}

fn choose(scene: &Scene, tracked: &Tracked, needs: &[Need], mut nodes: Vec<usize>) -> Decision {
    let (cluster, storage) = (&*scene.cluster, scene.storage);
    let info = |number: usize| cluster.node(number).and_then(|state| state.info.as_deref());
    // A node that was named for one of the claims is kept as long as it can be.
    let chosen = |number: &usize| info(*number).is_some_and(|info| is_chosen(needs, info));
    if !needs.is_empty() && nodes.iter().any(chosen) {
        nodes.retain(chosen);
    }
    let best = if nodes.len() == 1 {
        nodes.first().copied()
    } else {
        let scores = score(cluster, tracked, &nodes);
        let chance = |number: usize| {
            let hash = cluster.node(number).map_or(0, |state| state.hash);
            (scene.seed ^ hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        let ranked = nodes.iter().zip(scores);
        ranked
            .max_by_key(|(number, score)| (*score, chance(**number)))
            .map(|(number, _)| *number)
    };
    let Some(node) = best.and_then(info) else {
        return Decision::Wait(Plugins::ALL);
    };
    match storage.steps(needs, node) {
        Ok(steps) if steps.is_empty() => Decision::Bind(node.name.clone()),
        Ok(steps) if storage.is_under_way(needs, &steps, node) => Decision::Wait(Plugins::VOLUMES),
        Ok(steps) => Decision::Claim {
            node: node.name.clone(),
            steps,
        },
        Err(_) => Decision::Wait(Plugins::VOLUMES),
    }
}

/// Upstream's `FitError`: `0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods.`
pub fn available(nodes: usize, words: &BTreeMap<String, usize>) -> String {
    let mut reasons: Vec<_> = words
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    reasons.sort();
    format!("0/{nodes} nodes are available: {}.", reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_clusters_are_looked_at_whole_and_large_ones_in_part() {
        for (nodes, want) in [
            (1, 100),
            (100, 100),
            (200, 100),
            (1000, 420),
            (5000, 500),
            (10_000, 500),
        ] {
            assert_eq!(sample(nodes), want, "{nodes}");
        }
    }
}
