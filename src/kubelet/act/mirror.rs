//! A static pod's mirror: made, kept like its pod, and removed with it.

use crate::client::{ClientError, DeleteParams, PatchType};
use crate::kubelet::pod::patch::status_patch;
use crate::kubelet::pod::status::pod_status;
use crate::kubelet::static_pods::{full_name, mirror};
use crate::kubelet::worker::{RETRY_MS, Worker};
use k8s_openapi::api::core::v1::{Node, Pod};
use std::sync::Arc;

impl Worker {
    /// Brings the mirror in line with the pod: absent, it is made; another content's or on its way out, it is
    /// replaced; else it shows the pod's status.
    pub(in crate::kubelet) async fn report_to_mirror(&mut self, now_ms: i64) {
        let Some(known) = self.mirror.clone() else {
            return;
        };
        // Conditions that others set, and the version looked at, are the mirror's.
        let mut shown = Pod::clone(&self.pod);
        if let Some(pod) = &known.pod {
            shown.metadata.generation = pod.metadata.generation;
            shown.status.clone_from(&pod.status);
        }
        let desired = pod_status(&shown, &self.state, &self.ctx.facts.ip, now_ms);
        if self.pod.status.as_ref() != Some(&desired) {
            Arc::make_mut(&mut self.pod).status = Some(desired.clone());
            self.publish();
        }
        if !known.listed {
            return;
        }
        let (namespace, name) = full_name(&self.pod);
        let client = self.ctx.client.clone();
        let result = match &known.pod {
            None => self.make_mirror(&namespace).await,
            Some(pod) if !mirror::shows(pod, &self.pod) => {
                // Its successor is made when the watch tells that it is gone.
                delete(&client, pod).await
            }
            Some(pod) if pod.status.as_ref() == Some(&desired) => return,
            Some(pod) => client
                .patch::<Pod>(
                    Some(&namespace),
                    &name,
                    Some("status"),
                    PatchType::StrategicMerge,
                    &status_patch(pod, &desired),
                )
                .await
                .map(drop),
        };
        match result {
            // The watch tells what came of it, or that it was gone.
            Ok(())
            | Err(ClientError::Status {
                code: 404 | 409, ..
            }) => {}
            Err(error) => {
                tracing::warn!(pod = %self.name(), %error, "mirror pod not written; trying again");
                self.report_retry_ms = Some(now_ms + RETRY_MS);
            }
        }
    }

    async fn make_mirror(&self, namespace: &str) -> Result<(), ClientError> {
        let client = &self.ctx.client;
        let node: Node = client.get(None, &self.ctx.node_name).await?;
        let uid = node.metadata.uid.unwrap_or_default();
        let mirror = mirror::of(&self.pod, &self.ctx.node_name, &uid);
        client.create(Some(namespace), &mirror).await.map(drop)
    }

    /// The pod is off the node. What cannot be removed now is found when the API is listed next.
    pub(in crate::kubelet) async fn remove_mirror(&mut self) {
        let Some(pod) = self.mirror.take().and_then(|known| known.pod) else {
            return;
        };
        if let Err(error) = delete(&self.ctx.client, &pod).await {
            tracing::debug!(pod = %self.name(), %error, "mirror pod not removed");
        }
    }
}

async fn delete(client: &crate::client::Client, pod: &Pod) -> Result<(), ClientError> {
    let (namespace, name) = full_name(pod);
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        precondition_uid: pod.metadata.uid.clone(),
        precondition_resource_version: None,
    };
    client.delete::<Pod>(Some(&namespace), &name, &params).await
}
