//! What a worker keeps of its pod's volumes while the pod runs: where they are, and when they are to be looked at.

use super::Place;
use super::tokens::Tokens;
use super::watched::{Key, Kind, Subscription, Version, Watched};
use crate::kubelet::spec::Sources;
use crate::kubelet::spec::volumes::{holds_files, mentioned_in_files};
use futures::FutureExt;
use futures::future::select_all;
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Between tries to bring files up to date that could not be.
pub const REFRESH_RETRY_MS: i64 = 10_000;

struct Follower {
    subscription: Arc<Subscription>,
    changes: watch::Receiver<Version>,
    /// The version the volume was written from.
    written: Version,
}

/// Labels and annotations, which downward API files show.
type Shown = (
    Option<BTreeMap<String, String>>,
    Option<BTreeMap<String, String>>,
);

#[derive(Default)]
pub struct Live {
    pub places: BTreeMap<String, Place>,
    pub tokens: Tokens,
    followers: Vec<Follower>,
    shown: Option<Shown>,
    /// After a failure.
    pub retry_ms: Option<i64>,
    /// What the last failure said; told once.
    pub told: Option<String>,
}

impl Live {
    /// All volumes have been made; `sources` is what their files were made from.
    pub fn made(
        &mut self,
        pod: &Pod,
        places: BTreeMap<String, Place>,
        sources: &Sources,
        watched: &Watched,
    ) {
        self.places = places;
        let keys = keys(pod);
        self.followers
            .retain(|f| keys.contains(&f.subscription.key));
        for key in &keys {
            if !self.followers.iter().any(|f| &f.subscription.key == key) {
                let subscription = watched.subscribe(key);
                self.followers.push(Follower {
                    changes: subscription.version.clone(),
                    subscription,
                    written: None,
                });
            }
        }
        self.files_written(pod, sources);
    }

    /// Files are as the API has them.
    pub fn files_written(&mut self, pod: &Pod, sources: &Sources) {
        for follower in &mut self.followers {
            let (kind, _, name) = &follower.subscription.key;
            let version = match kind {
                Kind::ConfigMap => {
                    let found = sources.config_maps.get(name);
                    found.and_then(|o| o.metadata.resource_version.clone())
                }
                Kind::Secret => {
                    let found = sources.secrets.get(name);
                    found.and_then(|o| o.metadata.resource_version.clone())
                }
            };
            follower.written = Some(version);
        }
        self.shown = Some(shown(pod));
        self.retry_ms = None;
        self.told = None;
    }

    /// The pod's volumes are gone.
    pub fn clear(&mut self) {
        *self = Live::default();
    }

    /// Whether files have to be written again.
    pub fn is_stale(&mut self, pod: &Pod, now_ms: i64) -> bool {
        let Some(seen) = &self.shown else {
            return false;
        };
        if let Some(at) = self.retry_ms {
            return at <= now_ms;
        }
        let mut stale = self.tokens.renew_ms().is_some_and(|at| at <= now_ms)
            || (shows_metadata(pod) && *seen != shown(pod));
        for follower in &mut self.followers {
            let newest = follower.changes.borrow_and_update();
            stale |= newest.is_some() && *newest != follower.written;
        }
        stale
    }

    pub fn wake_ms(&self) -> Option<i64> {
        self.retry_ms.or(self.tokens.renew_ms())
    }

    /// Returns when an object changed; never where the volumes show none.
    pub async fn changed(&mut self) {
        let changes = self
            .followers
            .iter_mut()
            .map(|follower| follower.changes.changed().boxed());
        let changes: Vec<_> = changes.collect();
        if changes.is_empty() {
            return std::future::pending().await;
        }
        if let (Err(_), _, _) = select_all(changes).await {
            // Only where the runtime shuts down does a watch end.
            std::future::pending::<()>().await;
        }
    }
}

fn keys(pod: &Pod) -> Vec<Key> {
    let (maps, secrets) = mentioned_in_files(pod);
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let maps = maps.into_iter().map(|name| (Kind::ConfigMap, name));
    let secrets = secrets.into_iter().map(|name| (Kind::Secret, name));
    maps.chain(secrets)
        .map(|(kind, name)| (kind, namespace.clone(), name))
        .collect()
}

fn shown(pod: &Pod) -> Shown {
    (
        pod.metadata.labels.clone(),
        pod.metadata.annotations.clone(),
    )
}

fn shows_metadata(pod: &Pod) -> bool {
    pod.spec
        .iter()
        .flat_map(|s| s.volumes.iter().flatten())
        .any(|v| holds_files(v) && (v.downward_api.is_some() || v.projected.is_some()))
}
