//! Finds a node for every pod that has none.
//!
//! What comes in: pods and nodes, watched through the client. What goes out: bindings, the `PodScheduled` condition
//! and events, through the same client.
//!
//! Invariants: no node is given more than it has, also between a decision and its showing in the watch; a pod that
//! fits nowhere is tried again when something changed that may help, never by a timer; the same snapshot and seed
//! give the same decision.
//!
//! It never knows about containers, images or how a binding is stored.

mod cache;
mod decide;
mod filters;
mod report;
mod resources;
mod scores;
mod snapshot;
mod volumes;

use crate::client::informer::{Scope, informer};
use crate::client::{Client, ClientError};
use cache::Cache;
use decide::Decision;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use snapshot::{PodInfo, PodKey};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Writes under way at once: enough for the store to commit them as one group, few enough for a small board.
const WRITES_MAX: usize = 32;
/// Upstream's `podInitialBackoffSeconds` and `podMaxBackoffSeconds`.
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
const BACK_OFF_LAST: Duration = Duration::from_secs(10);

/// What a write came to.
enum Written {
    Told,
    Bound(PodKey),
    Failed(Box<PodInfo>, ClientError),
}

/// Runs until `stop`.
pub async fn run(client: Client, stop: CancellationToken) {
    let mut nodes = informer::<Node>(&client, Scope::default());
    let mut pods = informer::<Pod>(&client, Scope::default());
    let mut claims = informer::<PersistentVolumeClaim>(&client, Scope::default());
    let mut volumes = informer::<PersistentVolume>(&client, Scope::default());
    let mut classes = informer::<StorageClass>(&client, Scope::default());
    let mut cache = Cache::default();
    let mut writes: FuturesUnordered<BoxFuture<'static, Written>> = FuturesUnordered::new();
    let mut delays = Delays::default();
    // Nodes and bound pods must be known first: else the first pod is told that there are none.
    let (mut nodes_known, mut pods_known) = (false, false);
    // Claims, volumes, classes: else a pod is told that its claim does not exist.
    let mut storage_known = [false; 3];
    loop {
        let known = nodes_known && pods_known && storage_known == [true; 3];
        while known && writes.len() < WRITES_MAX {
            match cache.next() {
                Some((pod, decision)) => {
                    if let Some(write) = write(&client, pod, decision) {
                        writes.push(write);
                    }
                }
                None => break,
            }
        }
        let wake = delays.first();
        tokio::select! {
            () = stop.cancelled() => return,
            Some(event) = nodes.next() => {
                cache.on_node(event);
                nodes_known = true;
            }
            Some(event) = pods.next() => {
                cache.on_pod(event);
                pods_known = true;
            }
            Some(event) = claims.next() => {
                cache.on_storage(|storage| storage.on_claim(event));
                storage_known[0] = true;
            }
            Some(event) = volumes.next() => {
                cache.on_storage(|storage| storage.on_volume(event));
                storage_known[1] = true;
            }
            Some(event) = classes.next() => {
                cache.on_storage(|storage| storage.on_class(event));
                storage_known[2] = true;
            }
            Some(written) = writes.next() => match written {
                Written::Told => {}
                Written::Bound(key) => delays.clear(&key),
                Written::Failed(pod, error) => {
                    tracing::warn!(pod = %format!("{}/{}", pod.namespace, pod.name), %error, "binding failed");
                    cache.forget(&pod.key(), &pod.uid);
                    delays.later(pod.key(), Instant::now());
                }
            },
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                for key in delays.due(Instant::now()) {
                    cache.retry(&key);
                }
            }
        }
    }
}

/// The write a decision asks for; none where the API already says it.
fn write(client: &Client, pod: PodInfo, decision: Decision) -> Option<BoxFuture<'static, Written>> {
    let client = client.clone();
    match decision {
        Decision::Unschedulable(message) if pod.told.as_ref() == Some(&message) => None,
        Decision::Unschedulable(message) => Some(
            async move {
                report::unschedulable(&client, &pod, &message).await;
                Written::Told
            }
            .boxed(),
        ),
        Decision::Wait => None,
        Decision::Claim { node, steps } => Some(
            async move {
                match volumes::claim(&client, &pod.namespace, &node, &steps).await {
                    Ok(()) => Written::Told,
                    Err(error) => Written::Failed(Box::new(pod), error),
                }
            }
            .boxed(),
        ),
        Decision::Bind(node) => Some(
            async move {
                let uid = Some(pod.uid.as_str());
                let bound = client.bind_pod(&pod.namespace, &pod.name, uid, &node).await;
                match bound {
                    Ok(()) => {
                        report::scheduled(&client, &pod, &node).await;
                        Written::Bound(pod.key())
                    }
                    Err(error) => Written::Failed(Box::new(pod), error),
                }
            }
            .boxed(),
        ),
    }
}

/// Pods whose binding failed, and when each is tried again.
#[derive(Debug, Default)]
struct Delays {
    pods: BTreeMap<PodKey, (Duration, Option<Instant>)>,
}

impl Delays {
    fn later(&mut self, key: PodKey, now: Instant) {
        let next = match self.pods.get(&key) {
            Some((last, _)) => (*last * 2).min(BACK_OFF_LAST),
            None => BACK_OFF_FIRST,
        };
        self.pods.insert(key, (next, Some(now + next)));
    }

    fn clear(&mut self, key: &PodKey) {
        self.pods.remove(key);
    }

    fn first(&self) -> Option<Instant> {
        self.pods.values().filter_map(|(_, at)| *at).min()
    }

    fn due(&mut self, now: Instant) -> Vec<PodKey> {
        let mut due = Vec::new();
        // Tried again and not failed since: forgotten, so that pods that are gone leave nothing behind.
        self.pods
            .retain(|_, (_, at)| at.is_some_and(|at| at > now) || at.take().is_some());
        for (key, (_, at)) in &self.pods {
            if at.is_none() {
                due.push(key.clone());
            }
        }
        due
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
