//! Which pods go first when there are too many.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset>

use crate::controllers::world::{ContainerStatusView, PodView};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::sync::Arc;

/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#pod-deletion-cost>
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The `count` pods that matter least; `related` pods decide which nodes are crowded.
pub fn first_to_go(
    mut pods: Vec<Arc<PodView>>,
    related: &[Arc<PodView>],
    count: usize,
    now: Timestamp,
) -> Vec<Arc<PodView>> {
    let mut crowd: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in related {
        if let Some(node) = node(pod) {
            *crowd.entry(node).or_default() += 1;
        }
    }
    pods.sort_by(|a, b| order(a, b, &crowd, now));
    pods.truncate(count);
    pods
}

fn order(a: &PodView, b: &PodView, crowd: &BTreeMap<&str, usize>, now: Timestamp) -> Ordering {
    let firsts = |pod: &PodView| {
        let neighbours = node(pod).and_then(|n| crowd.get(n)).copied().unwrap_or(0);
        (
            node(pod).is_some(),
            phase(pod),
            pod.is_ready(),
            cost(pod),
            Reverse(neighbours),
        )
    };
    firsts(a)
        .cmp(&firsts(b))
        .then_with(|| match (a.is_ready(), b.is_ready()) {
            (true, true) => younger(ready_since(a), ready_since(b), now, a, b),
            _ => Ordering::Equal,
        })
        .then_with(|| Reverse(restarts(a)).cmp(&Reverse(restarts(b))))
        .then_with(|| younger(created(a), created(b), now, a, b))
        .then_with(|| uid(a).cmp(uid(b)))
}

fn node(pod: &PodView) -> Option<&str> {
    pod.spec.node_name.as_deref().filter(|n| !n.is_empty())
}

fn phase(pod: &PodView) -> u8 {
    match pod.phase() {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    }
}

/// What cannot be read counts as nothing.
fn cost(pod: &PodView) -> i32 {
    let annotations = pod.metadata.annotations.as_ref();
    annotations
        .and_then(|a| a.get(COST))
        .and_then(|cost| cost.parse().ok())
        .unwrap_or(0)
}

/// Of the container that restarted most; sidecars decide between equals.
fn restarts(pod: &PodView) -> (i32, i32) {
    let most = |statuses: &[ContainerStatusView], of: &dyn Fn(&str) -> bool| {
        let counted = statuses.iter().filter(|s| of(&s.name));
        counted.map(|s| s.restart_count).max().unwrap_or(0)
    };
    let sidecar = |name: &str| {
        let mut inits = pod.spec.init_containers.iter();
        inits.any(|c| c.name == name && c.restart_policy.as_deref() == Some("Always"))
    };
    (
        most(&pod.status.container_statuses, &|_| true),
        most(&pod.status.init_container_statuses, &sidecar),
    )
}

fn ready_since(pod: &PodView) -> Option<Timestamp> {
    let since = pod.condition("Ready")?.last_transition_time.as_ref()?;
    Some(since.0)
}

fn created(pod: &PodView) -> Option<Timestamp> {
    let Time(at) = pod.metadata.creation_timestamp.as_ref()?;
    Some(*at)
}

fn uid(pod: &PodView) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// The younger goes first, by powers of two of its age: among pods of about one age the uid decides, so that not all
/// of one failure domain go (KEP 2185). What has no time counts as youngest.
fn younger(
    a_since: Option<Timestamp>,
    b_since: Option<Timestamp>,
    now: Timestamp,
    a: &PodView,
    b: &PodView,
) -> Ordering {
    if a_since == b_since {
        return Ordering::Equal;
    }
    let age = |since: Option<Timestamp>| {
        let nanoseconds = since.map_or(0, |at| now.duration_since(at).as_nanos());
        u128::try_from(nanoseconds)
            .ok()
            .and_then(u128::checked_ilog2)
    };
    age(a_since)
        .cmp(&age(b_since))
        .then_with(|| uid(a).cmp(uid(b)))
}
