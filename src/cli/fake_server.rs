//! An API server in memory, for tests of verbs: pods and config maps, merge patches, no watches.
#![allow(clippy::unwrap_used)]

use super::connect::Session;
use crate::client::{Client, ClientError, Door};
use axum::body::Body;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
pub struct FakeServer {
    /// Objects by path.
    pub objects: Arc<Mutex<BTreeMap<String, Value>>>,
    /// Method, path with query and body of every request that changes something.
    pub changes: Arc<Mutex<Vec<(Method, String, Value)>>>,
}

impl FakeServer {
    pub fn session(&self) -> Session {
        Session {
            client: Client::new(self.clone()),
            namespace: "default".to_owned(),
            namespace_explicit: false,
        }
    }

    fn answer(&self, method: &Method, uri: &http::Uri, body: &Value) -> (u16, Value) {
        let path = uri.path().to_owned();
        let mut objects = self.objects.lock().unwrap();
        let version = self.changes.lock().unwrap().len().to_string();
        let not_found = || {
            let name = path.rsplit('/').next().unwrap();
            (
                404,
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "reason": "NotFound", "message": format!("pods \"{name}\" not found"), "code": 404}),
            )
        };
        let collection = path.ends_with("/pods") || path.ends_with("/configmaps");
        match *method {
            Method::GET if path == "/api/v1" => (200, resources()),
            Method::GET if collection => {
                let wanted = uri.query().unwrap_or_default();
                let items: Vec<Value> = objects
                    .iter()
                    .filter(|(key, object)| {
                        let name = object["metadata"]["name"].as_str().unwrap();
                        let named = wanted.contains("metadata.name");
                        key.starts_with(&path)
                            && (!named || wanted.contains(&format!("name%3D{name}")))
                    })
                    .map(|(_, object)| object.clone())
                    .collect();
                (
                    200,
                    json!({"kind": "List", "metadata": {"resourceVersion": version}, "items": items}),
                )
            }
            Method::GET => objects
                .get(&path)
                .map_or_else(not_found, |object| (200, object.clone())),
            Method::POST => {
                let mut object = body.clone();
                object["metadata"]["resourceVersion"] = json!(version);
                object["metadata"]["uid"] = json!(version);
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                objects.insert(format!("{path}/{name}"), object.clone());
                (201, object)
            }
            Method::PATCH => match objects.get_mut(&path) {
                None => not_found(),
                Some(object) => {
                    json_patch::merge(object, body);
                    object["metadata"]["resourceVersion"] = json!(version);
                    (200, object.clone())
                }
            },
            Method::DELETE => objects
                .remove(&path)
                .map_or_else(not_found, |object| (200, object)),
            _ => (405, json!({})),
        }
    }
}

fn resources() -> Value {
    let resource = |plural: &str, singular: &str, kind: &str| json!({"name": plural, "singularName": singular, "kind": kind, "namespaced": true});
    json!({"kind": "APIResourceList", "resources": [
        resource("pods", "pod", "Pod"), resource("configmaps", "configmap", "ConfigMap"),
    ]})
}

impl Door for FakeServer {
    fn call(
        &self,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, ClientError>> {
        let server = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            if parts.method != Method::GET {
                let change = (parts.method.clone(), parts.uri.to_string(), body.clone());
                server.changes.lock().unwrap().push(change);
            }
            let (status, answer) = server.answer(&parts.method, &parts.uri, &body);
            Ok(Response::builder()
                .status(status)
                .body(Body::from(answer.to_string()))
                .unwrap())
        })
    }
}
