//! What is in a namespace, kind by kind, and its deletion.

use crate::client::{Client, ClientError, DeleteParams, object_path};
use crate::controllers::world::graph::Resource;
use crate::object::access::{list, present, text};
use http::Method;
use serde_json::Value;
use std::collections::BTreeMap;

/// Objects of one kind looked at per round; the next round sees the rest.
const ROUND_ITEMS: usize = 500;
/// Failures told of; more of them say nothing new.
const FAILURES_MAX: usize = 5;

/// What a round of deletions left.
#[derive(Debug, Default, PartialEq)]
pub struct Left {
    /// `pods.` or `deployments.apps`, and how many.
    pub kinds: BTreeMap<String, usize>,
    /// Finalizers that hold them, and how many each.
    pub finalizers: BTreeMap<String, usize>,
    /// What the API refused.
    pub failures: Vec<String>,
    /// Why it is not known which kinds there are.
    pub undiscovered: Option<String>,
}

impl Left {
    pub fn is_nothing(&self) -> bool {
        self.kinds.is_empty() && self.failures.is_empty() && self.undiscovered.is_none()
    }

    /// What came of one object: as it is now, if it is still there.
    fn count(&mut self, resource: &Resource, object: &Value) {
        let kind = format!("{}.{}", resource.plural, resource.group);
        *self.kinds.entry(kind).or_default() += 1;
        for finalizer in list(object, "/metadata/finalizers") {
            let name = finalizer.as_str().unwrap_or_default().to_owned();
            *self.finalizers.entry(name).or_default() += 1;
        }
    }

    fn fail(&mut self, error: &ClientError) {
        let said = error.to_string();
        if self.failures.len() < FAILURES_MAX && !self.failures.contains(&said) {
            self.failures.push(said);
        }
    }
}

/// Asks for the end of every object of these kinds; what is left is counted.
pub async fn delete(client: &Client, kinds: &[Resource], namespace: &str, left: &mut Left) {
    for resource in kinds {
        if let Err(error) = delete_kind(client, resource, namespace, left).await {
            left.fail(&error);
        }
    }
}

async fn delete_kind(
    client: &Client,
    resource: &Resource,
    namespace: &str,
    left: &mut Left,
) -> Result<(), ClientError> {
    let path = object_path(
        &resource.group,
        &resource.version,
        &resource.plural,
        Some(namespace),
        None,
        None,
    );
    let limited = format!("{path}?limit={ROUND_ITEMS}");
    let all = client.send_value(Method::GET, &limited, None).await?;
    // Default options: pods get their own grace period.
    let options = DeleteParams::default().to_value();
    for object in list(&all, "/items") {
        if present(object, "/metadata/deletionTimestamp") {
            left.count(resource, object);
            continue;
        }
        let path = format!("{path}/{}", text(object, "/metadata/name"));
        let content = Some(("application/json", &options));
        match client.send_value(Method::DELETE, &path, content).await {
            // It went at once.
            Ok(answer) if answer["kind"] == "Status" => {}
            Ok(answer) if present(&answer, "/metadata/deletionTimestamp") => {
                left.count(resource, &answer);
            }
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                left.count(resource, object);
                left.fail(&error);
            }
        }
    }
    if !text(&all, "/metadata/continue").is_empty() {
        // There are more: at least one.
        left.count(resource, &Value::Null);
    }
    Ok(())
}
