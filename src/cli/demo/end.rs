//! The demo's objects and pods end in order, before the node does.

use super::objects::{self, LABEL, NAMESPACE};
use super::{Server, pods};
use crate::client::ClientError;
use http::Method;
use serde_json::{Value, json};
use std::path::Path;

/// Grace of pods that nobody asks any more.
const GRACE_SECONDS: u8 = 1;

/// Deletes what was applied, then the pods, and waits until none is left.
pub async fn show(kubeconfig: &Path) -> Result<(), anyhow::Error> {
    let server = Server::connect(kubeconfig).await?;
    let client = &server.session.client;
    for object in objects::all() {
        let name = object["metadata"]["name"].as_str();
        let path = server.resource(&object)?.path(Some(NAMESPACE), name);
        let options =
            json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        delete(client, &path, &options).await?;
    }
    // The garbage collector would end them too, after all the time that they may take for it.
    let selector = format!("labelSelector={}%3D{}", LABEL.0, LABEL.1);
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?{selector}");
    let options =
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": GRACE_SECONDS});
    delete(client, &path, &options).await?;
    pods::until(client, "the pods did not all end", |pods| {
        Ok(pods.is_empty().then_some(()))
    })
    .await
}

async fn delete(
    client: &crate::client::Client,
    path: &str,
    options: &Value,
) -> Result<(), ClientError> {
    let content = Some(("application/json", options));
    match client.send_value(Method::DELETE, path, content).await {
        Err(cause) if !cause.is_not_found() => Err(cause),
        _ => Ok(()),
    }
}
