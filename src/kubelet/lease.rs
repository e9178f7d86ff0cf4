//! The node's heartbeat: its Lease in `kube-node-lease`, renewed every ten seconds. The server keeps renewals in memory.
//! <https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats>

use crate::client::{Client, ClientError};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "kube-node-lease";
/// Upstream's `nodeLeaseDurationSeconds`.
const DURATION_SECONDS: i32 = 40;
/// Upstream's `nodeLeaseRenewIntervalFraction`: a quarter of it.
const INTERVAL: Duration = Duration::from_secs(10);
/// Wait after a failure: several fit into the time until the node counts as lost.
const RETRY: Duration = Duration::from_secs(2);

/// Keeps the lease until `stop`.
pub async fn run(client: Client, node: String, stop: CancellationToken) {
    let mut held = None;
    loop {
        let wait = match renew(&client, &node, held.take()).await {
            Ok(lease) => {
                held = Some(lease);
                INTERVAL
            }
            Err(error) => {
                tracing::debug!(node, %error, "heartbeat not written; trying again");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One heartbeat, on top of the last one where that is still what the server has.
async fn renew(client: &Client, node: &str, held: Option<Lease>) -> Result<Lease, ClientError> {
    if let Some(held) = held {
        let renewed = renewed(held, Timestamp::now());
        match client.replace(Some(NAMESPACE), node, &renewed).await {
            Err(ClientError::Status {
                code: 404 | 409, ..
            }) => {}
            answer => return answer,
        }
    }
    // The lease goes with its Node.
    let owner: Node = client.get(None, node).await?;
    let uid = owner.metadata.uid.unwrap_or_default();
    match client.get::<Lease>(Some(NAMESPACE), node).await {
        Ok(mut lease) => {
            lease.metadata.owner_references = Some(vec![reference(node, uid)]);
            let renewed = renewed(lease, Timestamp::now());
            client.replace(Some(NAMESPACE), node, &renewed).await
        }
        Err(ClientError::Status { code: 404, .. }) => {
            let lease = first(node, uid, Timestamp::now());
            client.create(Some(NAMESPACE), &lease).await
        }
        Err(error) => Err(error),
    }
}

fn reference(node: &str, uid: String) -> OwnerReference {
    OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.into(),
        uid,
        ..OwnerReference::default()
    }
}

fn first(node: &str, uid: String, now: Timestamp) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(node.into()),
            namespace: Some(NAMESPACE.into()),
            owner_references: Some(vec![reference(node, uid)]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(node.into()),
            lease_duration_seconds: Some(DURATION_SECONDS),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }),
    }
}

fn renewed(mut lease: Lease, now: Timestamp) -> Lease {
    let holder = lease.metadata.name.clone();
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = holder;
    spec.lease_duration_seconds = Some(DURATION_SECONDS);
    spec.renew_time = Some(MicroTime(now));
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_changes_the_time_only() {
        let (then, now) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let lease = first("n", "1".into(), then);
        let mut renewed = renewed(lease.clone(), now);
        assert_ne!(renewed, lease);
        if let Some(spec) = &mut renewed.spec {
            spec.renew_time = Some(MicroTime(then));
        }
        assert_eq!(renewed, lease);
    }
}
