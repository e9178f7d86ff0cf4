//! What is to be written for a claim or a volume.

use super::uses;
use crate::client::recorder::Kind;
use crate::controllers::action::{Action, Target};
use crate::controllers::clock;
use crate::controllers::world::{Key, World};
use crate::object::claims::{choose, mismatch, refers_to};
use crate::object::storage::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, CLAIM_FINALIZER, DEFAULT_CLASS, NO_PROVISIONER,
    PROVISIONED_BY, SELECTED_NODE, STORAGE_PROVISIONER, VOLUME_FINALIZER,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

pub fn of_claim(world: &World, claim: &PersistentVolumeClaim, now: Timestamp) -> Vec<Action> {
    let meta = &claim.metadata;
    if meta.deletion_timestamp.is_some() {
        return unprotect_claim(world, claim);
    }
    let spec = claim.spec.clone().unwrap_or_default();
    let volume_name = spec.volume_name.clone().filter(|name| !name.is_empty());
    if has(meta, BIND_COMPLETED) {
        return match volume_name.as_deref().map(|name| volume_named(world, name)) {
            Some(Some(volume)) if is_of(volume, claim) => bind(volume, claim, now),
            _ => lost(claim),
        };
    }
    if let Some(name) = volume_name {
        return match volume_named(world, &name) {
            Some(volume) if free_for(volume, claim) => match mismatch(volume, claim) {
                None => bind(volume, claim, now),
                Some(why) => {
                    let message = format!("Cannot bind to requested volume {name:?}: {why}");
                    vec![tell(claim, true, "VolumeMismatch", message)]
                }
            },
            Some(_) => {
                let message = format!("volume {name:?} already bound to a different claim.");
                vec![tell(claim, true, "FailedBinding", message)]
            }
            None => Vec::new(),
        };
    }
    let Some(class_name) = spec.storage_class_name.clone() else {
        // Given to it later, too, when a default class appears (upstream since 1.28).
        return match default_class(world) {
            Some(class) => vec![patch_claim(
                claim,
                json!({"spec": {"storageClassName": class}}),
            )],
            None => unclassed(world, claim, now),
        };
    };
    if class_name.is_empty() {
        return unclassed(world, claim, now);
    }
    of_class(world, claim, &class_name, now)
}

fn unclassed(world: &World, claim: &PersistentVolumeClaim, now: Timestamp) -> Vec<Action> {
    bind_best(world, claim, now).unwrap_or_else(|| {
        let message = "no persistent volumes available for this claim and no storage class is set";
        vec![tell(claim, false, "FailedBinding", message.to_string())]
    })
}

fn of_class(
    world: &World,
    claim: &PersistentVolumeClaim,
    class_name: &str,
    now: Timestamp,
) -> Vec<Action> {
    let class = world.classes.get(&named(class_name));
    let delayed =
        class.and_then(|c| c.volume_binding_mode.as_deref()) == Some("WaitForFirstConsumer");
    if delayed {
        // The scheduler has chosen among the volumes and named the claim on it.
        if let Some(volume) = world.volumes.iter().find(|v| is_named_by(v, claim)) {
            return bind(volume, claim, now);
        }
        if !has(&claim.metadata, SELECTED_NODE) {
            let message = "waiting for first consumer to be created before binding";
            return vec![tell(
                claim,
                false,
                "WaitForFirstConsumer",
                message.to_string(),
            )];
        }
    } else if let Some(steps) = bind_best(world, claim, now) {
        return steps;
    }
    let Some(class) = class else {
        let message = format!("storageclass.storage.k8s.io {class_name:?} not found");
        return vec![tell(claim, true, "ProvisioningFailed", message)];
    };
    if class.provisioner == NO_PROVISIONER {
        let message = "no persistent volumes available for this claim and no storage class is set";
        return vec![tell(claim, false, "FailedBinding", message.to_string())];
    }
    let mut steps = Vec::new();
    let provisioner = annotation(&claim.metadata, STORAGE_PROVISIONER);
    if provisioner != Some(class.provisioner.as_str()) {
        let patch = json!({"metadata": {"annotations": {STORAGE_PROVISIONER: class.provisioner}}});
        steps.push(patch_claim(claim, patch));
    }
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.",
        class.provisioner
    );
    steps.push(tell(claim, false, "ExternalProvisioning", message));
    steps
}

