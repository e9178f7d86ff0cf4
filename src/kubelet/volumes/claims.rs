//! The persistent volumes behind a pod's claims.
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#claims-as-volumes>

use crate::client::{Client, ClientError};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use std::collections::BTreeMap;

/// By volume: its persistent volume, or what is to be waited for.
pub type Claims = BTreeMap<String, Result<PersistentVolume, String>>;

/// Looks up every claim of `pod`.
pub async fn resolve(client: &Client, pod: &Pod, node_name: &str) -> Result<Claims, ClientError> {
    let mut claims = Claims::new();
    for volume in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
        let Some(name) = claim_name(pod, volume) else {
            continue;
        };
        let found = look_up(client, pod, volume, &name, node_name).await?;
        claims.insert(volume.name.clone(), found);
    }
    Ok(claims)
}

/// The claim a volume stands for; an ephemeral volume's is named after pod and volume.
pub fn claim_name(pod: &Pod, volume: &Volume) -> Option<String> {
    if let Some(claim) = &volume.persistent_volume_claim {
        return Some(claim.claim_name.clone());
    }
    volume.ephemeral.as_ref()?;
    let pod = pod.metadata.name.as_deref().unwrap_or_default();
    Some(format!("{pod}-{}", volume.name))
}

async fn look_up(
    client: &Client,
    pod: &Pod,
    volume: &Volume,
    name: &str,
    node_name: &str,
) -> Result<Result<PersistentVolume, String>, ClientError> {
    let namespace = pod.metadata.namespace.as_deref();
    let claim = match client.get::<PersistentVolumeClaim>(namespace, name).await {
        Ok(claim) => claim,
        Err(error) if error.is_not_found() => {
            return Ok(Err(format!("persistentvolumeclaim \"{name}\" not found")));
        }
        Err(error) => return Err(error),
    };
    let bound = match usable(pod, volume, &claim) {
        Ok(bound) => bound,
        Err(why) => return Ok(Err(why)),
    };
    let persistent = match client.get::<PersistentVolume>(None, &bound).await {
        Ok(persistent) => persistent,
        Err(error) if error.is_not_found() => {
            return Ok(Err(format!("persistentvolume \"{bound}\" not found")));
        }
        Err(error) => return Err(error),
    };
    Ok(check(persistent, &claim, node_name))
}

/// The volume a claim is bound to; wording of kubelet's `getPVCExtractPV`.
fn usable(pod: &Pod, volume: &Volume, claim: &PersistentVolumeClaim) -> Result<String, String> {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    if volume.ephemeral.is_some() {
        let owners = claim.metadata.owner_references.iter().flatten();
        let owned = owners
            .filter(|owner| owner.controller == Some(true))
            .any(|owner| Some(&owner.uid) == pod.metadata.uid.as_ref());
        if !owned {
            return Err(format!(
                "PVC {name} was not created for the pod (pod is not owner)"
            ));
        }
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err("PVC is being deleted".to_string());
    }
    let spec = claim.spec.clone().unwrap_or_default();
    let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref());
    match spec.volume_name.filter(|v| !v.is_empty()) {
        Some(bound) if phase == Some("Bound") => {
            if spec.volume_mode.as_deref() == Some("Block") {
                return Err(format!(
                    "PVC {name} has volumeMode Block, which this node does not support; use Filesystem"
                ));
            }
            Ok(bound)
        }
        _ => Err(format!("PVC {name} is not bound")),
    }
}

/// Whether the volume is the claim's, and may be used on this node.
fn check(
    persistent: PersistentVolume,
    claim: &PersistentVolumeClaim,
    node_name: &str,
) -> Result<PersistentVolume, String> {
    let name = persistent.metadata.name.clone().unwrap_or_default();
    let spec = persistent.spec.clone().unwrap_or_default();
    let claimed_by = spec.claim_ref.and_then(|reference| reference.uid);
    if claimed_by.is_none() || claimed_by != claim.metadata.uid {
        return Err(format!(
            "PV {name} is bound to another claim than {}",
            claim.metadata.name.as_deref().unwrap_or_default()
        ));
    }
    // The scheduler has held the node's labels against it; the host's name is what no label can be wrong about.
    let terms = spec
        .node_affinity
        .and_then(|a| a.required)
        .map(|r| r.node_selector_terms);
    let elsewhere = terms.is_some_and(|terms| {
        !terms.is_empty()
            && terms.iter().all(|term| {
                term.match_expressions.iter().flatten().any(|e| {
                    e.key == "kubernetes.io/hostname"
                        && e.operator == "In"
                        && !e.values.iter().flatten().any(|v| v == node_name)
                })
            })
    });
    if elsewhere {
        return Err(format!("PV {name} is on another node"));
    }
    Ok(persistent)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_claim_must_be() {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p", "uid": "1"}})).unwrap();
        let named = json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}});
        let ephemeral = json!({"name": "v", "ephemeral": {}});
        let bound = json!({"metadata": {"name": "c"}, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}});
        let mut ending = bound.clone();
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let mut owned = bound.clone();
        owned["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", "controller": true}]);
        for (volume, claim, want) in [
            (&named, bound.clone(), Ok("pv")),
            (
                &named,
                json!({"metadata": {"name": "c"}, "spec": {}}),
                Err("PVC c is not bound"),
            ),
            (&named, ending, Err("PVC is being deleted")),
            (&ephemeral, owned, Ok("pv")),
            (
                &ephemeral,
                bound,
                Err("PVC c was not created for the pod (pod is not owner)"),
            ),
        ] {
            let volume: Volume = serde_json::from_value(volume.clone()).unwrap();
            let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
            let got = usable(&pod, &volume, &claim);
            assert_eq!(got.as_deref().map_err(String::as_str), want);
        }
    }

    #[test]
    fn a_volume_must_be_the_claims_and_here() {
        let claim: PersistentVolumeClaim =
            serde_json::from_value(json!({"metadata": {"name": "c", "uid": "7"}})).unwrap();
        let at = |uid: &str, host: &str| {
            let volume = json!({"metadata": {"name": "pv"}, "spec": {"claimRef": {"uid": uid},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}]}]}}}});
            check(serde_json::from_value(volume).unwrap(), &claim, "here").is_ok()
        };
        assert!(at("7", "here"));
        assert!(!at("7", "there"));
        assert!(!at("8", "here"));
    }
}
