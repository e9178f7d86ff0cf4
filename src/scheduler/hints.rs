//! Which news can help a pod that waits: upstream's queueing hints.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/#queueinghint>

use super::cluster::Cluster;
use super::counts::Counts;
use super::filters::wants_node;
use super::plugins::Plugins;
use super::snapshot::{NodeInfo, PodInfo};
use super::taints;

/// What changed.
#[derive(Debug)]
pub enum News<'a> {
    /// A node came or changed; `before` is what was known of it.
    Node {
        before: Option<&'a NodeInfo>,
        now: &'a NodeInfo,
    },
    NodeGone,
    /// A pod came to a node.
    Placed(&'a PodInfo),
    /// A pod left its node, or ended.
    Left(&'a PodInfo),
    /// A placed pod changed.
    Changed {
        before: &'a PodInfo,
        now: &'a PodInfo,
    },
    /// A namespace's labels changed.
    Namespace,
    /// Claims, volumes or classes changed.
    Storage,
}

/// Whether the pod, which those filters kept from every node, may fit now.
pub fn helps(pod: &PodInfo, failed: Plugins, news: &News, cluster: &Cluster) -> bool {
    let counts = &cluster.counts;
    match news {
        News::Node { before, now } => node_helps(pod, failed, *before, now),
        News::NodeGone => failed.meets(Plugins::SPREAD),
        News::Placed(other) => comes(pod, failed, other, counts),
        News::Left(other) => {
            room_helps(pod, failed, other, cluster) || goes(pod, failed, other, counts)
        }
        News::Changed { before, now } => {
            let shrank = before.requests != now.requests && room_helps(pod, failed, now, cluster);
            let looks_new = before.labels != now.labels || before.terminating != now.terminating;
            shrank
                || looks_new
                    && (goes(pod, failed, before, counts) || comes(pod, failed, now, counts))
        }
        News::Namespace => failed.meets(Plugins::INTER_POD),
        News::Storage => failed.meets(Plugins::VOLUMES),
    }
}

/// A node only helps a pod that it could take if it were empty, but for what other nodes are measured against.
fn node_helps(pod: &PodInfo, failed: Plugins, before: Option<&NodeInfo>, now: &NodeInfo) -> bool {
    let labels = before.is_none_or(|before| before.labels != now.labels);
    let taints = before.is_none_or(|before| before.taints != now.taints);
    let cordon = before.is_none_or(|before| before.unschedulable != now.unschedulable);
    let room = before.is_none_or(|before| before.allocatable != now.allocatable);
    if failed.meets(Plugins::SPREAD) && (labels || taints) {
        return true;
    }
    let improved = failed.meets(Plugins::CORDON) && cordon
        || failed.meets(Plugins::TAINTS) && taints
        || failed.meets(Plugins::ROOM) && room
        || failed.meets(Plugins::PORTS) && before.is_none()
        || (failed.meets(Plugins::NODE_AFFINITY)
            || failed.meets(Plugins::INTER_POD)
            || failed.meets(Plugins::VOLUMES))
            && labels;
    // A pod knows only the first filter it failed at: an uncordoned node is first schedulable, and then loses its taint.
    let opened = || before.is_some_and(|before| !could_take(before, pod));
    could_take(now, pod) && (improved || opened())
}

/// If the node were empty.
fn could_take(node: &NodeInfo, pod: &PodInfo) -> bool {
    !taints::is_cordoned(pod, node)
        && taints::untolerated(pod, node).is_none()
        && wants_node(pod, node)
        && pod.requests.fit(&node.allocatable, &Default::default())
}

/// Whether the node that `other` left has room now.
fn room_helps(pod: &PodInfo, failed: Plugins, other: &PodInfo, cluster: &Cluster) -> bool {
    let ports = || {
        pod.ports
            .iter()
            .any(|p| other.ports.iter().any(|o| o.conflicts(p)))
    };
    if failed.meets(Plugins::PORTS) && ports() {
        return true;
    }
    let number = other.node.as_deref().and_then(|name| cluster.number(name));
    let state = number.and_then(|number| cluster.node(number));
    let Some((state, info)) = state.and_then(|state| Some((state, state.info.as_deref()?))) else {
        return false;
    };
    // Pods of lower priority could be displaced as well: then less than all the room may do.
    let could_displace =
        || pod.may_preempt && state.pods.iter().any(|o| o.pod.priority < pod.priority);
    failed.meets(Plugins::ROOM)
        && (pod.requests.fit(&info.allocatable, &state.used) || could_displace())
}

/// Whether it helps that `other` is on a node.
fn comes(pod: &PodInfo, failed: Plugins, other: &PodInfo, counts: &Counts) -> bool {
    failed.meets(Plugins::INTER_POD)
        && pod
            .rules
            .near
            .iter()
            .any(|term| counts.means(&term.matcher, other))
        || failed.meets(Plugins::SPREAD) && is_spread_with(pod, other, counts)
}

/// Whether it helps that `other` is not there any more.
fn goes(pod: &PodInfo, failed: Plugins, other: &PodInfo, counts: &Counts) -> bool {
    let keeps_apart = || {
        let ours = pod.rules.apart.iter();
        let theirs = other.rules.apart.iter();
        // The last of a group leaves: the first of it may come again.
        let near = pod.rules.near.iter();
        ours.chain(near)
            .any(|term| counts.means(&term.matcher, other))
            || theirs
                .into_iter()
                .any(|term| counts.means(&term.matcher, pod))
    };
    let shares_claim = || {
        other.namespace == pod.namespace
            && pod.claims.iter().any(|claim| other.claims.contains(claim))
    };
    failed.meets(Plugins::INTER_POD) && keeps_apart()
        || failed.meets(Plugins::SPREAD) && is_spread_with(pod, other, counts)
        || failed.meets(Plugins::VOLUMES) && shares_claim()
}

fn is_spread_with(pod: &PodInfo, other: &PodInfo, counts: &Counts) -> bool {
    let hard = pod.rules.spread.iter().filter(|spread| spread.is_hard);
    hard.into_iter()
        .any(|spread| counts.means(&spread.term.matcher, other))
}

#[cfg(test)]
#[path = "hints_tests.rs"]
mod tests;
