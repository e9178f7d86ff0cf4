//! A deleted namespace goes when nothing is left in it: first its pods, then everything else.
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/>
//!
//! What comes in: ending namespaces, from the world; what is in them, asked for kind by kind, since all kinds count.
//! What goes out: deletions; what is still there, as conditions; in the end the namespace without its finalizer.
//! Invariants: an unchanged verdict is not written again; nothing but pods goes before the last pod (programs that end
//! may still need their configuration and their rights). It never knows what a kind is for.

mod conditions;
mod contents;
#[cfg(test)]
mod tests;

use super::action::{Action, Plan};
use super::discovery;
use super::runner::Controller;
use super::world::graph::Resource;
use super::world::{Change, Key, World};
use crate::client::{Client, ClientError};
use contents::Left;
use http::Method;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;

/// Holds a namespace until its contents are gone.
const FINALIZER: &str = "kubernetes";

/// Whether there is such a namespace, and it takes new objects.
pub fn is_active(world: &World, name: &str) -> bool {
    let found = world.namespaces.get(&(String::new(), name.to_owned()));
    found.is_some_and(|namespace| !is_terminating(namespace))
}

pub fn is_terminating(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_some()
}

/// It is ending, and waits for us.
fn is_ours(namespace: &Namespace) -> bool {
    let finalizers = namespace
        .spec
        .as_ref()
        .and_then(|spec| spec.finalizers.as_ref());
    is_terminating(namespace) && finalizers.is_some_and(|all| all.iter().any(|f| f == FINALIZER))
}

/// Empties deleted namespaces.
pub struct Namespaces;

impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Namespace(diff) => diff.key().into_iter().collect(),
            // The last pod's end is what an ending namespace waits for.
            Change::Pod(diff) if diff.new.is_none() => {
                let namespace = diff.key().map(|(namespace, _)| (String::new(), namespace));
                let ending =
                    |key: &Key| world.namespaces.get(key).is_some_and(|n| is_terminating(n));
                namespace.filter(ending).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _: Timestamp) -> Plan {
        match world.namespaces.get(key) {
            Some(namespace) if is_ours(namespace) => {
                Plan::of(vec![Action::Empty(Box::new(Namespace::clone(namespace)))])
            }
            _ => Plan::default(),
        }
    }
}

/// What a look at an ending namespace came to.
pub struct Emptied {
    /// Nothing more is to be done; else look again later.
    pub done: bool,
    /// The namespace with a new verdict, as the API answered.
    pub written: Option<serde_json::Value>,
}

/// Deletes what there is, says what is left, lets the namespace go when nothing is.
pub async fn empty(
    client: &Client,
    namespace: &Namespace,
    now: Timestamp,
) -> Result<Emptied, ClientError> {
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    let mut left = Left::default();
    match discovery::deletable(client).await {
        Ok(resources) => {
            let (pods, others): (Vec<Resource>, Vec<Resource>) = resources
                .into_iter()
                .filter(|resource| resource.namespaced)
                .partition(|resource| resource.group.is_empty() && resource.plural == "pods");
            for kinds in [pods, others] {
                if left.is_nothing() {
                    contents::delete(client, &kinds, name, &mut left).await;
                }
            }
        }
        Err(error) => left.undiscovered = Some(error.to_string()),
    }
    if left.is_nothing() {
        finalize(client, namespace, name).await?;
        return Ok(Emptied {
            done: true,
            written: None,
        });
    }
    let written = match conditions::status(namespace, &left, now) {
        Some(status) => Some(write_status(client, name, &status).await?),
        None => None,
    };
    Ok(Emptied {
        done: false,
        written,
    })
}

async fn write_status(
    client: &Client,
    name: &str,
    status: &serde_json::Value,
) -> Result<serde_json::Value, ClientError> {
    let path = format!("/api/v1/namespaces/{name}/status");
    let content = Some(("application/merge-patch+json", status));
    client.send_value(Method::PATCH, &path, content).await
}

/// Without our finalizer.
async fn finalize(client: &Client, namespace: &Namespace, name: &str) -> Result<(), ClientError> {
    let mut free = namespace.clone();
    if let Some(list) = free.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
        list.retain(|f| f != FINALIZER);
    }
    let mut body = json!(free);
    body["apiVersion"] = json!("v1");
    body["kind"] = json!("Namespace");
    let path = format!("/api/v1/namespaces/{name}/finalize");
    let content = Some(("application/json", &body));
    match client.send_value(Method::PUT, &path, content).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
