//! Nodes that exist in the API only: each renews its lease, watches its pods as a kubelet does, and says that they run.

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

/// Between two renewals of a lease: upstream's quarter of its 40 s.
const RENEWAL: Duration = Duration::from_secs(10);
/// What sends a simulated node's pods there, and nobody else's.
pub const LABEL: &str = "bench.coracle.io/simulated";

/// Dropping it silences the nodes.
pub struct Fleet {
    _tasks: JoinSet<()>,
}

impl Fleet {
    /// Nodes that are there already, from before the API was restarted, are taken over.
    pub async fn start(client: &kube::Client, count: usize) -> Fleet {
        let mut tasks = JoinSet::new();
        futures::stream::iter(0..count)
            .for_each_concurrent(8, |number| join(client, number))
            .await;
        for number in 0..count {
            tasks.spawn(kubelet(client.clone(), number));
            tasks.spawn(heart(client.clone(), number, count));
        }
        Fleet { _tasks: tasks }
    }
}

fn name(number: usize) -> String {
    format!("simulated-{number}")
}

async fn join(client: &kube::Client, number: usize) {
    let nodes: Api<Node> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let name = name(number);
    if nodes.get_opt(&name).await.expect("node").is_some() {
        return;
    }
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            LABEL: "true", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64",
            "topology.kubernetes.io/zone": format!("zone-{}", number % 5)}},
    });
    let node: Node = serde_json::from_value(node).expect("node");
    nodes
        .create(&Default::default(), &node)
        .await
        .expect("node");
    let room = json!({"cpu": "64", "memory": "64Gi", "ephemeral-storage": "64Gi", "pods": "110"});
    let now = Timestamp::now().to_string();
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": reason,
            "lastHeartbeatTime": now, "lastTransitionTime": now})
    };
    let status = json!({"status": {
        "allocatable": room, "capacity": room,
        "addresses": [{"type": "InternalIP", "address": format!("192.0.2.{}", number % 250)}],
        "nodeInfo": {"kubeletVersion": "v1.34.0", "architecture": "arm64", "operatingSystem": "linux",
            "containerRuntimeVersion": "simulated://1", "kernelVersion": "6.12.0", "osImage": "simulated",
            "bootID": name, "machineID": name, "systemUUID": name, "kubeProxyVersion": ""},
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID"),
            condition("Ready", "True", "KubeletReady")],
    }});
    nodes
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .expect("status of a node");
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40},
    });
    let mut lease: Lease = serde_json::from_value(lease).expect("lease");
    beat(&mut lease);
    leases
        .create(&Default::default(), &lease)
        .await
        .expect("lease");
}

fn beat(lease: &mut Lease) {
    let spec = lease.spec.get_or_insert_default();
    spec.renew_time = Some(MicroTime(Timestamp::now()));
}

/// Renews one node's lease; nodes do so one after the other.
async fn heart(client: kube::Client, number: usize, count: usize) {
    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    let name = name(number);
    tokio::time::sleep(RENEWAL * number as u32 / count as u32).await;
    let mut held = None;
    loop {
        let known = match held.take() {
            Some(lease) => Some(lease),
            None => leases.get(&name).await.ok(),
        };
        let Some(mut lease) = known else {
            tokio::time::sleep(Duration::from_millis(500)).await;
            continue;
        };
        beat(&mut lease);
        held = leases
            .replace(&name, &Default::default(), &lease)
            .await
            .ok();
        tokio::time::sleep(RENEWAL).await;
    }
}

/// What has been done about a pod.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    Running,
    Gone,
}

/// Lists and watches the node's pods until it is dropped.
async fn kubelet(client: kube::Client, number: usize) {
    let pods: Api<Pod> = Api::all(client.clone());
    let field = format!("spec.nodeName={}", name(number));
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    let mut writes = JoinSet::new();
    let mut next_address = 0_usize;
    let mut look = |pod: Pod, writes: &mut JoinSet<()>| {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        let wanted = match phase {
            _ if pod.metadata.deletion_timestamp.is_some() => Told::Gone,
            Some("Pending") | None => Told::Running,
            _ => return,
        };
        if told.insert(uid, wanted) != Some(wanted) {
            next_address += 1;
            let address = format!(
                "10.{}.{}.{}",
                100 + number / 250,
                number % 250,
                next_address % 250 + 2
            );
            writes.spawn(tell(client.clone(), pod, wanted, address));
        }
    };
    loop {
        let Ok(list) = pods.list(&ListParams::default().fields(&field)).await else {
            tokio::time::sleep(Duration::from_millis(500)).await;
            continue;
        };
        let from = list.metadata.resource_version.clone().unwrap_or_default();
        list.items
            .into_iter()
            .for_each(|pod| look(pod, &mut writes));
        let parameters = WatchParams::default().fields(&field).timeout(290);
        let Ok(events) = pods.watch(&parameters, &from).await else {
            continue;
        };
        let mut events = Box::pin(events);
        while let Ok(Some(event)) = events.try_next().await {
            match event {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => look(pod, &mut writes),
                WatchEvent::Error(_) => break,
                WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
            }
            while writes.try_join_next().is_some() {}
        }
    }
}

/// As a kubelet does, it tries again: a connection may end as it is used.
async fn tell(client: kube::Client, pod: Pod, what: Told, address: String) {
    const TRIES_MAX: u32 = 10;
    const PAUSE: Duration = Duration::from_millis(500);
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let name = pod.metadata.name.clone().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    for _ in 0..TRIES_MAX {
        let result = match what {
            Told::Gone => {
                let now = DeleteParams::default().grace_period(0);
                pods.delete(&name, &now).await.map(drop)
            }
            Told::Running => {
                let patch = Patch::Merge(running(&pod, &address));
                let parameters = PatchParams::default();
                pods.patch_status(&name, &parameters, &patch)
                    .await
                    .map(drop)
            }
        };
        match result {
            Ok(()) => return,
            Err(kube::Error::Api(status)) if status.code == 404 => return,
            Err(error) => eprintln!("simulated kubelet, {namespace}/{name}: {error}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The status a kubelet writes once all containers of a pod run.
fn running(pod: &Pod, address: &str) -> Value {
    let now = Timestamp::now().to_string();
    let conditions = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ];
    let conditions = conditions.map(|kind| {
        json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": now})
    });
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let containers: Vec<Value> = containers
        .map(|container| {
            let image = container.image.as_deref().unwrap_or_default();
            json!({"name": container.name, "image": image, "ready": true, "started": true, "restartCount": 0,
                "imageID": format!("{image}@sha256:{}", "5e".repeat(32)),
                "containerID": format!("simulated://{}", "c0".repeat(32)),
                "lastState": {}, "state": {"running": {"startedAt": now}}})
        })
        .collect();
    json!({"status": {
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": "192.0.2.1",
        "hostIPs": [{"ip": "192.0.2.1"}], "startTime": now, "conditions": conditions, "containerStatuses": containers,
    }})
}
