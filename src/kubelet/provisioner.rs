//! Volumes of the class `local-path`: directories on this node's disk, made for claims and removed after them.
//!
//! What comes in: claims for which the scheduler chose this node, and volumes that were made here and are released.
//! What goes out: directories below the node's data directory, and the PersistentVolumes that stand for them.
//! A volume's directory goes before its object does; a directory is never removed by what the object says alone, but
//! only where it is one of ours.

use super::Context;
use crate::client::informer::{Event, Scope, informer};
use crate::client::{ClientError, DeleteParams, PatchType};
use crate::object::storage::{
    LOCAL_PATH_PROVISIONER, PROVISIONED_BY, SELECTED_NODE, STORAGE_PROVISIONER,
};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between tries after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// As k3s makes them: whoever the pod runs as may write.
const MODE: u32 = 0o777;
const HOST_LABEL: &str = "kubernetes.io/hostname";
/// A file name's bound on Linux.
const NAME_BYTES_MAX: usize = 255;

/// What waits to be done, by the object it is about. Bounded by the claims and volumes of this node.
#[derive(Debug, Clone)]
enum Work {
    Make(Box<PersistentVolumeClaim>),
    Remove(Box<PersistentVolume>),
}

/// Runs until `stop`; `root` is where the directories are.
pub async fn run(ctx: Arc<Context>, root: PathBuf, stop: CancellationToken) {
    let mut claims = informer::<PersistentVolumeClaim>(&ctx.client, Scope::default());
    let mut volumes = informer::<PersistentVolume>(&ctx.client, Scope::default());
    let mut waiting: BTreeMap<String, Work> = BTreeMap::new();
    let mut retry: Option<Instant> = None;
    loop {
        let wake = retry.unwrap_or_else(Instant::now);
        tokio::select! {
            () = stop.cancelled() => return,
            Some(event) = claims.next() => for claim in present(event) {
                if is_wanted(&claim, &ctx.node_name) {
                    let key = claim.metadata.uid.clone().unwrap_or_default();
                    waiting.insert(key, Work::Make(Box::new(claim)));
                }
            },
            Some(event) = volumes.next() => for volume in present(event) {
                if is_released(&volume, &ctx.node_name) {
                    let key = volume.metadata.name.clone().unwrap_or_default();
                    waiting.insert(key, Work::Remove(Box::new(volume)));
                }
            },
            () = tokio::time::sleep_until(wake), if retry.is_some() => {}
        }
        retry = None;
        for (key, work) in std::mem::take(&mut waiting) {
            let Some(done) = stop.run_until_cancelled(act(&ctx, &root, &work)).await else {
                return;
            };
            if let Err(error) = done {
                tracing::warn!(
                    volume = key,
                    error,
                    "local volume not made or removed; trying again"
                );
                waiting.insert(key, work);
                retry = Some(Instant::now() + RETRY);
            }
        }
    }
}

fn present<K>(event: Event<K>) -> Vec<K> {
    match event {
        Event::Restarted(list) => list,
        Event::Applied(object) => vec![object],
        Event::Deleted(_) => Vec::new(),
    }
}

fn is_wanted(claim: &PersistentVolumeClaim, node_name: &str) -> bool {
    let annotations = claim.metadata.annotations.as_ref();
    let is = |name: &str, value: &str| {
        annotations
            .and_then(|a| a.get(name))
            .is_some_and(|v| v == value)
    };
    let volume = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref());
    is(SELECTED_NODE, node_name)
        && is(STORAGE_PROVISIONER, LOCAL_PATH_PROVISIONER)
        && claim.metadata.deletion_timestamp.is_none()
        && volume.unwrap_or_default().is_empty()
}

fn is_released(volume: &PersistentVolume, node_name: &str) -> bool {
    let annotations = volume.metadata.annotations.as_ref();
    let ours = annotations
        .and_then(|a| a.get(PROVISIONED_BY))
        .is_some_and(|v| v == LOCAL_PATH_PROVISIONER);
    let phase = volume.status.as_ref().and_then(|s| s.phase.as_deref());
    let spec = volume.spec.as_ref();
    let delete = spec.and_then(|s| s.persistent_volume_reclaim_policy.as_deref()) == Some("Delete");
    ours && delete && phase == Some("Released") && host_of(volume) == Some(node_name)
}

