//! What pods use: everything with the same `app` label shares one load.

use crate::controllers::world::usage::{Measured, PodUsage};
use crate::controllers::world::{World, key};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

const NANO_OF_MILLI: i128 = 1_000_000;

/// `load`: thousandths of a processor, for each app of each namespace.
pub fn measured(world: &World, load: u16, clock: Timestamp) -> Measured {
    let app = |pod: &crate::controllers::world::PodView| {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        (namespace, pod.labels().get("app").cloned())
    };
    let mut counts: BTreeMap<_, i128> = BTreeMap::new();
    let running = || world.pods.iter().filter(|pod| pod.phase() == "Running");
    for pod in running() {
        *counts.entry(app(pod)).or_default() += 1;
    }
    let usage = running().map(|pod| {
        let cpu = i128::from(load) * NANO_OF_MILLI / counts[&app(pod)];
        let of_container = BTreeMap::from([("cpu".to_owned(), cpu)]);
        let usage = PodUsage {
            at: clock,
            window: SignedDuration::from_secs(15),
            containers: BTreeMap::from([("c".to_owned(), of_container)]),
        };
        (key(&pod.metadata), usage)
    });
    usage.collect()
}
