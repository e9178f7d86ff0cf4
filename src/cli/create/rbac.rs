//! `create role`, `clusterrole`, `rolebinding` and `clusterrolebinding`.

use super::{Common, Generate, Known, Need};
use crate::cli::discovery::Discovery;
use crate::cli::write_args::head;
use anyhow::Context;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const GROUP: &str = "rbac.authorization.k8s.io";
const VERSION: &str = "rbac.authorization.k8s.io/v1";

const RESOURCE_VERBS: &[&str] = &[
    "*",
    "get",
    "delete",
    "list",
    "create",
    "update",
    "patch",
    "watch",
    "proxy",
    "deletecollection",
    "use",
    "bind",
    "escalate",
    "impersonate",
];
const URL_VERBS: &[&str] = &[
    "*", "get", "post", "put", "delete", "patch", "head", "options",
];

/// Verbs that mean something for these resources only.
const SPECIAL_VERBS: &[(&str, &[(&str, &str)])] = &[
    (
        "use",
        &[
            ("podsecuritypolicies", "policy"),
            ("podsecuritypolicies", "extensions"),
        ],
    ),
    ("bind", &[("roles", GROUP), ("clusterroles", GROUP)]),
    ("escalate", &[("roles", GROUP), ("clusterroles", GROUP)]),
    (
        "impersonate",
        &[
            ("users", ""),
            ("serviceaccounts", ""),
            ("groups", ""),
            ("userextras", "authentication.k8s.io"),
        ],
    ),
];

/// What rules are made of.
#[derive(Debug, Clone, Default, clap::Args)]
struct RuleArgs {
    /// What may be done, for example get,list.
    #[arg(long, value_name = "VERB", value_delimiter = ',')]
    verb: Vec<String>,
    /// With what, for example pods,deployments.apps/scale.
    #[arg(long, value_name = "RESOURCE", value_delimiter = ',')]
    resource: Vec<String>,
    /// Only with objects of this name; may be repeated.
    #[arg(long, value_name = "NAME")]
    resource_name: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct RoleArgs {
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    rule: RuleArgs,
    #[command(flatten)]
    common: Common,
}

impl Generate for RoleArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn need(&self) -> Need {
        Need::Resources
    }
    fn object(&self, known: &Known) -> Result<Value, anyhow::Error> {
        let verbs = verbs(&self.rule.verb)?;
        anyhow::ensure!(
            !self.rule.resource.is_empty(),
            "at least one resource must be specified"
        );
        let mut object = head(VERSION, "Role", &self.name);
        object["rules"] = json!(rules(&self.rule, &verbs, known)?);
        Ok(object)
    }
    fn refusal(&self) -> String {
        String::new()
    }
}

#[derive(Debug, clap::Args)]
pub struct ClusterRoleArgs {
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    rule: RuleArgs,
    /// A path that is no resource, for example /healthz.
    #[arg(long = "non-resource-url", value_name = "PATH", value_delimiter = ',')]
    urls: Vec<String>,
    /// Gather the rules of cluster roles with these labels.
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',')]
    aggregation_rule: Vec<String>,
    #[command(flatten)]
    common: Common,
}

impl Generate for ClusterRoleArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn need(&self) -> Need {
        if self.rule.resource.is_empty() {
            Need::Nothing
        } else {
            Need::Resources
        }
    }
    fn object(&self, known: &Known) -> Result<Value, anyhow::Error> {
        let mut object = head(VERSION, "ClusterRole", &self.name);
        if !self.aggregation_rule.is_empty() {
            let RuleArgs {
                verb,
                resource,
                resource_name,
            } = &self.rule;
            anyhow::ensure!(
                [verb, resource, resource_name, &self.urls]
                    .iter()
                    .all(|list| list.is_empty()),
                "aggregation rule must be specified without nonResourceURLs, verbs, resources or resourceNames"
            );
            let labels = self
                .aggregation_rule
                .iter()
                .map(|pair| {
                    let (key, value) = pair
                        .split_once('=')
                        .with_context(|| format!("malformed pair, expect string=string: {pair}"))?;
                    Ok((key.to_owned(), json!(value)))
                })
                .collect::<Result<Map<_, _>, anyhow::Error>>()?;
            object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": labels}]});
            object["rules"] = Value::Null;
            return Ok(object);
        }
        let verbs = verbs(&self.rule.verb)?;
        anyhow::ensure!(
            !self.rule.resource.is_empty() || !self.urls.is_empty(),
            "one of resource or nonResourceURL must be specified"
        );
        let mut rules = rules(&self.rule, &verbs, known)?;
        rules.extend(url_rule(&self.urls, &verbs)?);
        object["rules"] = json!(rules);
        Ok(object)
    }
    fn refusal(&self) -> String {
        String::new()
    }
}