/// The node a volume of ours is on.
fn host_of(volume: &PersistentVolume) -> Option<&str> {
    let affinity = volume
        .spec
        .as_ref()?
        .node_affinity
        .as_ref()?
        .required
        .as_ref()?;
    let expression = affinity
        .node_selector_terms
        .first()?
        .match_expressions
        .as_ref()?
        .first()?;
    (expression.key == HOST_LABEL)
        .then(|| expression.values.as_ref()?.first().map(String::as_str))
        .flatten()
}

async fn act(ctx: &Context, root: &Path, work: &Work) -> Result<(), String> {
    match work {
        Work::Make(claim) => make(ctx, root, claim).await,
        Work::Remove(volume) => remove(ctx, root, volume).await,
    }
}

async fn make(ctx: &Context, root: &Path, claim: &PersistentVolumeClaim) -> Result<(), String> {
    let spec = claim.spec.clone().unwrap_or_default();
    let class_name = spec.storage_class_name.clone().unwrap_or_default();
    if let Err(why) = supported(claim) {
        // Somebody has to change the claim; that is news of its own.
        refuse(ctx, claim, &why).await;
        return Ok(());
    }
    let class = match ctx.client.get::<StorageClass>(None, &class_name).await {
        Ok(class) => class,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let directory = root.join(directory_name(claim));
    let made = directory.clone();
    let result = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&made)?;
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(MODE))
    });
    result
        .await
        .map_err(|e| e.to_string())?
        .map_err(|e| format!("cannot create {}: {e}", directory.display()))?;
    let volume = volume(claim, &class, &directory, &ctx.node_name);
    let volume: PersistentVolume = serde_json::from_value(volume).map_err(|e| e.to_string())?;
    match ctx.client.create(None, &volume).await {
        Ok(_) => Ok(()),
        // Made before, by this node: the claim is being bound to it.
        Err(error) if error.code() == Some(409) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// A directory is on one node: what several nodes are to share cannot be there.
fn supported(claim: &PersistentVolumeClaim) -> Result<(), String> {
    let spec = claim.spec.clone().unwrap_or_default();
    for mode in spec.access_modes.iter().flatten() {
        if !matches!(mode.as_str(), "ReadWriteOnce" | "ReadWriteOncePod") {
            return Err(format!(
                "a volume on a node's disk supports ReadWriteOnce and ReadWriteOncePod only, not {mode}"
            ));
        }
    }
    if spec.selector.is_some() {
        return Err("claim.spec.selector is not supported for dynamic provisioning".to_string());
    }
    Ok(())
}

/// Says so on the claim and gives the choice of the node back.
async fn refuse(ctx: &Context, claim: &PersistentVolumeClaim, why: &str) {
    let class = claim
        .spec
        .as_ref()
        .and_then(|s| s.storage_class_name.as_deref());
    let message = format!(
        "failed to provision volume with StorageClass {:?}: {why}",
        class.unwrap_or_default()
    );
    let meta = &claim.metadata;
    let (namespace, name) = (
        meta.namespace.as_deref(),
        meta.name.as_deref().unwrap_or_default(),
    );
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let start: String = name.chars().take(236).collect();
    let event = json!({
        "metadata": {"name": format!("{start}.{:016x}", rand::random::<u64>()), "namespace": namespace},
        "involvedObject": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace,
            "name": name, "uid": meta.uid},
        "type": "Warning", "reason": "ProvisioningFailed", "message": message, "count": 1,
        "firstTimestamp": now, "lastTimestamp": now, "source": {"component": LOCAL_PATH_PROVISIONER},
        "reportingComponent": LOCAL_PATH_PROVISIONER, "reportingInstance": ctx.node_name,
    });
    let told = match serde_json::from_value::<k8s_openapi::api::core::v1::Event>(event) {
        Ok(event) => ctx.client.create(namespace, &event).await.map(drop),
        Err(error) => Err(ClientError::Request(error.to_string())),
    };
    if let Err(error) = told {
        tracing::debug!(claim = name, %error, "an event about a claim was not written");
    }
    tracing::info!(claim = name, "{message}");
}

fn directory_name(claim: &PersistentVolumeClaim) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let meta = &claim.metadata;
    let name = format!(
        "pvc-{}_{}_{}",
        text(&meta.uid),
        text(&meta.namespace),
        text(&meta.name)
    );
    // Names of the API are ASCII.
    name.chars().take(NAME_BYTES_MAX).collect()
}

