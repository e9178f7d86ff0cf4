//! Reconcilers: pure functions from a snapshot to actions, and the runner that feeds them.
//!
//! What comes in: namespaces, their `default` ServiceAccounts and root certificates, the ends of pods, and ClusterRoles,
//! watched through the client. What goes
//! out: creations, deletions and finalizations through the same client.
//!
//! Invariants: one key is worked on by one task at a time; a failure is tried again with back-off for as long as its
//! object exists; at most `WORKERS_MAX` reconciles run at once.
//!
//! It never knows about nodes, containers or how objects are stored.

pub mod cluster_roles;
mod namespace;
pub mod node_taints;
mod queue;
mod root_ca;
mod service_account;
pub mod storage;

#[cfg(test)]
pub(crate) mod fake_door;
#[cfg(test)]
mod run_tests;

use crate::client::informer::{Event, Scope, informer};
use crate::client::{Client, ClientError};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use queue::WorkQueue;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Reconciles at once: they wait for the store, not for a processor.
const WORKERS_MAX: usize = 4;

/// A namespace's name: the key of every controller there is.
type Key = String;
type Work = BoxFuture<'static, (Key, Result<bool, ClientError>)>;

/// What the reconcilers decide from. As large as the namespaces that exist.
#[derive(Debug, Default)]
struct Snapshot {
    namespaces: BTreeMap<Key, Namespace>,
    /// Namespaces that have the ServiceAccount `default`.
    accounts: BTreeSet<Key>,
    /// Namespaces that have the authority's certificate, and whether it is the right one.
    authorities: BTreeMap<Key, root_ca::Found>,
}

