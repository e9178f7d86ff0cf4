//! Whose room a pod may take that fits nowhere.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/>

use super::cluster::Tracked;
use super::decide::{Decision, Reasons, Scene, available};
use super::filters::Ask;
use super::snapshot::PodKey;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Upstream's `minCandidateNodesPercentage` and `minCandidateNodesAbsolute`: nodes that are enough to choose from.
const CANDIDATES_PERCENT: usize = 10;
const CANDIDATES_MIN: usize = 100;

const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

/// A node, the pods that would have to go, most important first, and how many of them a budget wants to keep.
#[derive(Debug)]
struct Candidate {
    node: usize,
    victims: Vec<Arc<Tracked>>,
    broken: usize,
}

/// The rest of a decision about a pod that fits nowhere, which `message` says.
pub fn decide(
    scene: &mut Scene,
    tracked: &Tracked,
    message: String,
    reasons: &Reasons,
) -> Decision {
    let pod = &tracked.pod;
    let failed = reasons.failed;
    let unschedulable = |why: &str, gives_up: bool| Decision::Unschedulable {
        message: format!("{message} preemption: {why}"),
        failed,
        gives_up_room: gives_up && pod.nominated.is_some(),
    };
    if !pod.may_preempt {
        return unschedulable("not eligible due to preemptionPolicy=Never.", false);
    }
    if is_room_being_made(scene, tracked, reasons) {
        return Decision::Wait(failed);
    }
    let (candidates, mut words) = candidates(scene, tracked, &reasons.yielding);
    let Some(best) = best(scene, candidates) else {
        let count = scene.cluster.ordered().len();
        let unhelpful = count - reasons.yielding.len().min(count);
        if unhelpful > 0 {
            words.insert(NOT_HELPFUL.to_owned(), unhelpful);
        }
        return unschedulable(&available(count, &words), true);
    };
    let node = scene.cluster.node(best.node);
    let name = node.and_then(|state| Some(state.info.as_ref()?.name.clone()));
    let displaced = scene
        .nominated
        .iter()
        .filter(|(other, node)| *node == best.node && other.pod.priority < pod.priority);
    let displaced: Vec<PodKey> = displaced.map(|(other, _)| other.pod.key()).collect();
    Decision::Preempt {
        node: name.unwrap_or_default(),
        victims: best.victims.iter().map(|v| Arc::clone(&v.pod)).collect(),
        message,
        failed,
        displaced,
    }
}

/// Whether pods are leaving the node that was nominated: then no more of them are asked to.
fn is_room_being_made(scene: &Scene, tracked: &Tracked, reasons: &Reasons) -> bool {
    let pod = &tracked.pod;
    let node = pod.nominated.as_deref();
    let Some(number) = node.and_then(|name| scene.cluster.number(name)) else {
        return false;
    };
    // The node cannot help any more, whoever leaves it.
    if !reasons.yielding.contains(&number) {
        return false;
    }
    let leaving = |other: &Arc<Tracked>| other.pod.terminating && other.pod.priority < pod.priority;
    scene
        .cluster
        .node(number)
        .is_some_and(|state| state.pods.iter().any(leaving))
}

fn candidates(
    scene: &mut Scene,
    tracked: &Tracked,
    nodes: &[usize],
) -> (Vec<Candidate>, BTreeMap<String, usize>) {
    let mut found = Vec::new();
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    if nodes.is_empty() {
        return (found, words);
    }
    let enough = (nodes.len() * CANDIDATES_PERCENT / 100).max(CANDIDATES_MIN);
    let begin = usize::try_from(scene.seed % nodes.len() as u64).unwrap_or(0);
    for number in nodes[begin..].iter().chain(&nodes[..begin]) {
        match try_node(scene, tracked, *number) {
            Ok(candidate) => found.push(candidate),
            Err(why) => {
                for words_of_node in why {
                    *words.entry(words_of_node).or_default() += 1;
                }
            }
        }
        if found.len() == enough {
            break;
        }
    }
    (found, words)
}

/// Most important first: higher priority, then longer there.
fn by_importance(tracked: &Arc<Tracked>) -> (Reverse<i32>, i64, PodKey) {
    let pod = &tracked.pod;
    (Reverse(pod.priority), pod.started, pod.key())
}

