//! Which resources the server has, and what users call them.
//! <https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api>

use crate::client::{Client, ClientError, object_path};
use http::Method;
use serde::Deserialize;
use serde_json::Value;

/// One resource of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resource {
    #[serde(skip)]
    pub group: String,
    #[serde(skip)]
    pub version: String,
    #[serde(rename = "name")]
    pub plural: String,
    #[serde(rename = "singularName")]
    pub singular: String,
    pub kind: String,
    pub namespaced: bool,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub verbs: Vec<String>,
}

impl Resource {
    /// Path of the collection or of an object; `namespace` is left out for cluster-scoped kinds.
    pub fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let namespace = namespace.filter(|_| self.namespaced);
        object_path(
            &self.group,
            &self.version,
            &self.plural,
            namespace,
            name,
            None,
        )
    }
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
    /// As kubectl prints it before a name: `pod`, `deployment.apps`.
    pub fn label(&self) -> String {
        let singular = self.kind.to_lowercase();
        if self.group.is_empty() {
            singular
        } else {
            format!("{singular}.{}", self.group)
        }
    }
}

/// Everything the server has, core first.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    pub resources: Vec<Resource>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ResourceList {
    resources: Vec<Resource>,
}

impl Discovery {
    /// Asks the server.
    pub async fn load(client: &Client) -> Result<Discovery, ClientError> {
        let core = client.send_value(Method::GET, "/api/v1", None).await?;
        let mut found = Discovery::default();
        found.add("", "v1", core);
        let groups = match client.send_value(Method::GET, "/apis", None).await {
            Ok(groups) => groups,
            Err(error) if error.is_not_found() => Value::Null,
            Err(error) => return Err(error),
        };
        for (group, version) in group_versions(&groups) {
            let path = format!("/apis/{group}/{version}");
            match client.send_value(Method::GET, &path, None).await {
                Ok(list) => found.add(&group, &version, list),
                // A group that fails (an extension server that is down) must not stop the others.
                Err(error @ ClientError::Status { .. }) => {
                    eprintln!(
                        "Warning: couldn't get the resource list for {group}/{version}: {error}"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn add(&mut self, group: &str, version: &str, list: Value) {
        let list: ResourceList = serde_json::from_value(list).unwrap_or_default();
        self.resources.extend(
            list.resources
                .into_iter()
                .filter(|resource| !resource.plural.contains('/'))
                .map(|resource| Resource {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    ..resource
                }),
        );
    }

    /// What a user typed: `po`, `pods`, `Pod`, `deployments.apps`, `deployments.v1.apps`.
    pub fn find(&self, typed: &str) -> Option<&Resource> {
        let lower = typed.to_lowercase();
        let (name, rest) = lower.split_once('.').unwrap_or((&lower, ""));
        let fits_group = |resource: &&Resource| {
            rest.is_empty()
                || rest == resource.group
                || rest == format!("{}.{}", resource.version, resource.group).trim_end_matches('.')
        };
        let full = |resource: &&Resource| {
            resource.plural == name
                || resource.singular == name
                || resource.kind.to_lowercase() == name
        };
        let short = |resource: &&Resource| resource.short_names.iter().any(|short| short == name);
        self.resources
            .iter()
            .filter(fits_group)
            .find(full)
            .or_else(|| self.resources.iter().filter(fits_group).find(short))
    }

    /// All that a typed word means: one resource, or those of a category (`all`).
    pub fn expand(&self, typed: &str) -> Result<Vec<Resource>, anyhow::Error> {
        if let Some(resource) = self.find(typed) {
            return Ok(vec![resource.clone()]);
        }
        let members: Vec<Resource> = self
            .resources
            .iter()
            .filter(|resource| resource.categories.iter().any(|category| category == typed))
            .cloned()
            .collect();
        if members.is_empty() {
            anyhow::bail!("the server doesn't have a resource type \"{typed}\"");
        }
        Ok(members)
    }

    /// The resource of a manifest's `apiVersion` and `kind`.
    pub fn by_kind(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.resources.iter().find(|resource| {
            resource.kind == kind && resource.group == group && resource.version == version
        })
    }
}

/// Every served version, each group's preferred one first.
fn group_versions(groups: &Value) -> Vec<(String, String)> {
    /// More groups than any cluster of this size has.
    const GROUP_VERSIONS_MAX: usize = 256;
    let mut found = Vec::new();
    for group in groups["groups"].as_array().into_iter().flatten() {
        let Some(name) = group["name"].as_str() else {
            continue;
        };
        let preferred = group["preferredVersion"]["version"].as_str();
        let mut versions: Vec<&str> = group["versions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|version| version["version"].as_str())
            .collect();
        versions.sort_by_key(|version| Some(*version) != preferred);
        found.extend(
            versions
                .into_iter()
                .map(|version| (name.to_owned(), version.to_owned())),
        );
    }
    found.truncate(GROUP_VERSIONS_MAX);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub fn sample() -> Discovery {
        let mut discovery = Discovery::default();
        discovery.add(
            "",
            "v1",
            json!({"resources": [
                {"name": "pods", "singularName": "pod", "kind": "Pod", "namespaced": true, "shortNames": ["po"], "categories": ["all"]},
                {"name": "pods/log", "kind": "Pod", "namespaced": true},
                {"name": "nodes", "singularName": "node", "kind": "Node", "namespaced": false, "shortNames": ["no"]},
                {"name": "events", "singularName": "event", "kind": "Event", "namespaced": true, "shortNames": ["ev"]},
            ]}),
        );
        discovery.add(
            "apps",
            "v1",
            json!({"resources": [{"name": "deployments", "singularName": "deployment", "kind": "Deployment", "namespaced": true, "shortNames": ["deploy"], "categories": ["all"]}]}),
        );
        discovery.add(
            "events.k8s.io",
            "v1",
            json!({"resources": [{"name": "events", "singularName": "event", "kind": "Event", "namespaced": true}]}),
        );
        discovery
    }

    #[test]
    fn words_of_users_find_resources() {
        let discovery = sample();
        for (typed, expected) in [
            ("po", Some("/api/v1/pods")),
            ("Pods", Some("/api/v1/pods")),
            ("pod", Some("/api/v1/pods")),
            ("no", Some("/api/v1/nodes")),
            ("pods.v1", Some("/api/v1/pods")),
            ("deploy", Some("/apis/apps/v1/deployments")),
            ("deployments.apps", Some("/apis/apps/v1/deployments")),
            ("deployments.v1.apps", Some("/apis/apps/v1/deployments")),
            ("events", Some("/api/v1/events")),
            (
                "events.events.k8s.io",
                Some("/apis/events.k8s.io/v1/events"),
            ),
            ("deployments.batch", None),
            ("pods/log", None),
            ("boats", None),
        ] {
            let found = discovery
                .find(typed)
                .map(|resource| resource.path(None, None));
            assert_eq!(found.as_deref(), expected, "{typed}");
        }
        assert_eq!(discovery.expand("all").map_or(0, |all| all.len()), 2);
        assert!(discovery.expand("boats").is_err());
        assert!(discovery.by_kind("apps/v1", "Deployment").is_some());
        assert!(discovery.by_kind("v1", "Deployment").is_none());
    }

    #[test]
    fn preferred_versions_come_first() {
        let groups = json!({"groups": [{"name": "a", "preferredVersion": {"version": "v2"}, "versions": [{"version": "v1"}, {"version": "v2"}]}]});
        let versions: Vec<_> = group_versions(&groups)
            .into_iter()
            .map(|(_, v)| v)
            .collect();
        assert_eq!(versions, ["v2", "v1"]);
        assert!(group_versions(&Value::Null).is_empty());
    }
}
