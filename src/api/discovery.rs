//! What this server offers: groups, versions, resources (plain and aggregated discovery).
//! <https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api>

use super::body::api_version;
use super::kinds::{Kind, SCALE, Subresource, token_request_kind};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeSet;

const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// Reviews are answered, not stored.
const VERBS_OF_REVIEWS: &[&str] = &["create"];

/// Namespaces are deleted one by one (upstream).
const VERBS_ONE_BY_ONE: &[&str] = &[
    "create", "delete", "get", "list", "patch", "update", "watch",
];

impl Kind {
    /// What can be done with the kind's objects.
    pub(super) fn verbs(&self) -> &'static [&'static str] {
        if self.group == super::kinds::metrics::GROUP {
            &["get", "list"]
        } else if self.is_review() || self.is_bindings() {
            VERBS_OF_REVIEWS
        } else if self.group.is_empty() && self.plural == "namespaces" {
            VERBS_ONE_BY_ONE
        } else {
            VERBS
        }
    }
}

/// Kubernetes' release whose API this is (k8s-openapi's newest), with ours behind it.
pub const GIT_VERSION: &str = concat!("v1.37.0+coracle", env!("CARGO_PKG_VERSION"));

pub fn version() -> Value {
    json!({
        "major": "1", "minor": "37", "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "", "goVersion": "", "compiler": "rustc",
        "platform": format!("linux/{}", architecture()),
    })
}

/// The architecture in Go's words, as Kubernetes speaks of it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `/api`
pub fn core_versions(server: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}],
    })
}

/// Named groups (not core) and their versions, newest first.
fn group_versions(kinds: &[Kind]) -> BTreeSet<(&'static str, Reverse<&'static str>)> {
    kinds
        .iter()
        .filter(|kind| !kind.group.is_empty())
        .map(|kind| (kind.group, Reverse(kind.version)))
        .collect()
}

fn group_value(group: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "preferredVersion": versions.first(), "versions": versions})
}

/// `/apis`
pub fn groups(kinds: &[Kind]) -> Value {
    let names: BTreeSet<&str> = group_versions(kinds)
        .into_iter()
        .map(|(group, _)| group)
        .collect();
    let groups: Vec<Value> = names
        .into_iter()
        .filter_map(|name| group_body(kinds, name))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn group_body(kinds: &[Kind], name: &str) -> Option<Value> {
    let versions: Vec<&str> = group_versions(kinds)
        .into_iter()
        .filter(|(group, _)| *group == name)
        .map(|(_, Reverse(version))| version)
        .collect();
    (!versions.is_empty()).then(|| group_value(name, &versions))
}

/// `/apis/{group}`
pub fn group(kinds: &[Kind], name: &str) -> Option<Value> {
    let mut value = group_body(kinds, name)?;
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    Some(value)
}

/// `/api/v1`, `/apis/{group}/{version}`
pub fn resources(kinds: &[Kind], group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for kind in kinds
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
    {
        let mut resource = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": kind.verbs(),
        });
        if !kind.short_names.is_empty() {
            resource["shortNames"] = json!(kind.short_names);
        }
        if !kind.categories.is_empty() {
            resource["categories"] = json!(kind.categories);
        }
        resources.push(resource);
        for &part in kind.subresources {
            let (name, verbs, of) = subresource(kind, part);
            let mut resource = json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": of, "verbs": verbs,
            });
            let foreign = match part {
                Subresource::Token => Some((token_request_kind().group, "v1")),
                Subresource::Eviction => Some(("policy", "v1")),
                Subresource::Scale => Some((SCALE.group, SCALE.version)),
                _ => None,
            };
            if let Some((group, version)) = foreign {
                resource["group"] = group.into();
                resource["version"] = version.into();
            }
            resources.push(resource);
        }
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    (!resources.is_empty()).then(|| {
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})
    })
}

