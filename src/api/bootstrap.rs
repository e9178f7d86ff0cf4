//! What every cluster has from the start: its namespaces, its roles, the API's own Service with the way to it, the
//! class of local volumes, and the priorities of the system's own pods.

use super::kinds::SYSTEM_CLASSES;
use super::rbac::built_in;
use super::{Api, User};
use crate::client::Door;
use crate::object::storage;
use axum::body::Body;
use futures::{StreamExt, TryStreamExt};
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use std::net::IpAddr;

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#initial-namespaces>
const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// First address of the service network: the API.
pub const API_ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 43, 0, 1);
pub const API_PORT: u16 = 443;

/// Objects written at once: the log syncs them together.
const WRITERS: usize = 16;

/// Creates what is missing and completes what an older version made; what else is there stays as it is. A start that
/// changes nothing writes nothing.
pub async fn bootstrap(api: &Api) -> Result<(), String> {
    let namespaces = NAMESPACES.iter().map(|name| {
        (
            "/api/v1/namespaces".to_owned(),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
        )
    });
    let roles = |plural: &str, objects: Vec<Value>| {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/{plural}");
        objects
            .into_iter()
            .map(move |object| (path.clone(), object))
    };
    let first = namespaces
        .chain(roles("clusterroles", built_in::cluster_roles()))
        .chain(roles(
            "clusterrolebindings",
            built_in::cluster_role_bindings(),
        ));
    all(api, first.collect(), built_in::completed).await?;
    let second = [service(), storage_class()].into_iter();
    let second = second.chain(priority_classes()).collect();
    all(api, second, |_, _| None).await?;
    all(api, way(api), with_way).await
}

fn service() -> (String, Value) {
    (
        "/api/v1/namespaces/default/services".to_owned(),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {
                "clusterIP": API_ADDRESS.to_string(),
                "ports": [{"name": "https", "port": API_PORT, "protocol": "TCP", "targetPort": 6443}],
            },
        }),
    )
}

fn storage_class() -> (String, Value) {
    (
        "/apis/storage.k8s.io/v1/storageclasses".to_owned(),
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": storage::LOCAL_PATH_CLASS, "annotations": {storage::DEFAULT_CLASS: "true"}},
            "provisioner": storage::LOCAL_PATH_PROVISIONER,
            "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer",
        }),
    )
}

fn priority_classes() -> impl Iterator<Item = (String, Value)> {
    SYSTEM_CLASSES.iter().map(|(name, value, description)| {
        (
            "/apis/scheduling.k8s.io/v1/priorityclasses".to_owned(),
            json!({
                "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
                "value": value, "description": description,
            }),
        )
    })
}

/// Where the Service leads: to this server. With several, each server's address belongs here for as long as it lives;
/// that is for who knows the members to keep.
fn way(api: &Api) -> Vec<(String, Value)> {
    let address = api.parts.identity.address;
    let ip = address.ip().to_string();
    let port = json!({"name": "https", "port": address.port(), "protocol": "TCP"});
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": if matches!(address.ip(), IpAddr::V4(_)) { "IPv4" } else { "IPv6" },
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}],
        "ports": [port],
    });
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        // The slice is made here, not from this object.
        "metadata": {"name": "kubernetes", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": ip}], "ports": [port]}],
    });
    vec![
        (
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices".to_owned(),
            slice,
        ),
        ("/api/v1/namespaces/default/endpoints".to_owned(), endpoints),
    ]
}

fn with_way(present: &Value, wanted: &Value) -> Option<Value> {
    let mut whole = present.clone();
    for field in ["subsets", "endpoints", "ports"] {
        if !wanted[field].is_null() {
            whole[field] = wanted[field].clone();
        }
    }
    (whole != *present).then_some(whole)
}

/// Brings every object (the path of its collection, and itself) into being; `complete` says what one that is there lacks.
async fn all(
    api: &Api,
    objects: Vec<(String, Value)>,
    complete: fn(&Value, &Value) -> Option<Value>,
) -> Result<(), String> {
    futures::stream::iter(objects)
        .map(|(path, object)| one(api, path, object, complete))
        .buffer_unordered(WRITERS)
        .try_collect::<()>()
        .await
}

async fn one(
    api: &Api,
    path: String,
    object: Value,
    complete: fn(&Value, &Value) -> Option<Value>,
) -> Result<(), String> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let at = format!("{path}/{name}");
    let (code, present) = send(api, "GET", &at, Body::empty()).await?;
    let (code, answer) = if code == StatusCode::OK {
        let present: Value = serde_json::from_slice(&present).map_err(|error| error.to_string())?;
        let Some(whole) = complete(&present, &object) else {
            return Ok(());
        };
        send(api, "PUT", &at, Body::from(whole.to_string())).await?
    } else {
        send(api, "POST", &path, Body::from(object.to_string())).await?
    };
    if code.is_success() || code == StatusCode::CONFLICT {
        return Ok(());
    }
    Err(format!(
        "cannot write {at}: {}",
        String::from_utf8_lossy(&answer)
    ))
}

async fn send(
    api: &Api,
    method: &str,
    path: &str,
    body: Body,
) -> Result<(StatusCode, bytes::Bytes), String> {
    let door = api.door(User {
        name: "system:apiserver".into(),
        groups: vec!["system:masters".into()],
        ..User::default()
    });
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(|error| error.to_string())?;
    let response = door
        .call(request)
        .await
        .map_err(|error| error.to_string())?;
    let code = response.status();
    let body = axum::body::to_bytes(response.into_body(), super::body::BODY_BYTES_MAX)
        .await
        .map_err(|error| error.to_string())?;
    Ok((code, body))
}