fn volume(
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    directory: &Path,
    node_name: &str,
) -> Value {
    let meta = &claim.metadata;
    let spec = claim.spec.clone().unwrap_or_default();
    let requests = spec.resources.and_then(|r| r.requests).unwrap_or_default();
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {
            "name": format!("pvc-{}", meta.uid.as_deref().unwrap_or_default()),
            "annotations": {PROVISIONED_BY: LOCAL_PATH_PROVISIONER},
        },
        "spec": {
            "capacity": {"storage": requests.get("storage")},
            "accessModes": spec.access_modes,
            "storageClassName": spec.storage_class_name,
            "persistentVolumeReclaimPolicy": class.reclaim_policy,
            "volumeMode": "Filesystem",
            "hostPath": {"path": directory, "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": HOST_LABEL, "operator": "In", "values": [node_name]}]}]}},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": meta.namespace, "name": meta.name, "uid": meta.uid},
        },
    })
}

async fn remove(ctx: &Context, root: &Path, volume: &PersistentVolume) -> Result<(), String> {
    let name = volume.metadata.name.clone().unwrap_or_default();
    let path = volume
        .spec
        .as_ref()
        .and_then(|s| s.host_path.as_ref())
        .map(|h| PathBuf::from(&h.path))
        .unwrap_or_default();
    if !is_own(root, &path, &name) {
        let message = format!(
            "{} is no directory this node made for a volume",
            path.display()
        );
        let patch = json!({"status": {"phase": "Failed", "reason": "VolumeFailedDelete", "message": message}});
        let failed = ctx
            .client
            .patch::<PersistentVolume>(None, &name, Some("status"), PatchType::Merge, &patch)
            .await;
        return failed.map(drop).map_err(|e| e.to_string());
    }
    let removed = tokio::task::spawn_blocking(move || super::volumes::remove_tree(&path));
    removed
        .await
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())?;
    let params = DeleteParams {
        precondition_uid: volume.metadata.uid.clone(),
        ..DeleteParams::default()
    };
    match ctx
        .client
        .delete::<PersistentVolume>(None, &name, &params)
        .await
    {
        Err(error) if !error.is_not_found() => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// Directly below `root`, and named after the volume.
fn is_own(root: &Path, path: &Path, volume: &str) -> bool {
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    path.parent() == Some(root) && !volume.is_empty() && name.starts_with(&format!("{volume}_"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn claim(change: &Value) -> PersistentVolumeClaim {
        let mut claim = json!({"metadata": {"name": "c", "namespace": "n", "uid": "u", "annotations": {
            SELECTED_NODE: "here", STORAGE_PROVISIONER: LOCAL_PATH_PROVISIONER}},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "local-path",
                "resources": {"requests": {"storage": "1Gi"}}}});
        json_patch::merge(&mut claim, change);
        serde_json::from_value(claim).unwrap()
    }

    #[test]
    fn which_claims_are_ours() {
        assert!(is_wanted(&claim(&json!({})), "here"));
        assert!(!is_wanted(&claim(&json!({})), "there"));
        assert!(!is_wanted(
            &claim(&json!({"spec": {"volumeName": "v"}})),
            "here"
        ));
        assert!(supported(&claim(&json!({}))).is_ok());
        assert!(supported(&claim(&json!({"spec": {"accessModes": ["ReadWriteMany"]}}))).is_err());
        assert!(supported(&claim(&json!({"spec": {"selector": {}}}))).is_err());
    }

    #[test]
    fn a_volume_is_made_and_known_again() {
        let root = Path::new("/data/storage");
        let claim = claim(&json!({}));
        let directory = root.join(directory_name(&claim));
        let class = StorageClass {
            reclaim_policy: Some("Delete".to_string()),
            ..StorageClass::default()
        };
        let mut made = volume(&claim, &class, &directory, "here");
        made["status"] = json!({"phase": "Released"});
        let made: PersistentVolume = serde_json::from_value(made).unwrap();
        assert!(is_released(&made, "here"));
        assert!(!is_released(&made, "there"));
        let path = PathBuf::from(&made.spec.as_ref().unwrap().host_path.as_ref().unwrap().path);
        assert!(is_own(root, &path, "pvc-u"));
        for (path, name) in [
            ("/data/storage/pvc-u_n_c", "pvc-w"),
            ("/data/storage/../pvc-u_n_c", "pvc-u"),
            ("/etc", "pvc-u"),
            ("/data/storage", ""),
        ] {
            assert!(!is_own(root, Path::new(path), name), "{path}");
        }
    }
}
