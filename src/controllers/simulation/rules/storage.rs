//! Of claims and volumes.

use super::{is_starved, named};
use crate::controllers::world::{World, controller, key};
use crate::object::claims::{choose, refers_to};
use crate::object::storage::{PROVISIONED_BY, SELECTED_NODE};

pub fn bound(world: &World) -> Vec<String> {
    let mut told = Vec::new();
    let volumes: Vec<_> = world.volumes.iter().map(AsRef::as_ref).collect();
    for claim in world.claims.iter() {
        if claim.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let spec = claim.spec.clone().unwrap_or_default();
        let name = spec.volume_name.clone().unwrap_or_default();
        let volume = world.volumes.get(&(String::new(), name));
        let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref());
        let annotations = claim.metadata.annotations.as_ref();
        let is_selected = annotations.is_some_and(|a| a.contains_key(SELECTED_NODE));
        let is_mutual = volume.is_some_and(|volume| {
            let spec = volume.spec.as_ref();
            let reference = spec.and_then(|s| s.claim_ref.as_ref());
            let phase = volume.status.as_ref().and_then(|s| s.phase.as_deref());
            reference.is_some_and(|r| refers_to(r, claim)) && phase == Some("Bound")
        });
        let is_right = match phase {
            Some("Bound") => is_mutual,
            Some("Lost") => !is_mutual,
            // Of a class, it waits for a pod; of none, for a volume.
            _ if spec.storage_class_name.as_deref() == Some("") => {
                choose(volumes.iter().copied(), claim).is_none()
            }
            _ => !is_selected,
        };
        if !is_right {
            told.push(format!("{} is {phase:?}: {spec:?}", named(&claim.metadata)));
        }
    }
    for volume in world.volumes.iter() {
        let spec = volume.spec.clone().unwrap_or_default();
        let reference = spec.claim_ref.as_ref();
        let has_claim = reference.is_some_and(|r| world.claims.iter().any(|c| refers_to(r, c)));
        let annotations = volume.metadata.annotations.as_ref();
        let is_made = annotations.is_some_and(|a| a.contains_key(PROVISIONED_BY));
        let phase = volume.status.as_ref().and_then(|s| s.phase.as_deref());
        let is_right = match phase {
            Some("Available") => reference.is_none(),
            Some("Bound") => has_claim,
            Some("Released") => {
                !has_claim
                    && !is_made
                    && spec.persistent_volume_reclaim_policy.as_deref() != Some("Delete")
            }
            // Nobody here can remove what a user's volume stands for.
            Some("Failed") => !has_claim && !is_made,
            _ => false,
        };
        if !is_right {
            told.push(format!(
                "{} is {phase:?}: {spec:?}",
                named(&volume.metadata)
            ));
        }
    }
    told
}

pub fn ephemeral(world: &World) -> Vec<String> {
    let mut told = Vec::new();
    for pod in world.pods.iter().filter(|pod| !pod.is_ending()) {
        let (namespace, name) = key(&pod.metadata);
        for volume in pod.spec.volumes.iter().filter(|v| v.ephemeral.is_some()) {
            let claim = format!("{name}-{}", volume.name);
            let claim = world.claims.get(&(namespace.clone(), claim));
            let owner = claim.and_then(|c| controller(&c.metadata));
            let is_own = owner.is_some_and(|o| Some(&o.uid) == pod.metadata.uid.as_ref());
            if !is_own && !is_starved(world, &namespace) {
                told.push(format!("{name} lacks {}", volume.name));
            }
        }
    }
    told
}