fn bind_best(world: &World, claim: &PersistentVolumeClaim, now: Timestamp) -> Option<Vec<Action>> {
    // Who chooses the same one meanwhile meets its new version, and chooses again.
    let volumes: Vec<&PersistentVolume> = world.volumes.iter().map(AsRef::as_ref).collect();
    let volume = choose(volumes.iter().copied(), claim)?;
    Some(bind(volume, claim, now))
}

/// All that is still missing for the two to be bound to each other.
fn bind(volume: &PersistentVolume, claim: &PersistentVolumeClaim, now: Timestamp) -> Vec<Action> {
    let mut steps = Vec::new();
    let name = volume.metadata.name.clone().unwrap_or_default();
    let spec = volume.spec.clone().unwrap_or_default();
    let whole = spec
        .claim_ref
        .as_ref()
        .is_some_and(|r| r.uid.is_some() && refers_to(r, claim));
    if !whole {
        let mut patch = json!({"spec": {"claimRef": {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "namespace": claim.metadata.namespace, "name": claim.metadata.name, "uid": claim.metadata.uid,
        }}});
        if spec.claim_ref.is_none() {
            patch["metadata"] = json!({"annotations": {BOUND_BY_CONTROLLER: "yes"}});
        }
        steps.push(patch_volume(volume, patch));
    }
    if phase(volume) != "Bound" {
        steps.push(volume_phase(volume, "Bound", "", None, now));
    }
    let claimed = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()) == Some(&name);
    if !claimed || !has(&claim.metadata, BIND_COMPLETED) {
        let mut annotations = json!({BIND_COMPLETED: "yes"});
        if !claimed {
            annotations[BOUND_BY_CONTROLLER] = json!("yes");
        }
        let patch = json!({"metadata": {"annotations": annotations}, "spec": {"volumeName": name}});
        steps.push(patch_claim(claim, patch));
    }
    let wanted =
        json!({"phase": "Bound", "accessModes": spec.access_modes, "capacity": spec.capacity});
    let now = json!(claim.status);
    let differs = ["phase", "accessModes", "capacity"]
        .iter()
        .any(|f| now[f] != wanted[f]);
    if differs {
        steps.push(claim_status(claim, wanted));
    }
    steps
}

fn lost(claim: &PersistentVolumeClaim) -> Vec<Action> {
    if claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Lost") {
        return Vec::new();
    }
    let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
    vec![
        claim_status(claim, json!({"phase": "Lost"})),
        tell(claim, true, "ClaimLost", message.to_string()),
    ]
}

fn unprotect_claim(world: &World, claim: &PersistentVolumeClaim) -> Vec<Action> {
    let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let mut pods = world.pods.in_namespace(namespace);
    let used = pods.any(|pod| uses(pod, name));
    match without(&claim.metadata, CLAIM_FINALIZER) {
        Some(finalizers) if !used => {
            vec![patch_claim(
                claim,
                json!({"metadata": {"finalizers": finalizers}}),
            )]
        }
        _ => Vec::new(),
    }
}

pub fn of_volume(world: &World, volume: &PersistentVolume, now: Timestamp) -> Vec<Action> {
    // Its claim's side may be writing it, too: what is planned from an old version is planned again.
    let version = volume.metadata.resource_version.clone();
    let spec = volume.spec.clone().unwrap_or_default();
    let reference = spec.claim_ref.clone();
    let claim = reference.as_ref().and_then(|r| {
        let key: Key = (
            r.namespace.clone().unwrap_or_default(),
            r.name.clone().unwrap_or_default(),
        );
        world.claims.get(&key).filter(|claim| refers_to(r, claim))
    });
    if volume.metadata.deletion_timestamp.is_some() {
        let finalizers = without(&volume.metadata, VOLUME_FINALIZER);
        return match finalizers {
            Some(finalizers) if claim.is_none() => {
                vec![patch_volume(
                    volume,
                    json!({"metadata": {"finalizers": finalizers}}),
                )]
            }
            _ => Vec::new(),
        };
    }
    let Some(reference) = reference else {
        return if phase(volume) == "Available" {
            Vec::new()
        } else {
            vec![volume_phase(volume, "Available", "", version, now)]
        };
    };
    let uid = reference.uid.clone().unwrap_or_default();
    if claim.is_some() || uid.is_empty() {
        // Bound, being bound from the claim's side, or kept for a claim to come.
        return if claim.is_none() && phase(volume) == "Pending" {
            vec![volume_phase(volume, "Available", "", version, now)]
        } else {
            Vec::new()
        };
    }
    let ours = annotation(&volume.metadata, PROVISIONED_BY).is_some();
    let delete = spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete");
    let name = volume.metadata.name.clone().unwrap_or_default();
    match phase(volume) {
        "Released" if delete && !ours => {
            let message = format!(
                "error getting deleter volume plugin for volume {name:?}: no volume plugin matched"
            );
            vec![volume_phase(volume, "Failed", &message, version, now)]
        }
        "Released" | "Failed" => Vec::new(),
        _ => {
            // What is not known here yet must not cost anybody their data.
            let namespace = reference.namespace.unwrap_or_default();
            let name = reference.name.unwrap_or_default();
            let claim = Target {
                uid,
                ..Target::named::<PersistentVolumeClaim>(&namespace, &name)
            };
            vec![
                Action::ConfirmGone(claim),
                volume_phase(volume, "Released", "", version, now),
            ]
        }
    }
}