/// Runs every controller whose key is a namespace until `stop`; `certificate_pem` is the authority's.
pub async fn run(client: Client, certificate_pem: String, stop: CancellationToken) {
    let certificate_pem: Arc<str> = certificate_pem.into();
    let mut namespaces = informer::<Namespace>(&client, Scope::default());
    let named_default = Scope {
        field_selector: Some(format!("metadata.name={}", service_account::NAME)),
        ..Scope::default()
    };
    let mut accounts = informer::<ServiceAccount>(&client, named_default);
    let named_root_ca = Scope {
        field_selector: Some(format!("metadata.name={}", root_ca::NAME)),
        ..Scope::default()
    };
    let mut authorities = informer::<ConfigMap>(&client, named_root_ca);
    let mut pods = informer::<Pod>(&client, Scope::default());
    let mut snapshot = Snapshot::default();
    let mut queue = WorkQueue::default();
    let mut work: FuturesUnordered<Work> = FuturesUnordered::new();
    let (mut accounts_known, mut authorities_known) = (false, false);
    loop {
        let known = accounts_known && authorities_known;
        while known && work.len() < WORKERS_MAX {
            let Some(key) = queue.take(Instant::now()) else {
                break;
            };
            match snapshot.namespaces.get(&key) {
                Some(namespace) => {
                    let exists = snapshot.accounts.contains(&key);
                    let authority = snapshot.authorities.get(&key);
                    let found = authority.copied().unwrap_or(root_ca::Found::Missing);
                    let certificate = certificate_pem.clone();
                    work.push(reconcile(&client, namespace, exists, found, certificate));
                }
                None => queue.done(&key, Instant::now()),
            }
        }
        let wake = queue.wake().filter(|_| known && work.len() < WORKERS_MAX);
        tokio::select! {
            () = stop.cancelled() => return,
            Some(event) = namespaces.next() => {
                for key in snapshot.on_namespace(event) {
                    queue.add(key, Instant::now());
                }
            }
            Some(event) = accounts.next() => {
                accounts_known = true;
                for key in snapshot.on_account(event) {
                    queue.add(key, Instant::now());
                }
            }
            Some(event) = authorities.next() => {
                authorities_known = true;
                for key in snapshot.on_authority(event, &certificate_pem) {
                    queue.add(key, Instant::now());
                }
            }
            Some(event) = pods.next() => {
                // The last pod's end is what an ending namespace waits for.
                if let Some(key) = snapshot.on_pod(event) {
                    queue.add(key, Instant::now());
                }
            }
            Some((key, result)) = work.next() => {
                let now = Instant::now();
                match result {
                    Ok(true) => queue.done(&key, now),
                    Ok(false) => queue.later(&key, now),
                    Err(error) => {
                        tracing::warn!(namespace = %key, %error, "reconcile failed, will be tried again");
                        queue.later(&key, now);
                    }
                }
            }
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
    }
}

fn reconcile(
    client: &Client,
    namespace: &Namespace,
    account_exists: bool,
    authority: root_ca::Found,
    certificate_pem: Arc<str>,
) -> Work {
    let (client, namespace) = (client.clone(), namespace.clone());
    async move {
        let key = namespace.metadata.name.clone().unwrap_or_default();
        let result = async {
            service_account::run(&client, &namespace, account_exists).await?;
            root_ca::run(&client, &namespace, authority, &certificate_pem).await?;
            namespace::run(&client, &namespace).await
        };
        (key, result.await)
    }
    .boxed()
}

/// Each takes in an event and answers with the keys to look at again.
impl Snapshot {
    fn on_namespace(&mut self, event: Event<Namespace>) -> Vec<Key> {
        let name = |namespace: &Namespace| namespace.metadata.name.clone().unwrap_or_default();
        match event {
            Event::Restarted(all) => {
                self.namespaces = all.into_iter().map(|n| (name(&n), n)).collect();
                self.namespaces.keys().cloned().collect()
            }
            Event::Applied(namespace) => {
                let key = name(&namespace);
                self.namespaces.insert(key.clone(), namespace);
                vec![key]
            }
            Event::Deleted(namespace) => {
                self.namespaces.remove(&name(&namespace));
                Vec::new()
            }
        }
    }

    fn on_account(&mut self, event: Event<ServiceAccount>) -> Vec<Key> {
        let place = |account: ServiceAccount| account.metadata.namespace.unwrap_or_default();
        match event {
            Event::Restarted(all) => {
                self.accounts = all.into_iter().map(place).collect();
                self.namespaces.keys().cloned().collect()
            }
            Event::Applied(account) => {
                self.accounts.insert(place(account));
                Vec::new()
            }
            Event::Deleted(account) => {
                let key = place(account);
                self.accounts.remove(&key);
                vec![key]
            }
        }
    }

    fn on_authority(&mut self, event: Event<ConfigMap>, certificate_pem: &str) -> Vec<Key> {
        let place = |map: &ConfigMap| map.metadata.namespace.clone().unwrap_or_default();
        let look = |map: &ConfigMap| root_ca::look(map, certificate_pem);
        match event {
            Event::Restarted(all) => {
                self.authorities = all.iter().map(|map| (place(map), look(map))).collect();
                self.namespaces.keys().cloned().collect()
            }
            Event::Applied(map) => {
                let (key, found) = (place(&map), look(&map));
                self.authorities.insert(key.clone(), found);
                if found == root_ca::Found::Right {
                    return Vec::new();
                }
                vec![key]
            }
            Event::Deleted(map) => {
                let key = place(&map);
                self.authorities.remove(&key);
                vec![key]
            }
        }
    }

    fn on_pod(&self, event: Event<Pod>) -> Option<Key> {
        let Event::Deleted(pod) = event else {
            return None;
        };
        let key = pod.metadata.namespace?;
        let namespace = self.namespaces.get(&key)?;
        namespace::is_terminating(namespace).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn events_name_the_namespaces_to_look_at() {
        let mut snapshot = Snapshot::default();
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
        let account: ServiceAccount =
            serde_json::from_value(json!({"metadata": {"name": "default", "namespace": "a"}}))
                .unwrap();
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "a"}})).unwrap();
        assert_eq!(
            snapshot.on_namespace(Event::Applied(namespace.clone())),
            ["a"]
        );
        assert!(
            snapshot
                .on_account(Event::Applied(account.clone()))
                .is_empty()
        );
        assert_eq!(snapshot.on_account(Event::Deleted(account)), ["a"]);
        assert_eq!(snapshot.on_pod(Event::Deleted(pod.clone())), None);
        let mut ending = namespace;
        ending.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        snapshot.on_namespace(Event::Restarted(vec![ending]));
        assert_eq!(snapshot.on_pod(Event::Deleted(pod)), Some("a".to_owned()));
    }
}
