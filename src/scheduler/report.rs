//! What users see of scheduling: the `PodScheduled` condition, the nominated node, and events.

use super::snapshot::{PodInfo, PodKey};
use crate::client::{Client, ClientError, DeleteParams, PatchType};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Event, Pod};
use serde_json::{Value, json};
use std::sync::Arc;

/// Longest event message: upstream's `NoteLengthLimit`, bytes.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Pods asked to go at once, for one that needs their room.
const VICTIMS_AT_ONCE: usize = 8;

/// `PodScheduled=False`, as upstream's scheduler writes it; `nominated`: also where room is made, or that none is.
pub fn condition(message: &str, nominated: Option<Value>, now: &str) -> Value {
    let mut patch = json!({"status": {"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": message, "lastTransitionTime": now
    }]}});
    if let Some(node) = nominated {
        patch["status"]["nominatedNodeName"] = node;
    }
    patch
}

/// What a pod is marked with that has to make room.
/// <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>
fn disruption(now: &str) -> Value {
    json!({"status": {"conditions": [{
        "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
        "message": "default-scheduler: preempting to accommodate a higher priority pod",
        "lastTransitionTime": now
    }]}})
}

/// An event about `pod`; `suffix` makes its name unique.
pub fn event(
    pod: &PodInfo,
    kind: &str,
    reason: &str,
    message: &str,
    now: &str,
    suffix: u64,
) -> Value {
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    // Leaves room for the suffix in the 253 bytes of a name.
    let name: String = pod.name.chars().take(236).collect();
    json!({
        "metadata": {"name": format!("{name}.{suffix:016x}"), "namespace": pod.namespace},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace,
            "name": pod.name, "uid": pod.uid},
        "type": kind, "reason": reason, "message": &message[..end], "count": 1,
        "firstTimestamp": now, "lastTimestamp": now,
        "source": {"component": "default-scheduler"},
        "reportingComponent": "default-scheduler", "reportingInstance": ""
    })
}

async fn patch_status(client: &Client, key: &PodKey, patch: &Value) -> Result<(), ClientError> {
    let (namespace, name) = key;
    client
        .patch::<Pod>(
            Some(namespace),
            name,
            Some("status"),
            PatchType::StrategicMerge,
            patch,
        )
        .await
        .map(drop)
}

/// Tells that the pod fits nowhere. Failing to tell is no failure of scheduling: it is logged.
pub async fn unschedulable(client: &Client, pod: &PodInfo, message: &str, gives_up_room: bool) {
    let nominated = gives_up_room.then_some(Value::Null);
    let patch = condition(message, nominated, &now());
    if let Err(error) = patch_status(client, &pod.key(), &patch).await {
        tracing::debug!(pod = %pod.name, %error, "PodScheduled condition not written");
    }
    post(client, pod, "Warning", "FailedScheduling", message).await;
}

/// Asks the victims to go, and tells that room is made for the pod; `displaced` wait for that node no longer.
pub async fn preempt(
    client: &Client,
    pod: &PodInfo,
    node: &str,
    victims: &[Arc<PodInfo>],
    displaced: &[PodKey],
    message: &str,
) -> Result<(), ClientError> {
    let patch = condition(message, Some(node.into()), &now());
    patch_status(client, &pod.key(), &patch).await?;
    let mut asked = Vec::new();
    for victim in victims {
        asked.push(send_away(client, victim, pod, node));
    }
    let mut asked = futures::stream::iter(asked).buffer_unordered(VICTIMS_AT_ONCE);
    while let Some(result) = asked.next().await {
        result?;
    }
    for key in displaced {
        let patch = json!({"status": {"nominatedNodeName": null}});
        if let Err(error) = patch_status(client, key, &patch).await {
            tracing::debug!(pod = %key.1, %error, "nominated node not taken back");
        }
    }
    post(client, pod, "Warning", "FailedScheduling", message).await;
    Ok(())
}

/// One that is gone already has made room.
async fn send_away(
    client: &Client,
    victim: &PodInfo,
    pod: &PodInfo,
    node: &str,
) -> Result<(), ClientError> {
    let gone = |error: &ClientError| matches!(error.code(), Some(404 | 409));
    match patch_status(client, &victim.key(), &disruption(&now())).await {
        Err(error) if error.code() != Some(404) => return Err(error),
        _ => {}
    }
    let params = DeleteParams {
        precondition_uid: Some(victim.uid.clone()),
        ..DeleteParams::default()
    };
    let deleted = client
        .delete::<Pod>(Some(&victim.namespace), &victim.name, &params)
        .await;
    match deleted {
        Err(error) if gone(&error) => return Ok(()),
        other => other?,
    }
    tracing::info!(
        victim = %format!("{}/{}", victim.namespace, victim.name),
        pod = %format!("{}/{}", pod.namespace, pod.name),
        node,
        "a pod makes room for one of higher priority"
    );
    let message = format!("Preempted by pod {} on node {node}", pod.uid);
    post(client, victim, "Normal", "Preempted", &message).await;
    Ok(())
}

/// Tells where the pod went.
pub async fn scheduled(client: &Client, pod: &PodInfo, node: &str) {
    let message = format!(
        "Successfully assigned {}/{} to {node}",
        pod.namespace, pod.name
    );
    post(client, pod, "Normal", "Scheduled", &message).await;
}

async fn post(client: &Client, pod: &PodInfo, kind: &str, reason: &str, message: &str) {
    let event = event(pod, kind, reason, message, &now(), rand::random());
    let posted = match serde_json::from_value::<Event>(event) {
        Ok(event) => client.create(Some(&pod.namespace), &event).await.map(drop),
        Err(error) => {
            tracing::debug!(%error, "event not made");
            return;
        }
    };
    if let Err(error) = posted {
        tracing::debug!(pod = %pod.name, %error, "event not written");
    }
}

/// RFC 3339 in whole seconds, as `metav1.Time` is written.
fn now() -> String {
    jiff::Timestamp::now()
        .round(jiff::Unit::Second)
        .unwrap_or_default()
        .to_string()
}
