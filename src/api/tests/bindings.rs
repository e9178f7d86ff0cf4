//! Pods get their nodes: many at once, and not while something holds them back.

use super::{Value, admin, json, server};
use crate::client::Client;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

/// As many as the scheduler has under way at once.
const TOGETHER: usize = 32;

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
}

#[tokio::test]
async fn bindings_that_wait_together_become_one_log_entry() {
    let server = server().await;
    let pods = "POST /api/v1/namespaces/default/pods";
    for number in 0..TOGETHER {
        server.must(pods, pod(&format!("p{number}"))).await;
    }
    let client = Client::new(server.api.door(admin()));
    let before = server.raft.last_log_index().unwrap();
    let mut bindings: FuturesUnordered<_> = (0..TOGETHER)
        .map(|number| {
            let client = client.clone();
            async move {
                let name = format!("p{number}");
                client.bind_pod("default", &name, None, "n").await
            }
        })
        .collect();
    while let Some(bound) = bindings.next().await {
        bound.unwrap();
    }
    let entries = server.raft.last_log_index().unwrap() - before;
    // All of them wait by the time the proposer has its turn. With more threads it may begin with those that are there:
    // the bench of the scheduler measures that.
    assert_eq!(entries, 1);
}

#[tokio::test]
async fn a_gated_pod_is_not_bound_and_a_binding_ends_a_nomination() {
    let server = server().await;
    let mut gated = pod("gated");
    gated["spec"]["schedulingGates"] = json!([{"name": "wait"}]);
    let made = server
        .must("POST /api/v1/namespaces/default/pods", gated)
        .await;
    assert_eq!(made["status"]["conditions"][0]["reason"], "SchedulingGated");
    let at = "/api/v1/namespaces/default/pods/gated";
    let binding = json!({"target": {"kind": "Node", "name": "n"}});
    let said = server
        .refused(&format!("POST {at}/binding"), binding.clone(), 409)
        .await;
    assert!(said.contains("non-empty .spec.schedulingGates"), "{said}");
    let patch = json!({"spec": {"schedulingGates": null}});
    server.must(&format!("PATCH {at}"), patch).await;
    let patch = json!({"status": {"nominatedNodeName": "n"}});
    server.must(&format!("PATCH {at}/status"), patch).await;
    server.must(&format!("POST {at}/binding"), binding).await;
    let (_, bound) = server.get(at).await;
    assert_eq!(bound["spec"]["nodeName"], "n");
    assert_eq!(bound["status"]["nominatedNodeName"], Value::Null);
}
