//! `metrics.k8s.io` over several nodes, one of which does not answer; the server's own `/metrics`.

use super::{Server, admin, server_of};
use crate::api::NodeDoor;
use axum::body::Body;
use futures::future::BoxFuture;
use http::{Request, Response};
use serde_json::{Value, json};
use std::sync::Arc;

/// Nodes whose summary names the one pod `pod-of-<node>`; the node `lost` is away.
struct Summaries;

impl NodeDoor for Summaries {
    fn call(&self, node: &str, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        assert_eq!(
            request.uri().to_string(),
            "/stats/summary?only_cpu_and_memory=true"
        );
        let usage = json!({"usageNanoCores": 5_000_000});
        let memory = json!({"time": "2026-01-01T00:00:00Z", "workingSetBytes": 1 << 20});
        let answer = json!({
            "window": "2.000s",
            "node": {"cpu": usage, "memory": memory},
            "pods": [{"podRef": {"uid": format!("uid-{node}")}, "containers": [
                {"name": "one", "cpu": usage, "memory": memory}]}],
        });
        let mut response = Response::new(Body::from(answer.to_string()));
        if node == "lost" {
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        }
        Box::pin(async move { response })
    }
}

/// Three nodes with a pod each.
async fn three_nodes() -> Server {
    let server = server_of(Arc::new(Summaries)).await;
    for node in ["a", "b", "lost"] {
        let object = json!({"metadata": {"name": node, "labels": {"zone": node}}});
        server.must("POST /api/v1/nodes", object).await;
        let pod = json!({"metadata": {"name": format!("pod-of-{node}"), "labels": {"on": node}},
            "spec": {"nodeName": node, "containers": [{"name": "one", "image": "example.local/one:1"}]}});
        server.must(&format!("POST {}", super::PODS), pod).await;
    }
    server
}

const BASE: &str = "/apis/metrics.k8s.io/v1beta1";

#[tokio::test]
async fn every_node_that_answers_is_in_the_list() {
    let server = three_nodes().await;
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let list = server.must(&format!("GET {BASE}/nodes"), Value::Null).await;
    assert_eq!(names(&list), ["a", "b"]);
    assert_eq!(list["kind"], "NodeMetricsList");
    assert_eq!(
        list["items"][0]["usage"],
        json!({"cpu": "5000000n", "memory": "1024Ki"})
    );
    assert_eq!(list["items"][0]["window"], "2.000s");
    let chosen = format!("GET {BASE}/nodes?labelSelector=zone%3Db");
    assert_eq!(names(&server.must(&chosen, Value::Null).await), ["b"]);
    let one = server
        .must(&format!("GET {BASE}/nodes/a"), Value::Null)
        .await;
    assert_eq!(one["kind"], "NodeMetrics");
    for (text, code) in [
        (format!("GET {BASE}/nodes/lost"), 404),
        (format!("GET {BASE}/nodes/absent"), 404),
        (format!("GET {BASE}/namespaces/default/pods/pod-of-a"), 404),
        (format!("DELETE {BASE}/nodes/a"), 405),
        (format!("GET {BASE}/pods?watch=true"), 405),
        (format!("GET {BASE}/nodes?labelSelector=%3D%3D"), 400),
    ] {
        server.refused(&text, Value::Null, code).await;
    }
    // The pods' uids are not the summaries': a node speaks of an earlier pod of that name.
    let list = server.must(&format!("GET {BASE}/pods"), Value::Null).await;
    assert!(names(&list).is_empty());
    let group = server.must("GET /apis/metrics.k8s.io", Value::Null).await;
    assert_eq!(group["preferredVersion"]["version"], "v1beta1");
}

#[tokio::test]
async fn requests_are_counted() {
    let server = three_nodes().await;
    let get = |user| {
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        server.api.handle(user, request)
    };
    assert_eq!(get(None).await.status(), 401);
    let response = get(Some(admin())).await;
    assert_eq!(response.status(), 200);
    let body = axum::body::to_bytes(response.into_body(), 1 << 20)
        .await
        .unwrap();
    let page = String::from_utf8(body.to_vec()).unwrap();
    let posts =
        "resource=\"pods\",scope=\"namespace\",subresource=\"\",verb=\"POST\",version=\"v1\"} 3";
    assert!(page.contains(posts), "{page}");
}
