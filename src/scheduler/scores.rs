//! Which of the nodes that can take a pod should.
//! <https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins>
//!
//! Each function gives 0 to 100 per node; upstream's default weights add them up. One that has nothing to say of
//! a pod costs nothing.

use super::cluster::{Cluster, NodeState, Tracked};
use super::counts::Wish;
use super::snapshot::NodeInfo;
use super::spread;
use super::taints;
use crate::object::node_selector;

/// Best score of one function.
pub const SCORE_MAX: i64 = 100;

/// Upstream's default plugin weights; those not named weigh one.
const WEIGHT_TAINTS: i64 = 3;
const WEIGHT_NODE_AFFINITY: i64 = 2;
const WEIGHT_SPREAD: i64 = 2;
const WEIGHT_INTER_POD: i64 = 2;

/// Upstream's `HardPodAffinityWeight`: what a required affinity of a pod that is there counts in the other direction.
const REQUIRED_COUNTS: i64 = 1;

/// Upstream's bounds of what an image is worth: smaller ones come quickly, larger ones do not decide alone.
const IMAGE_BYTES_MIN: i64 = 23 << 20;
const IMAGE_BYTES_MAX: i64 = 1000 << 20;

/// Scores of `nodes`, in their order; higher is better.
pub fn score(cluster: &Cluster, tracked: &Tracked, nodes: &[usize]) -> Vec<i64> {
    let mut total: Vec<i64> = nodes
        .iter()
        .map(|number| match cluster.node(*number) {
            Some(state) => resources(tracked, state),
            None => 0,
        })
        .collect();
    let mut add = |weight: i64, scores: Option<Vec<i64>>| {
        for (sum, score) in total.iter_mut().zip(scores.into_iter().flatten()) {
            *sum += weight * score;
        }
    };
    add(WEIGHT_TAINTS, soft_taints(cluster, tracked, nodes));
    add(WEIGHT_NODE_AFFINITY, node_wishes(cluster, tracked, nodes));
    add(WEIGHT_SPREAD, spread::scores(cluster, tracked, nodes));
    add(WEIGHT_INTER_POD, inter_pod(cluster, tracked, nodes));
    add(1, images(cluster, tracked, nodes));
    total
}

fn each(
    cluster: &Cluster,
    nodes: &[usize],
    score: impl Fn(usize, &NodeState, &NodeInfo) -> i64,
) -> Vec<i64> {
    let one = |number: &usize| {
        let state = cluster.node(*number)?;
        Some(score(*number, state, state.info.as_deref()?))
    };
    nodes.iter().map(|n| one(n).unwrap_or(0)).collect()
}

/// Emptier nodes, and those left in balance.
fn resources(tracked: &Tracked, state: &NodeState) -> i64 {
    let Some(info) = &state.info else { return 0 };
    let (pod, has) = (&tracked.pod, &info.allocatable);
    let scored = least_allocated(
        (
            whole(state.scored.cpu + pod.scored.cpu),
            whole(state.scored.memory + pod.scored.memory),
        ),
        (whole(has.cpu), whole(has.memory)),
    );
    if pod.requests.is_best_effort() {
        // It takes nothing that could be out of balance.
        return scored;
    }
    let share = |used: i128, has: i128| match whole(has) {
        0 => None,
        has => Some((whole(used) as f64 / has as f64).min(1.0)),
    };
    scored
        + balanced(
            share(state.used.cpu + pod.requests.cpu, has.cpu),
            share(state.used.memory + pod.requests.memory, has.memory),
        )
}

fn whole(amount: i128) -> i64 {
    i64::try_from(amount.max(0)).unwrap_or(i64::MAX)
}

/// Free share after placement, mean of both resources, per cent.
fn least_allocated(after: (i64, i64), has: (i64, i64)) -> i64 {
    let free = |after: i64, has: i64| {
        if after > has || has == 0 {
            return 0;
        }
        ((has - after) as f64 * SCORE_MAX as f64 / has as f64) as i64
    };
    let resources = i64::from(has.0 > 0) + i64::from(has.1 > 0);
    (free(after.0, has.0) + free(after.1, has.1)) / resources.max(1)
}