/// Whether the claim's own side of the binding holds on the volume's.
fn is_of(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    volume
        .spec
        .as_ref()
        .and_then(|s| s.claim_ref.as_ref())
        .is_none_or(|r| refers_to(r, claim))
}

fn free_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    volume.metadata.deletion_timestamp.is_none() && is_of(volume, claim)
}

fn is_named_by(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let reference = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
    volume.metadata.deletion_timestamp.is_none()
        && reference.is_some_and(|r| refers_to(r, claim))
        && mismatch(volume, claim).is_none()
}

fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

fn has(meta: &ObjectMeta, name: &str) -> bool {
    annotation(meta, name).is_some_and(|value| !value.is_empty())
}

/// The finalizers that stay; `None` where this one is not among them.
fn without(meta: &ObjectMeta, finalizer: &str) -> Option<Vec<String>> {
    let all = meta.finalizers.as_ref()?;
    let kept: Vec<String> = all.iter().filter(|f| *f != finalizer).cloned().collect();
    (kept.len() < all.len()).then_some(kept)
}

fn phase(volume: &PersistentVolume) -> &str {
    let status = volume.status.as_ref();
    status.and_then(|s| s.phase.as_deref()).unwrap_or("Pending")
}

fn volume_phase(
    volume: &PersistentVolume,
    phase: &str,
    message: &str,
    resource_version: Option<String>,
    now: Timestamp,
) -> Action {
    let failed = !message.is_empty();
    let (reason, message) = (
        failed.then_some("VolumeFailedDelete"),
        failed.then_some(message),
    );
    Action::Patch {
        target: Target::of::<PersistentVolume>(&volume.metadata),
        part: Some("status"),
        resource_version,
        patch: json!({"status": {"phase": phase, "message": message, "reason": reason,
            "lastPhaseTransitionTime": clock::time(now)}}),
    }
}

fn patch_volume(volume: &PersistentVolume, patch: Value) -> Action {
    Action::Patch {
        target: Target::of::<PersistentVolume>(&volume.metadata),
        part: None,
        resource_version: volume.metadata.resource_version.clone(),
        patch,
    }
}

fn patch_claim(claim: &PersistentVolumeClaim, patch: Value) -> Action {
    Action::Patch {
        target: Target::of::<PersistentVolumeClaim>(&claim.metadata),
        part: None,
        resource_version: claim.metadata.resource_version.clone(),
        patch,
    }
}

fn claim_status(claim: &PersistentVolumeClaim, status: Value) -> Action {
    Action::Patch {
        target: Target::of::<PersistentVolumeClaim>(&claim.metadata),
        part: Some("status"),
        resource_version: None,
        patch: json!({"status": status}),
    }
}

/// Repeats are counted where events are written.
fn tell(
    claim: &PersistentVolumeClaim,
    warning: bool,
    reason: &'static str,
    message: String,
) -> Action {
    let target = Target::of::<PersistentVolumeClaim>(&claim.metadata);
    let kind = if warning { Kind::Warning } else { Kind::Normal };
    Action::tell(&target, kind, reason, message)
}

fn named(name: &str) -> Key {
    (String::new(), name.to_owned())
}

fn volume_named<'a>(world: &'a World, name: &str) -> Option<&'a PersistentVolume> {
    world.volumes.get(&named(name)).map(AsRef::as_ref)
}

/// The newest of the classes marked as default, as upstream chooses.
fn default_class(world: &World) -> Option<&str> {
    let is_default =
        |class: &&StorageClass| annotation(&class.metadata, DEFAULT_CLASS) == Some("true");
    let classes = world.classes.iter().map(AsRef::as_ref);
    classes
        .filter(is_default)
        .max_by_key(|class| class.metadata.creation_timestamp.as_ref().map(|t| t.0))
        .and_then(|class| class.metadata.name.as_deref())
}
