//! What every cluster has from the start: its namespaces, the API's own Service, and the class of local volumes.

use super::{Api, User};
use crate::client::Door;
use crate::object::storage;
use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#initial-namespaces>
const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// First address of the service network: the API.
const API_ADDRESS: &str = "10.43.0.1";

/// Creates what is missing; what is there stays as it is.
pub async fn bootstrap(api: &Api) -> Result<(), String> {
    for name in NAMESPACES {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        create(api, "/api/v1/namespaces", "", name, &namespace).await?;
    }
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "clusterIP": API_ADDRESS,
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        },
    });
    create(
        api,
        "/api/v1/namespaces/default/services",
        "default",
        "kubernetes",
        &service,
    )
    .await?;
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": storage::LOCAL_PATH_CLASS, "annotations": {storage::DEFAULT_CLASS: "true"}},
        "provisioner": storage::LOCAL_PATH_PROVISIONER,
        "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer",
    });
    let path = "/apis/storage.k8s.io/v1/storageclasses";
    create(api, path, "", storage::LOCAL_PATH_CLASS, &class).await
}

async fn create(
    api: &Api,
    path: &str,
    namespace: &str,
    name: &str,
    object: &Value,
) -> Result<(), String> {
    let door = api.door(User {
        name: "system:apiserver".into(),
        groups: vec!["system:masters".into()],
    });
    let ask = |method: &str, path: String, body: Body| {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map(|request| door.call(request))
            .map_err(|error| error.to_string())
    };
    // Looked for first: a start that changes nothing writes nothing.
    let present = ask("GET", format!("{path}/{name}"), Body::empty())?
        .await
        .map_err(|error| error.to_string())?;
    if present.status() == StatusCode::OK {
        return Ok(());
    }
    let made = ask("POST", path.to_owned(), Body::from(object.to_string()))?
        .await
        .map_err(|error| error.to_string())?;
    if made.status().is_success() || made.status() == StatusCode::CONFLICT {
        return Ok(());
    }
    let body = axum::body::to_bytes(made.into_body(), super::body::BODY_BYTES_MAX)
        .await
        .unwrap_or_default();
    Err(format!(
        "cannot create {namespace}/{name}: {}",
        String::from_utf8_lossy(&body)
    ))
}
