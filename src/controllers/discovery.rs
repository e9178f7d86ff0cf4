//! Which kinds can be listed and deleted, as the API tells.
//! <https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api>

use super::world::graph::Resource;
use crate::client::{Client, ClientError};
use crate::object::access::{list, text, truth};
use http::Method;
use serde_json::Value;

/// The same objects as core/v1 Events in another form: each object counts once.
const VIEWS: &[&str] = &["events.k8s.io"];

/// Every such kind once, in its group's preferred version.
pub async fn deletable(client: &Client) -> Result<Vec<Resource>, ClientError> {
    let mut versions = vec![(String::new(), "v1".to_owned())];
    let groups = match client.send_value(Method::GET, "/apis", None).await {
        Err(error) if error.is_not_found() => Value::Null,
        result => result?,
    };
    for group in list(&groups, "/groups") {
        let name = text(group, "/name");
        if !VIEWS.contains(&name) {
            let version = text(group, "/preferredVersion/version");
            versions.push((name.to_owned(), version.to_owned()));
        }
    }
    let mut resources = Vec::new();
    for (group, version) in versions {
        let path = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        let answer = client.send_value(Method::GET, &path, None).await?;
        resources.extend(resources_of(&group, &version, &answer));
    }
    Ok(resources)
}

/// Those of one `APIResourceList`.
fn resources_of(group: &str, version: &str, answer: &Value) -> Vec<Resource> {
    let has = |resource: &Value, verb: &str| list(resource, "/verbs").iter().any(|v| v == verb);
    list(answer, "/resources")
        .iter()
        .filter(|r| has(r, "list") && has(r, "delete") && !text(r, "/name").contains('/'))
        .map(|r| Resource {
            api_version: if group.is_empty() {
                version.to_owned()
            } else {
                format!("{group}/{version}")
            },
            group: group.to_owned(),
            version: version.to_owned(),
            plural: text(r, "/name").to_owned(),
            kind: text(r, "/kind").to_owned(),
            namespaced: truth(r, "/namespaced"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn discovery_tells_what_can_be_deleted() {
        let answer = json!({"resources": [
            {"name": "pods", "kind": "Pod", "namespaced": true, "verbs": ["list", "delete"]},
            {"name": "pods/status", "kind": "Pod", "namespaced": true, "verbs": ["list", "delete"]},
            {"name": "bindings", "kind": "Binding", "namespaced": true, "verbs": ["create"]},
            {"name": "nodes", "kind": "Node", "namespaced": false, "verbs": ["list", "delete"]}
        ]});
        let found = resources_of("", "v1", &answer);
        let names: Vec<_> = found
            .iter()
            .map(|r| (r.plural.as_str(), r.namespaced))
            .collect();
        assert_eq!(names, [("pods", true), ("nodes", false)]);
        assert_eq!(
            resources_of("apps", "v1", &answer)[0].api_version,
            "apps/v1"
        );
        assert!(resources_of("", "v1", &Value::Null).is_empty());
    }
}
