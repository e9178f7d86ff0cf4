//! The roles and bindings every cluster has: upstream's, as far as there is something to grant, and those our own parts
//! work under.
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings>

mod components;
mod everybody;
mod people;
#[cfg(test)]
mod tests;

use super::rules::Rule;
use super::{ADMINISTRATORS, GROUP};
use serde_json::{Value, json};

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const REPORT: &str = "create patch update";

/// Verbs, groups and resources (or, without groups, URLs), each a list of words. `core` is the group without a name.
struct Grant(&'static str, &'static str, &'static str);

const URLS: &str = "";

struct Role {
    name: &'static str,
    /// Goes into the role of this name (`aggregate-to-…`).
    part_of: Option<&'static str>,
    grants: &'static [Grant],
}

const fn role(name: &'static str, grants: &'static [Grant]) -> Role {
    Role {
        name,
        part_of: None,
        grants,
    }
}

/// Every role that is not made of others.
fn roles() -> impl Iterator<Item = &'static Role> {
    everybody::ROLES
        .iter()
        .chain(people::ROLES)
        .chain(components::ROLES)
}

/// Which roles are made of others, and under which labels they collect them.
const AGGREGATED: &[(&str, &[&str])] = &[
    ("admin", &["admin", "edit", "view"]),
    ("edit", &["edit", "view"]),
    ("view", &["view"]),
];

const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Bindings bear their role's name. Subjects: `Group` or `User`, and its name.
const BINDINGS: &[(&str, &[(&str, &str)])] = &[
    ("cluster-admin", &[("Group", ADMINISTRATORS)]),
    ("system:monitoring", &[("Group", "system:monitoring")]),
    ("system:discovery", &[("Group", AUTHENTICATED)]),
    (
        "system:public-info-viewer",
        &[("Group", AUTHENTICATED), ("Group", UNAUTHENTICATED)],
    ),
    ("system:basic-user", &[("Group", AUTHENTICATED)]),
    (
        "system:service-account-issuer-discovery",
        &[("Group", "system:serviceaccounts")],
    ),
    ("system:node", &[("Group", "system:nodes")]),
    (
        "system:kube-scheduler",
        &[("User", "system:kube-scheduler")],
    ),
    (
        "system:kube-controller-manager",
        &[("User", "system:kube-controller-manager")],
    ),
];

fn rule(Grant(verbs, groups, what): &Grant) -> Rule {
    let words = |text: &str| text.split_whitespace().map(Into::into).collect();
    if *groups == URLS {
        return Rule {
            verbs: words(verbs),
            urls: words(what),
            ..Rule::default()
        };
    }
    Rule {
        verbs: words(verbs),
        groups: groups
            .split_whitespace()
            .map(|group| if group == "core" { "" } else { group }.into())
            .collect(),
        resources: words(what),
        ..Rule::default()
    }
}

/// The rules of an administrator.
pub fn everything() -> Vec<Rule> {
    vec![rule(&Grant("*", "*", "*")), rule(&Grant("*", URLS, "*"))]
}

fn metadata(name: &str, labels: &[(String, &str)]) -> Value {
    let mut metadata = json!({
        "name": name,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    });
    for (label, value) in labels {
        metadata["labels"][label] = (*value).into();
    }
    metadata
}

fn aggregation_label(role: &str) -> String {
    format!("{GROUP}/aggregate-to-{role}")
}

/// Every ClusterRole, the aggregated ones with the rules they come to have.
pub fn cluster_roles() -> Vec<Value> {
    let version = format!("{GROUP}/v1");
    let rules = |grants: &[Grant]| -> Vec<Value> {
        grants.iter().map(|grant| rule(grant).to_value()).collect()
    };
    let plain = roles().map(|role| {
        let labels: Vec<_> = role
            .part_of
            .iter()
            .map(|whole| (aggregation_label(whole), "true"))
            .collect();
        json!({
            "apiVersion": version, "kind": "ClusterRole", "metadata": metadata(role.name, &labels),
            "rules": rules(role.grants),
        })
    });
    let aggregated = AGGREGATED.iter().map(|(name, parts)| {
        // A role that is collected is labelled for the next one: an administrator's extension of `view` reaches `edit`.
        let labels: Vec<_> = AGGREGATED
            .iter()
            .filter(|(other, others)| other != name && others.contains(name))
            .map(|(other, _)| (aggregation_label(other), "true"))
            .collect();
        let selectors: Vec<Value> = parts
            .iter()
            .map(|part| json!({"matchLabels": {aggregation_label(part): "true"}}))
            .collect();
        let collected: Vec<Value> = roles()
            .filter(|role| role.part_of.is_some_and(|whole| parts.contains(&whole)))
            .flat_map(|role| rules(role.grants))
            .collect();
        json!({
            "apiVersion": version, "kind": "ClusterRole", "metadata": metadata(name, &labels),
            "aggregationRule": {"clusterRoleSelectors": selectors}, "rules": collected,
        })
    });
    plain.chain(aggregated).collect()
}

/// Every ClusterRoleBinding.
pub fn cluster_role_bindings() -> Vec<Value> {
    BINDINGS
        .iter()
        .map(|(role, subjects)| {
            let subjects: Vec<Value> = subjects
                .iter()
                .map(|(kind, name)| json!({"apiGroup": GROUP, "kind": kind, "name": name}))
                .collect();
            json!({
                "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRoleBinding", "metadata": metadata(role, &[]),
                "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}, "subjects": subjects,
            })
        })
        .collect()
}

/// What `present` lacks of `wanted` (one of ours), with it; `None`: nothing, or its owner keeps us out. A newer version's
/// roles thus reach an older cluster, and what an administrator added stays.
/// <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation>
pub fn completed(present: &Value, wanted: &Value) -> Option<Value> {
    let annotation = "/metadata/annotations/rbac.authorization.kubernetes.io~1autoupdate";
    if present.pointer(annotation) == Some(&Value::from("false")) {
        return None;
    }
    let mut whole = present.clone();
    let mut changed = false;
    // The rules of an aggregated role are its controller's.
    let fields: &[&str] = if wanted["aggregationRule"].is_null() {
        &["rules", "subjects"]
    } else {
        &[]
    };
    for field in fields {
        let Some(wanted) = wanted[*field].as_array() else {
            continue;
        };
        let mut list = present[*field].as_array().cloned().unwrap_or_default();
        let missing: Vec<Value> = if *field == "rules" {
            let held = Rule::of_role(present);
            let given: Vec<Rule> = wanted.iter().map(Rule::from_value).collect();
            super::escalation::uncovered(&held, &given)
                .iter()
                .map(Rule::to_value)
                .collect()
        } else {
            let there = |one: &&Value| {
                !list.iter().any(|held| {
                    ["kind", "name", "namespace"]
                        .iter()
                        .all(|field| held[*field] == one[*field])
                })
            };
            wanted.iter().filter(there).cloned().collect()
        };
        changed |= !missing.is_empty();
        list.extend(missing);
        whole[*field] = list.into();
    }
    changed.then_some(whole)
}
