//! What users see of scheduling: the `PodScheduled` condition and two events.

use super::snapshot::PodInfo;
use crate::client::{Client, PatchType};
use k8s_openapi::api::core::v1::{Event, Pod};
use serde_json::{Value, json};

/// Longest event message: upstream's `NoteLengthLimit`, bytes.
const MESSAGE_BYTES_MAX: usize = 1024;

/// `PodScheduled=False`, as upstream's scheduler writes it.
pub fn condition(message: &str, now: &str) -> Value {
    json!({"status": {"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": message, "lastTransitionTime": now
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

/// Tells that the pod fits nowhere. Failing to tell is no failure of scheduling: it is logged.
pub async fn unschedulable(client: &Client, pod: &PodInfo, message: &str) {
    let patch = condition(message, &now());
    let told = client
        .patch::<Pod>(
            Some(&pod.namespace),
            &pod.name,
            Some("status"),
            PatchType::StrategicMerge,
            &patch,
        )
        .await;
    if let Err(error) = told {
        tracing::debug!(pod = %pod.name, %error, "PodScheduled condition not written");
    }
    post(client, pod, "Warning", "FailedScheduling", message).await;
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
