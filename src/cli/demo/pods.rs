//! The demo's pods: followed, judged, listed.

use super::objects::{LABEL, NAMESPACE, SERVERS};
use super::progress::Board;
use crate::cli::print::table::render;
use crate::client::Client;
use crate::client::informer::{Event, Scope, informer};
use anyhow::Context;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// By name.
pub type Pods = BTreeMap<String, Pod>;

/// Longest wait until pods are where they belong: a slow board with a slow card needs most of it.
const TIMEOUT: Duration = Duration::from_mins(3);

/// Asks `done` at each change of the demo's pods until it has an answer. `what` completes "within 180 s, …".
pub async fn until<T>(
    client: &Client,
    what: &str,
    mut done: impl FnMut(&Pods) -> Result<Option<T>, anyhow::Error>,
) -> Result<T, anyhow::Error> {
    let scope = Scope {
        namespace: Some(NAMESPACE.to_owned()),
        label_selector: Some(format!("{}={}", LABEL.0, LABEL.1)),
        field_selector: None,
    };
    let mut events = informer::<Pod>(client, scope);
    let mut pods = Pods::new();
    let answered = async {
        while let Some(event) = events.next().await {
            follow(&mut pods, event);
            if let Some(answer) = done(&pods)? {
                return Ok(answer);
            }
        }
        anyhow::bail!("the watch of pods ended")
    };
    match tokio::time::timeout(TIMEOUT, answered).await {
        Ok(answer) => answer,
        Err(_) => anyhow::bail!(
            "within {} s, {what}; RUST_LOG=coracle=debug shows more",
            TIMEOUT.as_secs()
        ),
    }
}

fn follow(pods: &mut Pods, event: Event<Pod>) {
    match event {
        Event::Restarted(all) => *pods = all.into_iter().map(|pod| (name(&pod), pod)).collect(),
        Event::Applied(pod) => {
            pods.insert(name(&pod), pod);
        }
        Event::Deleted(pod) => {
            pods.remove(&name(&pod));
        }
    }
}

/// Shows changes until every server is ready.
pub async fn until_ready(client: &Client) -> Result<Pods, anyhow::Error> {
    let mut board = Board::new();
    until(client, "the pods did not all become ready", |pods| {
        for pod in pods.values() {
            board.show(&name(pod), &state(pod), is_settled(pod));
            if phase(pod) == "Failed" {
                anyhow::bail!("pod {} failed: {}", name(pod), state(pod));
            }
        }
        Ok(all_ready(pods).then(|| pods.clone()))
    })
    .await
}

/// Without showing changes.
pub async fn until_ready_again(client: &Client) -> Result<Pods, anyhow::Error> {
    until(client, "the pods did not all stay ready", |pods| {
        Ok(all_ready(pods).then(|| pods.clone()))
    })
    .await
}

fn all_ready(pods: &Pods) -> bool {
    SERVERS.iter().all(|(app, count)| {
        let ready = pods.values().filter(|pod| is_of(pod, app) && is_ready(pod));
        ready.count() == *count
    })
}

pub fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

fn phase(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Pending")
}

/// Whether its label `app` is this one.
pub fn is_of(pod: &Pod, app: &str) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.get("app").is_some_and(|of| of == app))
}

fn address(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.pod_ip.as_deref()
}

/// Where it listens.
pub fn socket(pod: &Pod, port: u16) -> Result<SocketAddr, anyhow::Error> {
    let address = address(pod).with_context(|| format!("pod {} has no address", name(pod)))?;
    Ok(SocketAddr::new(address.parse()?, port))
}

fn container_statuses(pod: &Pod) -> &[ContainerStatus] {
    pod.status
        .as_ref()
        .and_then(|status| status.container_statuses.as_deref())
        .unwrap_or_default()
}

/// It runs, its containers are ready, and it is to stay.
pub fn is_ready(pod: &Pod) -> bool {
    let containers = container_statuses(pod);
    pod.metadata.deletion_timestamp.is_none()
        && phase(pod) == "Running"
        && !containers.is_empty()
        && containers.iter().all(|container| container.ready)
}

fn is_settled(pod: &Pod) -> bool {
    is_ready(pod) || phase(pod) == "Succeeded"
}

/// The phase, or what the first container waits for.
fn state(pod: &Pod) -> String {
    let waiting = container_statuses(pod).iter().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.clone()?;
        Some(match &waiting.message {
            Some(message) => format!("{reason}: {message}"),
            None => reason,
        })
    });
    match (phase(pod), waiting) {
        ("Succeeded", _) => "Completed".to_owned(),
        (phase, _) if pod.metadata.deletion_timestamp.is_some() => format!("{phase}, ending"),
        ("Pending", None) if node(pod).is_some() => "scheduled".to_owned(),
        ("Pending", Some(reason)) => reason,
        ("Running", _) if !is_ready(pod) => "Running, not ready yet".to_owned(),
        (phase, _) => phase.to_owned(),
    }
}

fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// The pods as `get pods -o wide` would begin.
pub fn table(pods: &Pods) -> String {
    let header = ["NAME", "STATUS", "IP", "NODE"].map(str::to_owned).to_vec();
    let rows = pods.values().map(|pod| {
        vec![
            name(pod),
            state(pod),
            address(pod).unwrap_or("<none>").to_owned(),
            node(pod).unwrap_or("<none>").to_owned(),
        ]
    });
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    render(&lines, &mut Vec::new())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn pod(app: &str, number: usize, status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("{app}-{number}"), "labels": {"app": app}},
            "spec": {"nodeName": "demo", "containers": []},
            "status": status,
        }))
        .unwrap()
    }

    fn running(ready: bool) -> serde_json::Value {
        let container =
            json!({"name": "c", "ready": ready, "restartCount": 0, "image": "", "imageID": ""});
        json!({"phase": "Running", "podIP": "10.42.200.2", "containerStatuses": [container]})
    }

    #[test]
    fn pods_are_settled_when_they_do_what_they_are_for() {
        let waiting = json!({
            "name": "c", "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"waiting": {"reason": "ContainerCreating"}},
        });
        for (status, settled, told) in [
            (json!({"phase": "Pending"}), false, "scheduled"),
            (
                json!({"phase": "Pending", "containerStatuses": [waiting]}),
                false,
                "ContainerCreating",
            ),
            (json!({"phase": "Running"}), false, "Running, not ready yet"),
            (running(false), false, "Running, not ready yet"),
            (running(true), true, "Running"),
            (json!({"phase": "Succeeded"}), true, "Completed"),
        ] {
            let mut pod = pod("hello", 1, status);
            assert_eq!((is_settled(&pod), state(&pod).as_str()), (settled, told));
            pod.metadata.deletion_timestamp =
                Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
            assert!(!is_ready(&pod));
        }
        let pods = Pods::from([("hello-1".to_owned(), pod("hello", 1, running(true)))]);
        assert_eq!(
            table(&pods),
            "NAME      STATUS    IP            NODE\nhello-1   Running   10.42.200.2   demo\n"
        );
    }

    #[test]
    fn the_application_is_ready_when_every_server_is() {
        let mut pods = Pods::new();
        for (app, count) in SERVERS {
            for number in 0..count {
                assert!(!all_ready(&pods));
                let pod = pod(app, number, running(true));
                pods.insert(name(&pod), pod);
            }
        }
        assert!(all_ready(&pods));
        let late = pod("hello", 0, running(false));
        pods.insert(name(&late), late);
        assert!(!all_ready(&pods));
    }
}
