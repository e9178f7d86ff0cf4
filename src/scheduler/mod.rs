//! Finds a node for every pod that has none.
//!
//! What comes in: pods, nodes, namespaces, persistent volumes and disruption budgets, watched through the client. What
//! goes out: bindings, deletions of pods that make room, the `PodScheduled` condition and events, through the same
//! client.
//!
//! Invariants: no node is given more than it has, also between a decision and its showing in the watch; a pod that
//! fits nowhere is tried again when something changed that may help (`hints`), and once in five minutes besides, which
//! writes nothing where nothing changed; the same snapshot and seed give the same decision. A decision looks at
//! counts that are kept (`counts`), never at all pods.
//!
//! It never knows about containers, images or how a binding is stored.

pub mod bench;

mod budgets;
mod cache;
mod cluster;
mod counts;
mod decide;
mod filters;
mod hints;
mod plugins;
mod ports;
mod preempt;
mod queue;
mod report;
mod resources;
mod scores;
mod slab;
mod snapshot;
mod spread;
mod taints;
mod tally;
mod terms;
mod topology;
mod volumes;

#[cfg(test)]
mod testing;

use crate::client::informer::{Event, Scope, informer, informer_at};
use crate::client::{Client, ClientError, object_path};
use cache::Cache;
use decide::Decision;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, FuturesUnordered};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use snapshot::PodInfo;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Writes under way at once: enough for the store to commit them as one group, few enough for a small board.
const WRITES_MAX: usize = 32;
/// How long a server that does not answer is given before it is asked again for its kinds.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What a write came to.
enum Written {
    Told,
    Bound,
    NotBound(Arc<PodInfo>, ClientError),
    Preempted(Arc<PodInfo>),
    NotPreempted(Arc<PodInfo>, ClientError),
}

/// Runs until `stop`.
pub async fn run(client: Client, stop: CancellationToken) {
    let mut nodes = informer::<Node>(&client, Scope::default());
    let all_pods = object_path("", "v1", "pods", None, None, None);
    let mut pods = informer_at::<PodInfo>(&client, all_pods, Scope::default());
    let mut namespaces = informer::<Namespace>(&client, Scope::default());
    let mut claims = informer::<PersistentVolumeClaim>(&client, Scope::default());
    let mut volumes = informer::<PersistentVolume>(&client, Scope::default());
    let mut classes = informer::<StorageClass>(&client, Scope::default());
    let mut budgets = budgets_of(&client);
    let mut cache = Cache::default();
    let mut writes: FuturesUnordered<BoxFuture<'static, Written>> = FuturesUnordered::new();
    let began = Instant::now();
    // Nodes and bound pods must be known first: else the first pod is told that there are none; and namespaces, claims,
    // volumes, classes: else a pod is told that its claim does not exist. Budgets are kept where they can be.
    let mut known = [false; 6];
    loop {
        cache.tick(began.elapsed());
        while known == [true; 6] && writes.len() < WRITES_MAX {
            match cache.next() {
                Some((pod, decision)) => writes.extend(write(&client, pod, decision)),
                None => break,
            }
        }
        let wake = cache.wake_at().map(|at| began + at);
        tokio::select! {
            () = stop.cancelled() => return,
            Some(event) = nodes.next() => {
                cache.on_node(event);
                known[0] = true;
            }
            Some(event) = pods.next() => {
                cache.on_pod(event);
                known[1] = true;
            }
            Some(event) = namespaces.next() => {
                cache.on_namespace(event);
                known[2] = true;
            }
            Some(event) = claims.next() => {
                cache.on_storage(|storage| storage.on_claim(event));
                known[3] = true;
            }
            Some(event) = volumes.next() => {
                cache.on_storage(|storage| storage.on_volume(event));
                known[4] = true;
            }
            Some(event) = classes.next() => {
                cache.on_storage(|storage| storage.on_class(event));
                known[5] = true;
            }
            Some(event) = budgets.next() => cache.on_budget(event),
            Some(written) = writes.next() => match written {
                Written::Told | Written::Bound => {}
                Written::NotBound(pod, error) => {
                    tracing::warn!(pod = %format!("{}/{}", pod.namespace, pod.name), %error, "binding failed");
                    cache.forget(&pod.key(), &pod.uid);
                }
                Written::Preempted(pod) => cache.preempted(&pod.key()),
                Written::NotPreempted(pod, error) => {
                    tracing::warn!(pod = %format!("{}/{}", pod.namespace, pod.name), %error, "no room could be made");
                    cache.not_preempted(&pod.key());
                }
            },
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
    }
}

/// Disruption budgets; none from a server that does not have the kind.
fn budgets_of(client: &Client) -> BoxStream<'static, Event<PodDisruptionBudget>> {
    let client = client.clone();
    let asked = async move {
        loop {
            let uri = "/apis/policy/v1/poddisruptionbudgets?limit=1";
            match client.send_value(http::Method::GET, uri, None).await {
                Ok(_) => return informer(&client, Scope::default()),
                Err(error) if error.code() == Some(404) => {
                    return futures::stream::pending().boxed();
                }
                Err(error) => tracing::debug!(%error, "disruption budgets not listed"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    futures::stream::once(asked).flatten().boxed()
}

/// The write a decision asks for; none where the API already says it.
fn write(
    client: &Client,
    pod: Arc<PodInfo>,
    decision: Decision,
) -> Option<BoxFuture<'static, Written>> {
    let client = client.clone();
    match decision {
        Decision::Unschedulable {
            message,
            gives_up_room,
            ..
        } => {
            if pod.told.as_ref() == Some(&message) && !gives_up_room {
                return None;
            }
            let tell = async move {
                report::unschedulable(&client, &pod, &message, gives_up_room).await;
                Written::Told
            };
            Some(tell.boxed())
        }
        Decision::Wait(_) => None,
        Decision::Claim { node, steps } => {
            let claim = async move {
                match volumes::claim(&client, &pod.namespace, &node, &steps).await {
                    Ok(()) => Written::Told,
                    Err(error) => Written::NotBound(pod, error),
                }
            };
            Some(claim.boxed())
        }
        Decision::Preempt {
            node,
            victims,
            message,
            displaced,
            ..
        } => {
            let preempt = async move {
                let made =
                    report::preempt(&client, &pod, &node, &victims, &displaced, &message).await;
                match made {
                    Ok(()) => Written::Preempted(pod),
                    Err(error) => Written::NotPreempted(pod, error),
                }
            };
            Some(preempt.boxed())
        }
        Decision::Bind(node) => {
            let bind = async move {
                let uid = Some(pod.uid.as_str());
                let bound = client.bind_pod(&pod.namespace, &pod.name, uid, &node).await;
                match bound {
                    Ok(()) => {
                        report::scheduled(&client, &pod, &node).await;
                        Written::Bound
                    }
                    Err(error) => Written::NotBound(pod, error),
                }
            };
            Some(bind.boxed())
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
