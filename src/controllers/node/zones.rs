//! How many nodes of a zone are in trouble decides whether, and how fast, their pods are evicted.
//! <https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction>

use super::readiness;
use crate::controllers::world::World;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;

/// The part of a zone in trouble from which it is the zone (upstream's `--unhealthy-zone-threshold`), in percent.
const UNHEALTHY_PERCENT: usize = 55;
/// Fewer nodes in trouble than this are never the zone.
const UNHEALTHY_MIN: usize = 3;
/// A zone of more nodes is large (upstream's `--large-cluster-size-threshold`).
const LARGE: usize = 50;
/// One node in this time (upstream's `--node-eviction-rate`, 0.1 per second).
const PACE: SignedDuration = SignedDuration::from_secs(10);
/// In a large zone in trouble (upstream's `--secondary-node-eviction-rate`, 0.01 per second).
const SLOW_PACE: SignedDuration = SignedDuration::from_secs(100);

/// What may be done to one more node of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evictions {
    /// No node is well: all taints that evict go.
    None,
    /// Nothing new is evicted.
    Held,
    /// One node in so long.
    Every(SignedDuration),
}

/// Region and zone, from the labels.
pub fn zone(node: &Node) -> (&str, &str) {
    let label = |name: &str| {
        let labels = node.metadata.labels.as_ref();
        labels
            .and_then(|labels| labels.get(name))
            .map_or("", String::as_str)
    };
    (
        label("topology.kubernetes.io/region"),
        label("topology.kubernetes.io/zone"),
    )
}

pub fn evictions(world: &World, node: &Node) -> Evictions {
    let count = |in_zone: bool, well: bool| {
        let fits = |one: &&std::sync::Arc<Node>| {
            (!in_zone || zone(one) == zone(node)) && (readiness(one) == "True") == well
        };
        world.nodes.iter().filter(fits).count()
    };
    if count(false, true) == 0 {
        return Evictions::None;
    }
    let (ready, lost) = (count(true, true), count(true, false));
    // A whole zone that is lost among others that are not is evicted as ever.
    if ready > 0 && lost >= UNHEALTHY_MIN && lost * 100 >= (ready + lost) * UNHEALTHY_PERCENT {
        return if ready + lost > LARGE {
            Evictions::Every(SLOW_PACE)
        } else {
            Evictions::Held
        };
    }
    Evictions::Every(PACE)
}

/// When the last node of the zone was tainted so that its pods go; the pace is kept by what the objects say.
pub fn last_eviction(world: &World, node: &Node) -> Option<Timestamp> {
    let nodes = world.nodes.iter().filter(|one| zone(one) == zone(node));
    let taints = nodes.flat_map(|one| {
        one.spec
            .iter()
            .flat_map(|spec| spec.taints.iter().flatten())
    });
    taints
        .filter(|taint| super::taints::evicts(taint))
        .filter_map(|taint| taint.time_added.as_ref().map(|time| time.0))
        .max()
}