/// Lifts all pods of lower priority, then puts back as many as can stay: first those that a budget wants to keep.
/// The cluster is as before afterwards.
fn try_node(scene: &mut Scene, tracked: &Tracked, node: usize) -> Result<Candidate, Vec<String>> {
    let state = scene.cluster.node(node);
    let pods = state.map_or(&[][..], |state| state.pods.as_slice());
    let lower = pods
        .iter()
        .filter(|o| o.pod.priority < tracked.pod.priority);
    let mut all: Vec<Arc<Tracked>> = lower.cloned().collect();
    if all.is_empty() {
        return Err(vec![NO_VICTIMS.to_owned()]);
    }
    all.sort_by_cached_key(by_importance);
    for other in &all {
        scene.cluster.lift_from(other, node);
    }
    if let Err(why) = fits(scene, tracked, node) {
        for other in &all {
            scene.cluster.place_on(other, node);
        }
        return Err(why);
    }
    let breaks = scene.budgets.broken_by(&all);
    let mut victims = Vec::new();
    let mut broken = 0;
    for kept_by_budget in [true, false] {
        let group = all.iter().zip(&breaks);
        for (other, _) in group.filter(|(_, breaks)| **breaks == kept_by_budget) {
            scene.cluster.place_on(other, node);
            if fits(scene, tracked, node).is_err() {
                scene.cluster.lift_from(other, node);
                victims.push(Arc::clone(other));
                broken += usize::from(kept_by_budget);
            }
        }
    }
    for other in &victims {
        scene.cluster.place_on(other, node);
    }
    victims.sort_by_cached_key(by_importance);
    Ok(Candidate {
        node,
        victims,
        broken,
    })
}

/// Whether the pod could go there now, also when those come for whom room is being made there.
fn fits(scene: &mut Scene, tracked: &Tracked, node: usize) -> Result<(), Vec<String>> {
    let nominated = scene.nominated;
    let theirs = nominated
        .iter()
        .filter(|(other, at)| *at == node && other.pod.priority >= tracked.pod.priority);
    let theirs: Vec<&Arc<Tracked>> = theirs.map(|(other, _)| other).collect();
    for other in &theirs {
        scene.cluster.place_on(other, node);
    }
    let with = check(scene, tracked, node);
    for other in &theirs {
        scene.cluster.lift_from(other, node);
    }
    with?;
    if theirs.is_empty() {
        return Ok(());
    }
    check(scene, tracked, node)
}

fn check(scene: &Scene, tracked: &Tracked, node: usize) -> Result<(), Vec<String>> {
    let (cluster, pod) = (&*scene.cluster, &tracked.pod);
    let in_use = |claim: &str| cluster.is_claim_used(&pod.namespace, claim);
    let needs = scene.storage.needs(pod, in_use).map_err(|why| vec![why])?;
    let ask = Ask::new(cluster, tracked, scene.storage, &needs);
    ask.check(node).map_err(|against| {
        let state = cluster.node(node);
        state.map_or_else(Vec::new, |state| against.words(pod, state))
    })
}

/// Upstream's `pickOneNodeForPreemption`: fewest broken budgets, then the least important victim in first place, the
/// least priority in all, the fewest victims, the shortest-lived first victim; then the first.
fn best(scene: &Scene, candidates: Vec<Candidate>) -> Option<Candidate> {
    let rank = |candidate: &Candidate| {
        let priority = |v: &Arc<Tracked>| i64::from(v.pod.priority);
        let highest = candidate.victims.first().map(priority);
        // Shifted so that no priority is negative: more victims never look like less.
        let shift = i64::from(i32::MAX) + 1;
        let sum: i64 = candidate.victims.iter().map(|v| priority(v) + shift).sum();
        let first = candidate
            .victims
            .iter()
            .filter(|v| Some(priority(v)) == highest)
            .map(|v| v.pod.started)
            .min();
        (
            candidate.broken,
            highest,
            sum,
            candidate.victims.len(),
            Reverse(first),
        )
    };
    let known = |candidate: &Candidate| {
        let state = scene.cluster.node(candidate.node);
        state.is_some_and(|state| state.info.is_some())
    };
    candidates.into_iter().filter(known).min_by_key(rank)
}

#[cfg(test)]
#[path = "preempt_tests.rs"]
mod tests;
