//! The loop itself, against an API server in memory.
#![allow(clippy::unwrap_used)]

use crate::controllers::fake_door;
use serde_json::json;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn one_pod_is_bound_the_other_told_why_not() {
    let nodes = json!({"items": [{"metadata": {"name": "node1", "resourceVersion": "1"},
        "status": {"allocatable": {"cpu": "4", "memory": "1Gi", "pods": "10"}}}]});
    let pod = |name: &str, memory: &str| {
        json!({"metadata": {"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"memory": memory}}}]}})
    };
    let pods = json!({"items": [pod("web", "1Mi"), pod("huge", "9Gi")]});
    let (client, mut told) = fake_door::client(&[("/api/v1/nodes", nodes), ("/api/v1/pods", pods)]);
    let stop = CancellationToken::new();
    let running = tokio::spawn(super::run(client, stop.clone()));
    let mut writes = Vec::new();
    while writes.len() < 4 {
        writes.push(told.recv().await.unwrap());
    }
    let body = |path: &str, reason: &str| {
        let found = writes
            .iter()
            .find(|(at, body)| at == path && body.to_string().contains(reason));
        found.unwrap().1.clone()
    };
    let binding = body("POST /api/v1/namespaces/default/pods/web/binding", "node1");
    assert_eq!(binding["target"]["name"], "node1");
    let message = "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    let status = body(
        "PATCH /api/v1/namespaces/default/pods/huge/status",
        "Unschedulable",
    );
    assert_eq!(status["status"]["conditions"][0]["message"], message);
    let events = "POST /api/v1/namespaces/default/events";
    assert_eq!(body(events, "FailedScheduling")["message"], message);
    let assigned = "Successfully assigned default/web to node1";
    assert_eq!(body(events, "Successfully")["message"], assigned);
    stop.cancel();
    running.await.unwrap();
}
