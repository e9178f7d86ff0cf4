//! Binds claims to persistent volumes, protects both while they are used, and makes the claims of ephemeral volumes.
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/>
//!
//! What comes in: volumes, claims, classes and the pods that use claims, watched through the client. What goes out:
//! patches, through the same client. The plan is a pure function of the snapshot and is made anew after every
//! change; each write carries the version it was planned for, so that a plan from old news fails instead of undoing.
//!
//! Making and removing what a volume stands for is its provisioner's work, for local paths the node's. This part never
//! knows about directories, nor which node is the best: the scheduler names it on the claim.

mod act;
mod plan;
mod snapshot;
#[cfg(test)]
mod tests;

use crate::client::Client;
use crate::client::informer::{Scope, informer};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::Value;
use snapshot::Snapshot;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between tries after a failed write; news comes sooner.
const RETRY: Duration = Duration::from_secs(5);

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    PatchVolume {
        name: String,
        status: bool,
        patch: Value,
    },
    PatchClaim {
        namespace: String,
        name: String,
        status: bool,
        patch: Value,
    },
    /// The volume's claim is gone, if the API still says so when asked.
    Release {
        volume: String,
        claim: (String, String, String),
        patch: Value,
    },
    CreateClaim(Box<PersistentVolumeClaim>),
    /// The pod that owned it is gone, if the API still says so when asked.
    DeleteOrphan {
        namespace: String,
        name: String,
        uid: String,
        pod: (String, String),
    },
    /// Told once per claim and reason.
    Tell {
        namespace: String,
        name: String,
        uid: String,
        warning: bool,
        reason: &'static str,
        message: String,
    },
}

/// Runs until `stop`.
pub async fn run(client: Client, stop: CancellationToken) {
    let mut volumes = informer::<PersistentVolume>(&client, Scope::default());
    let mut claims = informer::<PersistentVolumeClaim>(&client, Scope::default());
    let mut classes = informer::<StorageClass>(&client, Scope::default());
    let mut pods = informer::<Pod>(&client, Scope::default());
    let mut snapshot = Snapshot::default();
    // What was told already: as many as there are claims, since those that are gone are forgotten.
    let mut told: BTreeSet<(String, &'static str)> = BTreeSet::new();
    let mut retry: Option<Instant> = None;
    loop {
        let wake = retry.unwrap_or_else(Instant::now);
        let changed = tokio::select! {
            () = stop.cancelled() => return,
            Some(event) = volumes.next() => snapshot.on_volume(event),
            Some(event) = claims.next() => snapshot.on_claim(event),
            Some(event) = classes.next() => snapshot.on_class(event),
            Some(event) = pods.next() => snapshot.on_pod(event),
            () = tokio::time::sleep_until(wake), if retry.is_some() => true,
        };
        if !changed || !snapshot.is_known() {
            continue;
        }
        retry = None;
        told.retain(|(uid, _)| snapshot.has_claim(uid));
        for steps in plan::plan(&snapshot) {
            let done = stop
                .run_until_cancelled(act::carry_out(&client, steps, &mut told))
                .await;
            match done {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, "persistent volumes: a write failed and will be tried again");
                    retry = Some(Instant::now() + RETRY);
                }
            }
        }
    }
}
