//! The Node object of this machine: registered once, written again only when something changed.
//!
//! There are no heartbeats here (they would wear the disk); a node's liveness is the cluster's soft state.

use super::events::{Kind, Recorder};
use super::eviction::Pressure;
use super::machine::Fixed;
use super::pod::status::time;
use crate::client::{Client, ClientError, PatchType};
use crate::image::Images;
use k8s_openapi::api::core::v1::{
    ContainerImage, Node, NodeAddress, NodeCondition, NodeFeatures, NodeSpec, NodeStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Images reported, largest first (upstream's `nodeStatusMaxImages`).
const IMAGES_MAX: usize = 50;
/// Names reported per image (upstream's `MaxNamesPerImageInNodeStatus`).
const IMAGE_NAMES_MAX: usize = 5;
/// How often the machine, and what others have made of its object, is looked at for a change: a node that comes back
/// after it was thought lost says so this soon (upstream's `nodeStatusUpdateFrequency`).
const LOOK: Duration = Duration::from_secs(10);
/// Wait after a failed write.
const RETRY: Duration = Duration::from_secs(2);

/// The node's status. Transition times are kept from `old` where the condition did not change. Pure.
pub fn node_status(
    fixed: &Fixed,
    pressure: Pressure,
    images: &[crate::image::Image],
    old: &NodeStatus,
    now_ms: i64,
) -> NodeStatus {
    let quantity = |v: i64| Quantity(v.to_string());
    let amounts = |cpu_milli: i64, memory: i64, disk: i64| -> BTreeMap<String, Quantity> {
        let cpu = if cpu_milli % 1000 == 0 {
            quantity(cpu_milli / 1000)
        } else {
            Quantity(format!("{cpu_milli}m"))
        };
        let huge = fixed.huge_pages.iter();
        let mut amounts: BTreeMap<String, Quantity> = huge
            .map(|(name, bytes)| (name.clone(), quantity(*bytes)))
            .collect();
        amounts.extend([
            ("cpu".to_string(), cpu),
            (
                "memory".to_string(),
                Quantity(format!("{}Ki", memory / 1024)),
            ),
            ("ephemeral-storage".to_string(), quantity(disk)),
            ("pods".to_string(), Quantity(fixed.pods_max.to_string())),
        ]);
        amounts
    };
    let facts = fixed.facts();
    let address = |kind: &str, address: &str| NodeAddress {
        type_: kind.to_string(),
        address: address.to_string(),
    };
    NodeStatus {
        capacity: Some(amounts(
            fixed.cpu_milli,
            fixed.memory_bytes,
            fixed.disk_bytes,
        )),
        allocatable: Some(amounts(
            facts.cpu_milli,
            facts.memory_bytes,
            facts.ephemeral_storage_bytes,
        )),
        addresses: Some(vec![
            address("InternalIP", &fixed.ip),
            address("Hostname", &fixed.name),
        ]),
        node_info: Some(fixed.info.clone()),
        images: Some(image_list(images)),
        conditions: Some(conditions(pressure, old, now_ms)),
        features: Some(NodeFeatures {
            supplemental_groups_policy: Some(true),
        }),
        ..old.clone()
    }
}

fn image_list(images: &[crate::image::Image]) -> Vec<ContainerImage> {
    let mut list: Vec<ContainerImage> = images
        .iter()
        .map(|image| ContainerImage {
            names: Some(
                image
                    .digests
                    .iter()
                    .chain(&image.tags)
                    .take(IMAGE_NAMES_MAX)
                    .cloned()
                    .collect(),
            ),
            size_bytes: Some(i64::try_from(image.size_bytes).unwrap_or(i64::MAX)),
        })
        .collect();
    list.sort_by(|a, b| {
        b.size_bytes
            .cmp(&a.size_bytes)
            .then_with(|| a.names.cmp(&b.names))
    });
    list.truncate(IMAGES_MAX);
    list
}

fn conditions(pressure: Pressure, old: &NodeStatus, now_ms: i64) -> Vec<NodeCondition> {
    let mut list = old.conditions.clone().unwrap_or_default();
    let row = |holds: bool, yes: (&'static str, &'static str), no: (&'static str, &'static str)| {
        let (reason, message) = if holds { yes } else { no };
        (holds, reason, message)
    };
    for (kind, (holds, reason, message)) in [
        (
            "MemoryPressure",
            row(
                pressure.memory,
                (
                    "KubeletHasInsufficientMemory",
                    "kubelet has insufficient memory available",
                ),
                (
                    "KubeletHasSufficientMemory",
                    "kubelet has sufficient memory available",
                ),
            ),
        ),
        (
            "DiskPressure",
            row(
                pressure.disk,
                ("KubeletHasDiskPressure", "kubelet has disk pressure"),
                ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ),
        ),
        (
            "PIDPressure",
            row(
                pressure.pids,
                (
                    "KubeletHasInsufficientPID",
                    "kubelet has insufficient PID available",
                ),
                (
                    "KubeletHasSufficientPID",
                    "kubelet has sufficient PID available",
                ),
            ),
        ),
        (
            "Ready",
            (true, "KubeletReady", "kubelet is posting ready status"),
        ),
    ] {
        let status = if holds { "True" } else { "False" };
        let at = list.iter().position(|c| c.type_ == kind);
        let kept = at.map(|i| &list[i]).filter(|c| c.status == status);
        let condition = NodeCondition {
            type_: kind.to_string(),
            status: status.to_string(),
            reason: Some(reason.to_string()),
            message: Some(message.to_string()),
            last_transition_time: kept
                .and_then(|c| c.last_transition_time.clone())
                .or_else(|| Some(time(now_ms))),
            last_heartbeat_time: kept
                .and_then(|c| c.last_heartbeat_time.clone())
                .or_else(|| Some(time(now_ms))),
        };
        match at {
            Some(i) => list[i] = condition,
            None => list.push(condition),
        }
    }
    list
}

/// Registers the node and keeps its object true until `stop`. The object is read again at every look: reading costs
/// the disk nothing, and what others changed in it is seen.
pub async fn run(
    client: Client,
    fixed: Arc<Fixed>,
    images: Arc<Images>,
    pressure: tokio::sync::watch::Receiver<Pressure>,
    recorder: Recorder,
    changed: Arc<tokio::sync::Notify>,
    stop: CancellationToken,
) {
    let mut is_first = true;
    loop {
        let look = async {
            let pressure = *pressure.borrow();
            keep(&client, &fixed, pressure, &images.list()).await
        };
        let Some(kept) = stop.run_until_cancelled(look).await else {
            return;
        };
        let wait = match kept {
            Ok(node) => {
                if std::mem::take(&mut is_first) {
                    recorder.node(
                        &node,
                        Kind::Normal,
                        "Starting",
                        "Starting kubelet.".to_string(),
                    );
                }
                LOOK
            }
            Err(error) => {
                tracing::warn!(node = fixed.name, %error, "node object not written; trying again");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn keep(
    client: &Client,
    fixed: &Fixed,
    pressure: Pressure,
    images: &[crate::image::Image],
) -> Result<Node, ClientError> {
    let node = register(client, fixed).await?;
    let old = node.status.clone().unwrap_or_default();
    let new = node_status(fixed, pressure, images, &old, super::now_ms());
    if new == old {
        return Ok(node);
    }
    let patch = serde_json::json!({"status": new});
    client
        .patch(None, &fixed.name, Some("status"), PatchType::Merge, &patch)
        .await
}

/// Finds the node's object or creates it; labels and address range are set where they are not yet.
async fn register(client: &Client, fixed: &Fixed) -> Result<Node, ClientError> {
    let cidrs = vec![fixed.pod_cidr.clone()];
    match client.get::<Node>(None, &fixed.name).await {
        Ok(node) => {
            let labels = node.metadata.labels.clone().unwrap_or_default();
            let labelled = fixed.labels().iter().all(|(k, v)| labels.get(k) == Some(v));
            let ranged =
                node.spec.as_ref().and_then(|s| s.pod_cidr.as_ref()) == Some(&fixed.pod_cidr);
            if labelled && ranged {
                return Ok(node);
            }
            let patch = serde_json::json!({
                "metadata": {"labels": fixed.labels()},
                "spec": {"podCIDR": fixed.pod_cidr, "podCIDRs": cidrs},
            });
            client
                .patch(None, &fixed.name, None, PatchType::Merge, &patch)
                .await
        }
        Err(ClientError::Status { code: 404, .. }) => {
            let node = Node {
                metadata: ObjectMeta {
                    name: Some(fixed.name.clone()),
                    labels: Some(fixed.labels()),
                    ..ObjectMeta::default()
                },
                spec: Some(NodeSpec {
                    pod_cidr: Some(fixed.pod_cidr.clone()),
                    pod_cidrs: Some(cidrs),
                    ..NodeSpec::default()
                }),
                status: None,
            };
            client.create(None, &node).await
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::kubelet::eviction::{Flags, Settings};
    use std::path::Path;

    fn fixed() -> Fixed {
        let profile = crate::profile::named("pi-4").unwrap();
        let settings = Settings::new(&profile, &Flags::default()).unwrap();
        let at = Path::new("/");
        Fixed::read("n", "10.0.0.1", "10.42.0.0/24", 30, at, Arc::new(settings))
    }

    #[test]
    fn unchanged_machine_means_unchanged_status() {
        let fixed = fixed();
        let calm = Pressure::default();
        let first = node_status(&fixed, calm, &[], &NodeStatus::default(), 1_000_000);
        let second = node_status(&fixed, calm, &[], &first, 9_000_000);
        assert_eq!(first, second);
        let pressed = Pressure {
            memory: true,
            ..calm
        };
        let third = node_status(&fixed, pressed, &[], &second, 9_000_000);
        let of = |s: &NodeStatus, kind: &str| {
            s.conditions
                .clone()
                .unwrap()
                .into_iter()
                .find(|c| c.type_ == kind)
                .unwrap()
        };
        assert_eq!(of(&third, "MemoryPressure").status, "True");
        assert_eq!(
            of(&third, "MemoryPressure").last_transition_time,
            Some(time(9_000_000))
        );
        assert_eq!(of(&third, "Ready"), of(&first, "Ready"));
    }

    /// An API server that holds one object and counts what is written.
    #[derive(Clone, Default)]
    struct OneNode {
        object: Arc<std::sync::Mutex<Option<serde_json::Value>>>,
        writes: Arc<std::sync::Mutex<Vec<String>>>,
    }

    impl crate::client::Door for OneNode {
        fn call(
            &self,
            request: http::Request<axum::body::Body>,
        ) -> futures::future::BoxFuture<
            'static,
            Result<http::Response<axum::body::Body>, ClientError>,
        > {
            let this = self.clone();
            Box::pin(async move {
                let (parts, body) = request.into_parts();
                let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let mut object = this.object.lock().unwrap();
                if parts.method != http::Method::GET {
                    this.writes.lock().unwrap().push(format!(
                        "{} {}",
                        parts.method,
                        parts.uri.path()
                    ));
                    let sent: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                    json_patch::merge(object.get_or_insert_with(|| serde_json::json!({})), &sent);
                }
                let (code, answer) = match &*object {
                    Some(node) => (200, node.clone()),
                    None => (
                        404,
                        serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}),
                    ),
                };
                let mut response = http::Response::new(axum::body::Body::from(answer.to_string()));
                *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
                let json = http::HeaderValue::from_static("application/json");
                response
                    .headers_mut()
                    .insert(http::header::CONTENT_TYPE, json);
                Ok(response)
            })
        }
    }

    #[tokio::test]
    async fn the_node_is_registered_once_and_written_only_on_change() {
        let door = OneNode::default();
        let client = Client::new(door.clone());
        let fixed = fixed();
        let calm = Pressure::default();
        for _ in 0..3 {
            keep(&client, &fixed, calm, &[]).await.unwrap();
        }
        let writes = std::mem::take(&mut *door.writes.lock().unwrap());
        assert_eq!(
            writes,
            ["POST /api/v1/nodes", "PATCH /api/v1/nodes/n/status"]
        );
        keep(&client, &fixed, Pressure { disk: true, ..calm }, &[])
            .await
            .unwrap();
        assert_eq!(door.writes.lock().unwrap().len(), 1);
        let object = door.object.lock().unwrap().clone().unwrap();
        assert_eq!(object["spec"]["podCIDR"], "10.42.0.0/24");
        assert_eq!(object["metadata"]["labels"]["kubernetes.io/os"], "linux");
        assert_eq!(object["status"]["capacity"]["pods"], "30");
    }
}
