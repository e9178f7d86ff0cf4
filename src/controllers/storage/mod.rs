//! Binds claims to persistent volumes, protects both while they are used, and makes the claims of ephemeral volumes.
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/>
//!
//! What comes in: volumes, claims, classes and the pods that use claims. What goes out: patches of claims and volumes,
//! claims of ephemeral volumes. Invariants: writes that choose carry the version they were chosen from, so that a plan
//! from old news fails instead of undoing; nothing is given up before the API itself says that its owner is gone.
//!
//! Making and removing what a volume stands for is its provisioner's work, for local paths the node's. This part never
//! knows about directories, nor which node is the best: the scheduler names it on the claim.

mod ephemeral;
mod plan;
#[cfg(test)]
mod tests;

pub use ephemeral::Ephemeral;

use super::action::Plan;
use super::runner::Controller;
use super::world::{Change, Diff, Key, PodView, World, key};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

/// Upstream's name for both sides of a binding.
const NAME: &str = "persistentvolume-controller";

/// The claims' side.
pub struct Claims;

/// The volumes' side.
pub struct Volumes;

impl Controller for Claims {
    fn name(&self) -> &'static str {
        NAME
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Claim(diff) => diff.key().into_iter().collect(),
            Change::Volume(diff) => of_volume(world, diff),
            Change::Class(_) => keys_of(world, |claim| !is_bound(claim)),
            Change::Pod(diff) => released(world, diff),
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let claim = world.claims.get(key);
        Plan::of(claim.map_or_else(Vec::new, |claim| plan::of_claim(world, claim, now)))
    }
}

impl Controller for Volumes {
    fn name(&self) -> &'static str {
        NAME
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Volume(diff) => diff.key().into_iter().collect(),
            Change::Claim(diff) => {
                let Some(claim) = diff.key() else {
                    return Vec::new();
                };
                let volumes = world.volumes.iter();
                volumes
                    .filter(|volume| claim_of(volume).as_ref() == Some(&claim))
                    .map(|volume| key(&volume.metadata))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let volume = world.volumes.get(key);
        Plan::of(volume.map_or_else(Vec::new, |volume| plan::of_volume(world, volume, now)))
    }
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    let status = claim.status.as_ref();
    status.and_then(|s| s.phase.as_deref()) == Some("Bound")
}

fn claim_of(volume: &PersistentVolume) -> Option<Key> {
    let reference = volume.spec.as_ref()?.claim_ref.as_ref()?;
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    Some((text(&reference.namespace), text(&reference.name)))
}

fn keys_of(world: &World, wanted: impl Fn(&PersistentVolumeClaim) -> bool) -> Vec<Key> {
    let claims = world.claims.iter().filter(|claim| wanted(claim));
    claims.map(|claim| key(&claim.metadata)).collect()
}

/// Its claim, those that name it, and all that look for one.
fn of_volume(world: &World, diff: &Diff<PersistentVolume>) -> Vec<Key> {
    let volumes = || [&diff.old, &diff.new].into_iter().flatten();
    keys_of(world, |claim| {
        let its = Some(key(&claim.metadata));
        let named = claim.spec.as_ref().and_then(|s| s.volume_name.as_ref());
        !is_bound(claim)
            || volumes().any(|volume| {
                claim_of(volume) == its
                    || (named.is_some() && volume.metadata.name.as_ref() == named)
            })
    })
}

/// Ending claims that the pod has used until now.
fn released(world: &World, diff: &Diff<PodView>) -> Vec<Key> {
    let Some(pod) = diff.old.as_ref().filter(|pod| !pod.spec.volumes.is_empty()) else {
        return Vec::new();
    };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let claims = world.claims.in_namespace(namespace);
    claims
        .filter(|claim| claim.metadata.deletion_timestamp.is_some())
        .map(|claim| key(&claim.metadata))
        .filter(|(_, name)| uses(pod, name))
        .collect()
}

/// The pod is bound to a node and not over, and has this claim among its volumes.
fn uses(pod: &PodView, claim: &str) -> bool {
    let placed = pod.spec.node_name.as_deref().is_some_and(|n| !n.is_empty());
    let own = pod.metadata.name.as_deref().unwrap_or_default();
    placed
        && !pod.is_finished()
        && pod.spec.volumes.iter().any(|volume| {
            let named = volume.persistent_volume_claim.as_ref();
            named.is_some_and(|c| c.claim_name == claim)
                || (volume.ephemeral.is_some() && format!("{own}-{}", volume.name) == claim)
        })
}
