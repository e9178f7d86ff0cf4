//! What is to be written. Each list is carried out in order and broken off at its first failure.

use super::Action;
use super::snapshot::{Key, Snapshot, key};
use crate::object::claims::{choose, mismatch, refers_to};
use crate::object::storage::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, CLAIM_FINALIZER, NO_PROVISIONER, PROVISIONED_BY,
    SELECTED_NODE, STORAGE_PROVISIONER, VOLUME_FINALIZER,
};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};

pub fn plan(snapshot: &Snapshot) -> Vec<Vec<Action>> {
    let mut all = ephemeral(snapshot);
    // One volume serves one claim, also within a plan.
    let mut taken: Vec<String> = Vec::new();
    for claim in snapshot.claims.values() {
        all.push(of_claim(snapshot, claim, &mut taken));
    }
    for volume in snapshot.volumes.values() {
        let name = volume.metadata.name.as_deref().unwrap_or_default();
        // One that is being bound is written from its claim's side.
        if !taken.iter().any(|taken| taken == name) {
            all.push(of_volume(snapshot, volume));
        }
    }
    all.retain(|steps| !steps.is_empty());
    all
}

/// Claims that pods bring along, and those whose pod is gone.
fn ephemeral(snapshot: &Snapshot) -> Vec<Vec<Action>> {
    let mut all = Vec::new();
    for ((namespace, pod), used) in snapshot.pods.iter().filter(|(_, used)| !used.ending) {
        for (name, template) in &used.templates {
            if snapshot
                .claims
                .contains_key(&(namespace.clone(), name.clone()))
            {
                continue;
            }
            let mut metadata = template.metadata.clone().unwrap_or_default();
            metadata.name = Some(name.clone());
            metadata.namespace = Some(namespace.clone());
            metadata.owner_references = Some(vec![OwnerReference {
                api_version: "v1".to_string(),
                kind: "Pod".to_string(),
                name: pod.clone(),
                uid: used.uid.clone(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]);
            all.push(vec![Action::CreateClaim(Box::new(PersistentVolumeClaim {
                metadata,
                spec: Some(template.spec.clone()),
                status: None,
            }))]);
        }
    }
    for claim in snapshot.claims.values() {
        let owners = claim.metadata.owner_references.iter().flatten();
        let Some(owner) = owners
            .filter(|o| o.kind == "Pod" && o.controller == Some(true))
            .find(|_| claim.metadata.deletion_timestamp.is_none())
        else {
            continue;
        };
        let (namespace, name) = key(&claim.metadata);
        let pod = snapshot.pods.get(&(namespace.clone(), owner.name.clone()));
        if pod.is_none_or(|pod| pod.uid != owner.uid) {
            all.push(vec![Action::DeleteOrphan {
                namespace,
                name,
                uid: claim.metadata.uid.clone().unwrap_or_default(),
                pod: (owner.name.clone(), owner.uid.clone()),
            }]);
        }
    }
    all
}

fn of_claim(
    snapshot: &Snapshot,
    claim: &PersistentVolumeClaim,
    taken: &mut Vec<String>,
) -> Vec<Action> {
    let meta = &claim.metadata;
    if meta.deletion_timestamp.is_some() {
        return unprotect_claim(snapshot, claim);
    }
    let spec = claim.spec.clone().unwrap_or_default();
    let volume_name = spec.volume_name.clone().filter(|name| !name.is_empty());
    if has(meta, BIND_COMPLETED) {
        return match volume_name.as_deref().map(|name| snapshot.volume(name)) {
            Some(Some(volume)) if is_of(volume, claim) => bind(volume, claim),
            _ => lost(claim),
        };
    }
    if let Some(name) = volume_name {
        return match snapshot.volume(&name) {
            Some(volume) if free_for(volume, claim) => match mismatch(volume, claim) {
                None => {
                    taken.push(name);
                    bind(volume, claim)
                }
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
        return match snapshot.default_class() {
            Some(class) => vec![patch_claim(
                claim,
                json!({"spec": {"storageClassName": class}}),
            )],
            None => unclassed(snapshot, claim, taken),
        };
    };
    if class_name.is_empty() {
        return unclassed(snapshot, claim, taken);
    }
    of_class(snapshot, claim, &class_name, taken)
}

fn unclassed(
    snapshot: &Snapshot,
    claim: &PersistentVolumeClaim,
    taken: &mut Vec<String>,
) -> Vec<Action> {
    bind_best(snapshot, claim, taken).unwrap_or_else(|| {
        let message = "no persistent volumes available for this claim and no storage class is set";
        vec![tell(claim, false, "FailedBinding", message.to_string())]
    })
}

fn of_class(
    snapshot: &Snapshot,
    claim: &PersistentVolumeClaim,
    class_name: &str,
    taken: &mut Vec<String>,
) -> Vec<Action> {
    let class = snapshot.class(class_name);
    let delayed =
        class.and_then(|c| c.volume_binding_mode.as_deref()) == Some("WaitForFirstConsumer");
    if delayed {
        // The scheduler has chosen among the volumes and named the claim on it.
        if let Some(volume) = snapshot.volumes.values().find(|v| is_named_by(v, claim)) {
            return bind(volume, claim);
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
    } else if let Some(steps) = bind_best(snapshot, claim, taken) {
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

fn bind_best(
    snapshot: &Snapshot,
    claim: &PersistentVolumeClaim,
    taken: &mut Vec<String>,
) -> Option<Vec<Action>> {
    let free = snapshot.volumes.values().filter(|v| {
        let name = v.metadata.name.as_deref().unwrap_or_default();
        !taken.iter().any(|taken| taken == name)
    });
    let volume = choose(free, claim)?;
    taken.push(volume.metadata.name.clone().unwrap_or_default());
    Some(bind(volume, claim))
}

/// All that is still missing for the two to be bound to each other.
fn bind(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Vec<Action> {
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
        steps.push(volume_phase(volume, "Bound", ""));
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

fn unprotect_claim(snapshot: &Snapshot, claim: &PersistentVolumeClaim) -> Vec<Action> {
    let (namespace, name) = key(&claim.metadata);
    let used = snapshot
        .pods
        .iter()
        .any(|((space, _), pod)| *space == namespace && pod.uses && pod.claims.contains(&name));
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

fn of_volume(snapshot: &Snapshot, volume: &PersistentVolume) -> Vec<Action> {
    let spec = volume.spec.clone().unwrap_or_default();
    let reference = spec.claim_ref.clone();
    let claim = reference.as_ref().and_then(|r| {
        let key: Key = (
            r.namespace.clone().unwrap_or_default(),
            r.name.clone().unwrap_or_default(),
        );
        snapshot
            .claims
            .get(&key)
            .filter(|claim| refers_to(r, claim))
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
            vec![volume_phase(volume, "Available", "")]
        };
    };
    let uid = reference.uid.clone().unwrap_or_default();
    if claim.is_some() || uid.is_empty() {
        // Bound, being bound from the claim's side, or kept for a claim to come.
        return if claim.is_none() && phase(volume) == "Pending" {
            vec![volume_phase(volume, "Available", "")]
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
            vec![volume_phase(volume, "Failed", &message)]
        }
        "Released" | "Failed" => Vec::new(),
        _ => vec![Action::Release {
            volume: name,
            claim: (
                reference.namespace.unwrap_or_default(),
                reference.name.unwrap_or_default(),
                uid,
            ),
            patch: phase_patch("Released", ""),
        }],
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

fn phase_patch(phase: &str, message: &str) -> Value {
    let reason = if message.is_empty() {
        Value::Null
    } else {
        json!("VolumeFailedDelete")
    };
    let message = if message.is_empty() {
        Value::Null
    } else {
        json!(message)
    };
    json!({"status": {"phase": phase, "message": message, "reason": reason}})
}

fn volume_phase(volume: &PersistentVolume, phase: &str, message: &str) -> Action {
    Action::PatchVolume {
        name: volume.metadata.name.clone().unwrap_or_default(),
        status: true,
        patch: phase_patch(phase, message),
    }
}

fn patch_volume(volume: &PersistentVolume, mut patch: Value) -> Action {
    patch["metadata"]["resourceVersion"] = json!(volume.metadata.resource_version);
    Action::PatchVolume {
        name: volume.metadata.name.clone().unwrap_or_default(),
        status: false,
        patch,
    }
}

fn patch_claim(claim: &PersistentVolumeClaim, mut patch: Value) -> Action {
    patch["metadata"]["resourceVersion"] = json!(claim.metadata.resource_version);
    let (namespace, name) = key(&claim.metadata);
    Action::PatchClaim {
        namespace,
        name,
        status: false,
        patch,
    }
}

fn claim_status(claim: &PersistentVolumeClaim, status: Value) -> Action {
    let (namespace, name) = key(&claim.metadata);
    Action::PatchClaim {
        namespace,
        name,
        status: true,
        patch: json!({"status": status}),
    }
}

fn tell(
    claim: &PersistentVolumeClaim,
    warning: bool,
    reason: &'static str,
    message: String,
) -> Action {
    let (namespace, name) = key(&claim.metadata);
    Action::Tell {
        namespace,
        name,
        uid: claim.metadata.uid.clone().unwrap_or_default(),
        warning,
        reason,
        message,
    }
}