fn without_doubles(list: &[String]) -> Vec<&str> {
    let mut kept: Vec<&str> = Vec::new();
    for text in list {
        if !kept.contains(&text.as_str()) {
            kept.push(text);
        }
    }
    kept
}

fn verbs(given: &[String]) -> Result<Vec<&str>, anyhow::Error> {
    anyhow::ensure!(!given.is_empty(), "at least one verb must be specified");
    if given.iter().any(|verb| verb == "*") {
        return Ok(vec!["*"]);
    }
    Ok(without_doubles(given))
}

/// One rule per API group.
fn rules(args: &RuleArgs, verbs: &[&str], known: &Known) -> Result<Vec<Value>, anyhow::Error> {
    if !args.resource.is_empty() {
        for verb in verbs.iter().filter(|verb| !RESOURCE_VERBS.contains(verb)) {
            eprintln!("Warning: '{verb}' is not a standard resource verb");
        }
    }
    let none = Discovery::default();
    let discovery = known.discovery.as_ref().unwrap_or(&none);
    let mut typed: Vec<&str> = args.resource.iter().map(String::as_str).collect();
    if typed.contains(&"*") {
        typed = vec!["*"];
    }
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for typed in typed {
        let (group, name) = resource(typed, verbs, discovery)?;
        let names = groups.entry(group).or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let names = without_doubles(&args.resource_name);
    Ok(groups
        .into_iter()
        .map(|(group, resources)| {
            let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
            if !names.is_empty() {
                rule["resourceNames"] = json!(names);
            }
            rule
        })
        .collect())
}

/// Group and name of `deployments.apps/scale`, as the server calls it.
fn resource(
    typed: &str,
    verbs: &[&str],
    discovery: &Discovery,
) -> Result<(String, String), anyhow::Error> {
    let (main, part) = match typed.split_once('/') {
        Some((main, part)) => (main, format!("/{part}")),
        None => (typed, String::new()),
    };
    let (name, group) = main.split_once('.').unwrap_or((main, ""));
    anyhow::ensure!(
        !name.is_empty(),
        "resource must be specified if apiGroup/subresource specified"
    );
    let found = discovery.find(main).filter(|_| name != "*");
    let (name, group) = found.map_or((name, group), |found| (&found.plural, &found.group));
    let mut special = false;
    for (verb, allowed) in SPECIAL_VERBS
        .iter()
        .filter(|(verb, _)| name != "*" && verbs.contains(verb))
    {
        special = allowed.contains(&(name, group));
        anyhow::ensure!(
            special,
            "can not perform '{verb}' on '{name}' in group '{group}'"
        );
    }
    anyhow::ensure!(
        found.is_some() || special || name == "*",
        "the server doesn't have a resource type \"{main}\""
    );
    Ok((group.to_owned(), format!("{name}{part}")))
}

fn url_rule(urls: &[String], verbs: &[&str]) -> Result<Option<Value>, anyhow::Error> {
    if urls.is_empty() {
        return Ok(None);
    }
    if let Some(verb) = verbs.iter().find(|verb| !URL_VERBS.contains(verb)) {
        anyhow::bail!("invalid verb: '{verb}' for nonResourceURL");
    }
    for url in urls.iter().filter(|url| *url != "*") {
        anyhow::ensure!(url.starts_with('/'), "nonResourceURL should start with /");
        anyhow::ensure!(
            !url.trim_end_matches('*').contains('*') && !url.ends_with("**"),
            "nonResourceURL only supports wildcard matches when '*' is at the end"
        );
    }
    Ok(Some(
        json!({"nonResourceURLs": without_doubles(urls), "verbs": verbs}),
    ))
}

/// Who is bound.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SubjectArgs {
    /// A user; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub user: Vec<String>,
    /// A group; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub group: Vec<String>,
    /// A service account as namespace:name; may be repeated.
    #[arg(long, value_name = "NAMESPACE:NAME")]
    pub serviceaccount: Vec<String>,
}