/// Path word, verbs and kind of a subresource.
fn subresource(
    kind: &Kind,
    part: Subresource,
) -> (&'static str, &'static [&'static str], &'static str) {
    match part {
        Subresource::Status => ("status", &["get", "patch", "update"], kind.kind),
        Subresource::Binding => ("binding", &["create"], "Binding"),
        Subresource::Log => ("log", &["get"], kind.kind),
        Subresource::Exec => ("exec", &["create", "get"], "PodExecOptions"),
        Subresource::Attach => ("attach", &["create", "get"], "PodAttachOptions"),
        Subresource::PortForward => ("portforward", &["create", "get"], "PodPortForwardOptions"),
        Subresource::Proxy => (
            "proxy",
            &["create", "delete", "get", "patch", "update"],
            "NodeProxyOptions",
        ),
        Subresource::Eviction => ("eviction", &["create"], "Eviction"),
        Subresource::Scale => ("scale", &["get", "patch", "update"], SCALE.kind),
        Subresource::Finalize => ("finalize", &["update"], kind.kind),
        Subresource::Token => ("token", &["create"], "TokenRequest"),
        Subresource::Resize => ("resize", &["get", "patch", "update"], kind.kind),
        Subresource::EphemeralContainers => (
            "ephemeralcontainers",
            &["get", "patch", "update"],
            kind.kind,
        ),
    }
}

/// Aggregated discovery of core (`/api`) or of the named groups (`/apis`).
pub fn aggregated(kinds: &[Kind], core: bool) -> Value {
    let mut group_names: Vec<&str> = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.group.is_empty() == core) {
        if !group_names.contains(&kind.group) {
            group_names.push(kind.group);
        }
    }
    let items: Vec<Value> = group_names
        .into_iter()
        .map(|group| {
            let mut versions: Vec<&str> = Vec::new();
            for kind in kinds.iter().filter(|kind| kind.group == group) {
                if !versions.contains(&kind.version) {
                    versions.push(kind.version);
                }
            }
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|version| {
                    let resources: Vec<Value> = kinds
                        .iter()
                        .filter(|kind| kind.group == group && kind.version == version)
                        .map(aggregated_resource)
                        .collect();
                    json!({"version": version, "freshness": "Current", "resources": resources})
                })
                .collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_resource(kind: &Kind) -> Value {
    let response =
        |kind_name: &str| json!({"group": kind.group, "version": kind.version, "kind": kind_name});
    let mut resource = json!({
        "resource": kind.plural, "responseKind": response(kind.kind),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular, "verbs": kind.verbs(),
    });
    if !kind.short_names.is_empty() {
        resource["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        resource["categories"] = json!(kind.categories);
    }
    let parts: Vec<Value> = kind
        .subresources
        .iter()
        .map(|&part| {
            let (name, verbs, of) = subresource(kind, part);
            let mut answer = response(of);
            match part {
                Subresource::Token => answer["group"] = token_request_kind().group.into(),
                Subresource::Eviction => answer["group"] = "policy".into(),
                Subresource::Scale => {
                    answer["group"] = SCALE.group.into();
                    answer["version"] = SCALE.version.into();
                }
                _ => {}
            }
            json!({"subresource": name, "responseKind": answer, "verbs": verbs})
        })
        .collect();
    if !parts.is_empty() {
        resource["subresources"] = parts.into();
    }
    resource
}

/// The kind behind a path's group, version and resource.
pub fn find<'a>(kinds: &'a [Kind], group: &str, version: &str, plural: &str) -> Option<&'a Kind> {
    kinds
        .iter()
        .find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
}

/// The kind whose objects are stored, where `kind` is another shape of it.
pub fn stored(kinds: &'static [Kind], kind: &'static Kind) -> &'static Kind {
    kind.strategy
        .view()
        .and_then(|view| find(kinds, view.group, view.version, view.plural))
        .unwrap_or(kind)
}

/// `PodList` of `v1`, without items.
pub fn list_head(kind: &Kind) -> Value {
    json!({"kind": format!("{}List", kind.kind), "apiVersion": api_version(kind)})
}