/// One hundred less the standard deviation of both shares, which for two values is half their distance.
fn balanced(cpu: Option<f64>, memory: Option<f64>) -> i64 {
    let (Some(cpu), Some(memory)) = (cpu, memory) else {
        return SCORE_MAX;
    };
    ((1.0 - (cpu - memory).abs() / 2.0) * SCORE_MAX as f64) as i64
}

/// Shares of the highest, 0 to 100.
fn of_highest(scores: Vec<i64>, reverse: bool) -> Vec<i64> {
    let most = scores.iter().copied().max().unwrap_or(0);
    let normal = |score: i64| {
        let share = if most == 0 {
            0
        } else {
            SCORE_MAX * score / most
        };
        if reverse { SCORE_MAX - share } else { share }
    };
    scores.into_iter().map(normal).collect()
}

fn soft_taints(cluster: &Cluster, tracked: &Tracked, nodes: &[usize]) -> Option<Vec<i64>> {
    let disliked = each(cluster, nodes, |_, _, info| {
        taints::disliked(&tracked.pod, info) as i64
    });
    disliked
        .iter()
        .any(|taints| *taints > 0)
        .then(|| of_highest(disliked, true))
}

fn node_wishes(cluster: &Cluster, tracked: &Tracked, nodes: &[usize]) -> Option<Vec<i64>> {
    let wishes = &tracked.pod.node_wishes;
    if wishes.is_empty() {
        return None;
    }
    let scores = each(cluster, nodes, |_, _, info| {
        let mut sum = 0;
        for (weight, term) in wishes {
            if node_selector::term_matches(term, &info.name, &info.labels) {
                sum += weight;
            }
        }
        sum
    });
    Some(of_highest(scores, false))
}

/// The pod's wishes about others, and theirs about it.
fn inter_pod(cluster: &Cluster, tracked: &Tracked, nodes: &[usize]) -> Option<Vec<i64>> {
    let (counts, footing) = (&cluster.counts, &tracked.footing);
    let mut all = Vec::new();
    for ((weight, _), counter) in tracked.pod.rules.preferred.iter().zip(&footing.preferred) {
        if let Some((tally, topology)) = counts.counted(*counter).filter(|(t, _)| t.total > 0) {
            all.push((*weight, tally, topology));
        }
    }
    for (wish, tally, topology) in counts.held_by(footing) {
        match wish {
            Wish::Apart => {}
            Wish::Near => all.push((REQUIRED_COUNTS, tally, topology)),
            Wish::Prefer(weight) => all.push((weight, tally, topology)),
        }
    }
    if all.is_empty() {
        return None;
    }
    let scores = each(cluster, nodes, |number, _, _| {
        let of = all.iter();
        of.map(|(weight, tally, topology)| weight * i64::from(tally.within(topology.of(number))))
            .sum()
    });
    let most = scores.iter().copied().max().unwrap_or(0);
    let least = scores.iter().copied().min().unwrap_or(0);
    let spread = most - least;
    let normal = |score: i64| match spread {
        0 => 0,
        spread => SCORE_MAX * (score - least) / spread,
    };
    Some(scores.into_iter().map(normal).collect())
}

/// Nodes that have the images; one that many nodes have draws more, so that one node does not draw all pods.
fn images(cluster: &Cluster, tracked: &Tracked, nodes: &[usize]) -> Option<Vec<i64>> {
    let pod = &tracked.pod;
    let known: Vec<(&String, i64)> = pod
        .images
        .iter()
        .filter_map(|name| {
            let image = cluster.image(name)?;
            let share = image.nodes as f64 / cluster.ordered().len().max(1) as f64;
            Some((name, (image.bytes as f64 * share) as i64))
        })
        .collect();
    if known.is_empty() {
        return None;
    }
    let containers = i64::try_from(pod.containers).unwrap_or(1).max(1);
    let most = IMAGE_BYTES_MAX.saturating_mul(containers);
    Some(each(cluster, nodes, |_, _, info| {
        let there = known.iter().filter(|(n, _)| info.images.contains_key(*n));
        let bytes: i64 = there.map(|(_, bytes)| *bytes).sum();
        let bytes = bytes.clamp(IMAGE_BYTES_MIN, most);
        SCORE_MAX * (bytes - IMAGE_BYTES_MIN) / (most - IMAGE_BYTES_MIN)
    }))
}

#[cfg(test)]
#[path = "scores_tests.rs"]
mod tests;