impl SubjectArgs {
    /// Users, groups, service accounts, in this order.
    pub fn subjects(&self) -> Result<Vec<Value>, anyhow::Error> {
        let mut subjects = Vec::new();
        for (kind, names) in [("User", &self.user), ("Group", &self.group)] {
            subjects.extend(
                names
                    .iter()
                    .map(|name| json!({"apiGroup": GROUP, "kind": kind, "name": name})),
            );
        }
        for account in &self.serviceaccount {
            let (namespace, name) = account
                .split_once(':')
                .filter(|(namespace, name)| {
                    !namespace.is_empty() && !name.is_empty() && !name.contains(':')
                })
                .context("serviceaccount must be <namespace>:<name>")?;
            subjects.push(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}));
        }
        Ok(subjects)
    }
}

fn binding(
    kind: &str,
    name: &str,
    (role_kind, role): (&str, &str),
    subjects: &SubjectArgs,
) -> Result<Value, anyhow::Error> {
    let mut object = head(VERSION, kind, name);
    object["roleRef"] = json!({"apiGroup": GROUP, "kind": role_kind, "name": role});
    let subjects = subjects.subjects()?;
    if !subjects.is_empty() {
        object["subjects"] = Value::Array(subjects);
    }
    Ok(object)
}

#[derive(Debug, clap::Args)]
pub struct RoleBindingArgs {
    #[arg(value_name = "NAME")]
    name: String,
    /// The role of the namespace.
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// The cluster role.
    #[arg(long, value_name = "NAME")]
    clusterrole: Option<String>,
    #[command(flatten)]
    subjects: SubjectArgs,
    #[command(flatten)]
    common: Common,
}

impl Generate for RoleBindingArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        let role = match (&self.role, &self.clusterrole) {
            (Some(role), None) => ("Role", role.as_str()),
            (None, Some(role)) => ("ClusterRole", role.as_str()),
            _ => anyhow::bail!("exactly one of clusterrole or role must be specified"),
        };
        binding("RoleBinding", &self.name, role, &self.subjects)
    }
    fn refusal(&self) -> String {
        "failed to create rolebinding:".to_owned()
    }
}

#[derive(Debug, clap::Args)]
pub struct ClusterRoleBindingArgs {
    #[arg(value_name = "NAME")]
    name: String,
    /// The cluster role.
    #[arg(long, value_name = "NAME")]
    clusterrole: String,
    #[command(flatten)]
    subjects: SubjectArgs,
    #[command(flatten)]
    common: Common,
}

impl Generate for ClusterRoleBindingArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        let role = ("ClusterRole", self.clusterrole.as_str());
        binding("ClusterRoleBinding", &self.name, role, &self.subjects)
    }
    fn refusal(&self) -> String {
        "failed to create clusterrolebinding:".to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::discovery::Resource;

    fn known() -> Known {
        let resource = |group: &str, plural: &str, kind: &str| Resource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            kind: kind.to_owned(),
            ..Resource::default()
        };
        let resources = vec![
            resource("", "pods", "Pod"),
            resource("apps", "deployments", "Deployment"),
            resource(GROUP, "roles", "Role"),
        ];
        Known {
            discovery: Some(Discovery { resources }),
            object: None,
        }
    }

    fn made(resources: &[&str], verbs: &[&str]) -> Result<Value, anyhow::Error> {
        let args = RuleArgs {
            resource: resources.iter().map(|text| (*text).to_owned()).collect(),
            ..RuleArgs::default()
        };
        rules(&args, verbs, &known()).map(|rules| json!(rules))
    }

    #[test]
    fn resources_become_rules_by_group() {
        assert_eq!(
            made(
                &["deployment/scale", "pod", "pods", "deployments.apps"],
                &["get"]
            )
            .unwrap(),
            json!([
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
                {"apiGroups": ["apps"], "resources": ["deployments/scale", "deployments"], "verbs": ["get"]},
            ])
        );
        assert_eq!(
            made(&["pods", "*"], &["*"]).unwrap()[0]["resources"],
            json!(["*"])
        );
        assert!(made(&["users"], &["impersonate"]).is_ok());
        assert!(made(&["roles"], &["bind"]).is_ok());
        for (resource, verb) in [
            ("boats", "get"),
            ("pods", "bind"),
            (".apps", "get"),
            ("users", "get"),
        ] {
            assert!(made(&[resource], &[verb]).is_err(), "{verb} {resource}");
        }
    }

    #[test]
    fn urls() {
        let urls = |list: &[&str]| {
            list.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        assert!(url_rule(&urls(&["/a/*", "*"]), &["get"]).is_ok());
        assert!(url_rule(&urls(&["/a"]), &["list"]).is_err());
        for wrong in ["a", "/*/a", ""] {
            assert!(url_rule(&urls(&[wrong]), &["get"]).is_err(), "{wrong}");
        }
    }
}
