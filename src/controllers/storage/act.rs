//! Carrying a plan out.

use super::Action;
use crate::client::{Client, ClientError, DeleteParams, PatchType};
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The steps in order; a conflict ends them, and the news that made it brings a new plan.
pub async fn carry_out(
    client: &Client,
    steps: Vec<Action>,
    told: &mut BTreeSet<(String, &'static str)>,
) -> Result<(), ClientError> {
    for step in steps {
        match act(client, step, told).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) if error.is_conflict() || error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// False where the rest of the plan does not hold any more.
async fn act(
    client: &Client,
    step: Action,
    told: &mut BTreeSet<(String, &'static str)>,
) -> Result<bool, ClientError> {
    let merge = PatchType::Merge;
    match step {
        Action::PatchVolume {
            name,
            status,
            patch,
        } => patch_volume(client, &name, status, patch).await?,
        Action::PatchClaim {
            namespace,
            name,
            status,
            patch,
        } => {
            let part = status.then_some("status");
            client
                .patch::<PersistentVolumeClaim>(Some(&namespace), &name, part, merge, &patch)
                .await?;
        }
        Action::Release {
            volume,
            claim: (namespace, name, uid),
            patch,
        } => {
            // What this node's snapshot does not know yet must not cost anybody their data.
            let found = client
                .get::<PersistentVolumeClaim>(Some(&namespace), &name)
                .await;
            match found {
                Ok(claim) if claim.metadata.uid.as_deref() == Some(&uid) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
            patch_volume(client, &volume, true, patch).await?;
        }
        Action::CreateClaim(claim) => {
            let namespace = claim.metadata.namespace.clone();
            client.create(namespace.as_deref(), claim.as_ref()).await?;
        }
        Action::DeleteOrphan {
            namespace,
            name,
            uid,
            pod: (pod, pod_uid),
        } => {
            match client.get::<Pod>(Some(&namespace), &pod).await {
                Ok(found) if found.metadata.uid.as_deref() == Some(&pod_uid) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
            let params = DeleteParams {
                precondition_uid: Some(uid),
                ..DeleteParams::default()
            };
            client
                .delete::<PersistentVolumeClaim>(Some(&namespace), &name, &params)
                .await?;
        }
        Action::Tell {
            namespace,
            name,
            uid,
            warning,
            reason,
            message,
        } => {
            if told.insert((uid.clone(), reason)) {
                let event = event(&namespace, &name, &uid, warning, reason, &message);
                tell(client, &namespace, &event).await;
            }
        }
    }
    Ok(true)
}

async fn patch_volume(
    client: &Client,
    name: &str,
    status: bool,
    mut patch: Value,
) -> Result<(), ClientError> {
    if status {
        patch["status"]["lastPhaseTransitionTime"] = json!(now());
    }
    let part = status.then_some("status");
    client
        .patch::<PersistentVolume>(None, name, part, PatchType::Merge, &patch)
        .await
        .map(drop)
}

fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

fn event(
    namespace: &str,
    name: &str,
    uid: &str,
    warning: bool,
    reason: &str,
    message: &str,
) -> Value {
    let now = now();
    // Leaves room for the suffix in the 253 bytes of a name.
    let start: String = name.chars().take(236).collect();
    json!({
        "metadata": {"name": format!("{start}.{:016x}", rand::random::<u64>()), "namespace": namespace},
        "involvedObject": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace,
            "name": name, "uid": uid},
        "type": if warning { "Warning" } else { "Normal" }, "reason": reason, "message": message,
        "count": 1, "firstTimestamp": now, "lastTimestamp": now,
        "source": {"component": "persistentvolume-controller"},
        "reportingComponent": "persistentvolume-controller", "reportingInstance": "",
    })
}

/// Failing to tell is no failure of binding: it is logged.
async fn tell(client: &Client, namespace: &str, event: &Value) {
    let event: Event = match serde_json::from_value(event.clone()) {
        Ok(event) => event,
        Err(error) => {
            tracing::warn!(%error, "an event about a claim cannot be made");
            return;
        }
    };
    if let Err(error) = client.create(Some(namespace), &event).await {
        tracing::debug!(%error, "an event about a claim was not written");
    }
}
