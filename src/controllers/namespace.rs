//! A deleted namespace goes when nothing is left in it.
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/>

use super::action::{Action, Plan};
use super::discovery;
use super::runner::Controller;
use super::world::graph::Resource;
use super::world::{Change, Key, World};
use crate::client::{Client, ClientError, DeleteParams, object_path};
use http::Method;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;

/// Holds a namespace until its contents are gone.
const FINALIZER: &str = "kubernetes";
/// Objects of one kind looked at per round; the next round sees the rest.
const ROUND_ITEMS: usize = 500;

/// Whether there is such a namespace, and it takes new objects.
pub fn is_active(world: &World, name: &str) -> bool {
    let found = world.namespaces.get(&(String::new(), name.to_owned()));
    found.is_some_and(|namespace| !is_terminating(namespace))
}

/// What is to be done for a namespace.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// It is not ending, or is not held by us.
    Nothing,
    /// Delete these, by path, then look again.
    Delete(Vec<String>),
    /// All that is left ends by itself (pods in their grace period, objects held by others' finalizers).
    Wait,
    /// Nothing is left: this object, without our finalizer, goes to `finalize`.
    Finalize(Box<Namespace>),
}

/// One object found in the namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub path: String,
    /// Its deletion has begun.
    pub ending: bool,
}

pub fn is_terminating(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_some()
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
            // Without our finalizer there is nothing to look for.
            Some(namespace) if step(namespace, &[]) != Step::Nothing => {
                Plan::of(vec![Action::Empty(Box::new(Namespace::clone(namespace)))])
            }
            _ => Plan::default(),
        }
    }
}

/// From the namespace and what is in it to the next step.
pub fn step(namespace: &Namespace, found: &[Found]) -> Step {
    let held = namespace
        .spec
        .as_ref()
        .and_then(|spec| spec.finalizers.as_ref())
        .is_some_and(|list| list.iter().any(|f| f == FINALIZER));
    if !is_terminating(namespace) || !held {
        return Step::Nothing;
    }
    let fresh: Vec<_> = found
        .iter()
        .filter(|f| !f.ending)
        .map(|f| f.path.clone())
        .collect();
    if !fresh.is_empty() {
        return Step::Delete(fresh);
    }
    if !found.is_empty() {
        return Step::Wait;
    }
    let mut free = namespace.clone();
    if let Some(list) = free.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
        list.retain(|f| f != FINALIZER);
    }
    Step::Finalize(Box::new(free))
}

/// Looks at what is left, and does the next step. `true`: done; `false`: look again later.
pub async fn empty(client: &Client, namespace: &Namespace) -> Result<bool, ClientError> {
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    for resource in discovery::deletable(client).await? {
        if resource.namespaced {
            found.extend(contents(client, &resource, name).await?);
        }
    }
    match step(namespace, &found) {
        Step::Nothing => Ok(true),
        Step::Wait => Ok(false),
        Step::Delete(paths) => {
            // Default options: pods get their own grace period.
            let options = DeleteParams::default().to_value();
            for path in paths {
                let content = Some(("application/json", &options));
                match client.send_value(Method::DELETE, &path, content).await {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => {}
                }
            }
            Ok(false)
        }
        Step::Finalize(free) => {
            let mut body = json!(*free);
            body["apiVersion"] = json!("v1");
            body["kind"] = json!("Namespace");
            let path = format!("/api/v1/namespaces/{name}/finalize");
            match client
                .send_value(Method::PUT, &path, Some(("application/json", &body)))
                .await
            {
                Err(error) if error.is_not_found() => Ok(true),
                result => result.map(|_| true),
            }
        }
    }
}

async fn contents(
    client: &Client,
    resource: &Resource,
    namespace: &str,
) -> Result<Vec<Found>, ClientError> {
    let path = object_path(
        &resource.group,
        &resource.version,
        &resource.plural,
        Some(namespace),
        None,
        None,
    );
    let list = client
        .send_value(Method::GET, &format!("{path}?limit={ROUND_ITEMS}"), None)
        .await?;
    let items = list["items"].as_array().into_iter().flatten();
    Ok(items
        .filter_map(|item| {
            Some(Found {
                path: format!("{path}/{}", item["metadata"]["name"].as_str()?),
                ending: item["metadata"]["deletionTimestamp"].is_string(),
            })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn namespace(ending: bool, finalizers: &[&str]) -> Namespace {
        let at = ending.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(json!({
            "metadata": {"name": "a", "deletionTimestamp": at},
            "spec": {"finalizers": finalizers}
        }))
        .unwrap()
    }

    fn found(ending: bool) -> Found {
        Found {
            path: "/api/v1/namespaces/a/pods/p".to_owned(),
            ending,
        }
    }

    #[test]
    fn contents_go_first_then_the_finalizer() {
        let ending = namespace(true, &["other", FINALIZER]);
        let path = found(false).path;
        assert_eq!(step(&namespace(false, &[FINALIZER]), &[]), Step::Nothing);
        assert_eq!(step(&namespace(true, &["other"]), &[]), Step::Nothing);
        let both = [found(false), found(true)];
        assert_eq!(step(&ending, &both), Step::Delete(vec![path]));
        assert_eq!(step(&ending, &[found(true)]), Step::Wait);
        let free = namespace(true, &["other"]);
        assert_eq!(step(&ending, &[]), Step::Finalize(Box::new(free)));
    }
}
