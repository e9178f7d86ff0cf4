//! The API without sockets, over a real store.
#![allow(clippy::unwrap_used)]

mod access;
mod bindings;
mod deletion;
mod metrics;
mod refusals;
mod revisions;
mod services;

use super::{Api, Identity, NodeDoor, User};
use crate::mesh::signing::SigningKey;
use crate::profile::StoreProfile;
use crate::raft::Raft;
use axum::body::Body;
use futures::StreamExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use serde_json::{Value, json};
use std::sync::Arc;

/// Says which path a kubelet would have been asked for.
struct Echo;

impl NodeDoor for Echo {
    fn call(&self, node: &str, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let answer = json!({"node": node, "path": request.uri().to_string()});
        Box::pin(async move { Response::new(Body::from(answer.to_string())) })
    }
}

struct Server {
    api: Api,
    raft: Raft,
    _directory: tempfile::TempDir,
}

/// A server that has its first objects.
async fn server() -> Server {
    server_of(Arc::new(Echo)).await
}

/// The same before nodes of one's own.
async fn server_of(nodes: Arc<dyn NodeDoor>) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let profile = StoreProfile {
        cache_bytes: 1 << 20,
        history_entries: 1000,
        history_bytes: 1 << 20,
        log_entries: 1000,
        flush_ms: 1000,
    };
    let raft = Raft::open(directory.path(), &profile).await.unwrap();
    let identity = Identity {
        signing_key: Arc::new(SigningKey::fleeting().unwrap()),
        root_certificate_pem: "certificate".into(),
        address: "192.0.2.1:6443".parse().unwrap(),
    };
    let api = Api::new(raft.store.clone(), raft.writer.clone(), nodes, identity);
    super::bootstrap::bootstrap(&api).await.unwrap();
    Server {
        api,
        raft,
        _directory: directory,
    }
}

fn admin() -> User {
    User {
        name: "kubernetes-admin".into(),
        groups: vec!["system:masters".into()],
        ..User::default()
    }
}

impl Server {
    async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let response = self.api.handle(Some(admin()), request).await;
        let code = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        (code, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// `text` is a method and a path: `GET /api/v1/pods`; the body's type follows from the method.
    async fn ask(&self, text: &str, body: Value) -> (u16, Value) {
        let (method, path) = text.split_once(' ').unwrap();
        let media = match (method, &body) {
            ("PATCH", Value::Array(_)) => "application/json-patch+json",
            ("PATCH", _) => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media)
            .body(body)
            .unwrap();
        self.send(request).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(&format!("GET {path}"), Value::Null).await
    }

    /// As [`Server::ask`], where success is expected.
    async fn must(&self, text: &str, body: Value) -> Value {
        let (code, answer) = self.ask(text, body).await;
        assert!(code < 300, "{text}: {answer}");
        answer
    }

    /// As [`Server::ask`], where the answer is a failure with this code; gives its message.
    async fn refused(&self, text: &str, body: Value, code: u16) -> String {
        let (found, answer) = self.ask(text, body).await;
        assert_eq!(found, code, "{text}: {answer}");
        assert_eq!(answer["status"], "Failure", "{answer}");
        assert_eq!(answer["code"], code, "{answer}");
        answer["message"].as_str().unwrap().to_owned()
    }

    /// The first `count` events of a watch, as type and object.
    async fn watch(&self, path: &str, count: usize) -> Vec<(String, Value)> {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = self.api.handle(Some(admin()), request).await;
        assert_eq!(response.status(), 200, "{path}");
        let lines = response.into_body().into_data_stream();
        lines
            .take(count)
            .map(|line| {
                let mut event: Value = serde_json::from_slice(&line.unwrap()).unwrap();
                (
                    event["type"].as_str().unwrap().to_owned(),
                    event["object"].take(),
                )
            })
            .collect()
            .await
    }
}

fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "b"}})
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "one", "image": "example.local/one:1"}]}})
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
