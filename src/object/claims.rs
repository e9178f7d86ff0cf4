//! Which volume a claim may have.

use super::quantity::Quantity;
use super::selector::LabelSelector;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use serde_json::json;

/// Whether `reference` is to this claim. A reference without a uid was written by a person and means the name.
pub fn refers_to(reference: &ObjectReference, claim: &PersistentVolumeClaim) -> bool {
    let meta = &claim.metadata;
    reference.namespace == meta.namespace
        && reference.name == meta.name
        && (reference.uid.as_deref().unwrap_or_default().is_empty() || reference.uid == meta.uid)
}

/// Why a volume cannot serve a claim; upstream's `CheckVolumeModeMismatches` and its neighbours.
pub fn mismatch(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<&'static str> {
    let (Some(has), Some(wants)) = (&volume.spec, &claim.spec) else {
        return Some("incomplete");
    };
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_string());
    if mode(&has.volume_mode) != mode(&wants.volume_mode) {
        return Some("incompatible volumeMode");
    }
    if size(volume) < request(claim) {
        return Some("requested PV is too small");
    }
    let class = |class: &Option<String>| class.clone().unwrap_or_default();
    if class(&has.storage_class_name) != class(&wants.storage_class_name) {
        return Some("storageClassName does not match");
    }
    let modes = has.access_modes.as_deref().unwrap_or_default();
    if wants
        .access_modes
        .iter()
        .flatten()
        .any(|mode| !modes.contains(mode))
    {
        return Some("incompatible accessMode");
    }
    None
}

/// The smallest volume that is free and fits; one that already names the claim comes first.
pub fn choose<'a>(
    volumes: impl Iterator<Item = &'a PersistentVolume> + Clone,
    claim: &PersistentVolumeClaim,
) -> Option<&'a PersistentVolume> {
    let reference = |v: &PersistentVolume| v.spec.as_ref().and_then(|s| s.claim_ref.clone());
    let named = volumes.clone().find(|v| {
        v.metadata.deletion_timestamp.is_none()
            && reference(v).is_some_and(|r| refers_to(&r, claim))
            && mismatch(v, claim).is_none()
    });
    if named.is_some() {
        return named;
    }
    volumes
        .filter(|v| v.metadata.deletion_timestamp.is_none() && reference(v).is_none())
        .filter(|v| mismatch(v, claim).is_none() && selected(v, claim))
        .min_by_key(|v| (size(v), v.metadata.name.clone()))
}

/// Whether the claim's selector takes the volume's labels.
pub fn selected(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let Some(selector) = claim.spec.as_ref().and_then(|s| s.selector.as_ref()) else {
        return true;
    };
    let labels = volume.metadata.labels.clone().unwrap_or_default();
    LabelSelector::from_json(&json!(selector)).is_ok_and(|selector| selector.matches(&labels))
}

fn size(volume: &PersistentVolume) -> i128 {
    let capacity = volume.spec.as_ref().and_then(|s| s.capacity.as_ref());
    nano(capacity.and_then(|c| c.get("storage")))
}

fn request(claim: &PersistentVolumeClaim) -> i128 {
    let resources = claim.spec.as_ref().and_then(|s| s.resources.as_ref());
    nano(
        resources
            .and_then(|r| r.requests.as_ref())
            .and_then(|r| r.get("storage")),
    )
}

fn nano(quantity: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity>) -> i128 {
    quantity
        .and_then(|q| Quantity::parse(&q.0).ok())
        .map_or(0, |q| q.nano)
}
