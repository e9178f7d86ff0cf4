//! The roles and bindings every cluster has: upstream's, as far as there is something to grant, and those our own parts
//! work under.
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings>

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

const ROLES: &[Role] = &[
    role(
        "cluster-admin",
        &[Grant("*", "*", "*"), Grant("*", URLS, "*")],
    ),
    role(
        "system:discovery",
        &[Grant(
            "get",
            URLS,
            "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
        )],
    ),
    role(
        "system:public-info-viewer",
        &[Grant(
            "get",
            URLS,
            "/healthz /livez /readyz /version /version/",
        )],
    ),
    role(
        "system:monitoring",
        &[Grant(
            "get",
            URLS,
            "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",
        )],
    ),
    role(
        "system:basic-user",
        &[
            Grant(
                "create",
                "authorization.k8s.io",
                "selfsubjectaccessreviews selfsubjectrulesreviews",
            ),
            Grant("create", "authentication.k8s.io", "selfsubjectreviews"),
        ],
    ),
    role(
        "system:auth-delegator",
        &[
            Grant("create", "authentication.k8s.io", "tokenreviews"),
            Grant("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
    ),
    role(
        "system:service-account-issuer-discovery",
        &[Grant(
            "get",
            URLS,
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        )],
    ),
    role(
        "system:kubelet-api-admin",
        &[
            Grant("get list watch proxy", "core", "nodes"),
            Grant(
                "*",
                "core",
                "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats",
            ),
        ],
    ),
    Role {
        name: "system:aggregate-to-view",
        part_of: Some("view"),
        grants: &[
            Grant(
                READ,
                "core",
                "bindings configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims persistentvolumeclaims/status pods pods/log pods/status replicationcontrollers replicationcontrollers/scale replicationcontrollers/status resourcequotas resourcequotas/status serviceaccounts services services/status",
            ),
            Grant(READ, "discovery.k8s.io", "endpointslices"),
            // The same objects as core's events.
            Grant(READ, "events.k8s.io", "events"),
            Grant(
                READ,
                "apps",
                "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
            ),
            Grant(
                READ,
                "autoscaling",
                "horizontalpodautoscalers horizontalpodautoscalers/status",
            ),
            Grant(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
            Grant(
                READ,
                "policy",
                "poddisruptionbudgets poddisruptionbudgets/status",
            ),
            Grant(
                READ,
                "networking.k8s.io",
                "ingresses ingresses/status networkpolicies",
            ),
        ],
    },
    Role {
        name: "system:aggregated-metrics-reader",
        part_of: Some("view"),
        grants: &[Grant("get list watch", "metrics.k8s.io", "pods nodes")],
    },
    Role {
        name: "system:aggregate-to-edit",
        part_of: Some("edit"),
        grants: &[
            Grant(
                READ,
                "core",
                "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
            ),
            Grant("impersonate", "core", "serviceaccounts"),
            Grant(
                WRITE,
                "core",
                "configmaps events persistentvolumeclaims pods pods/attach pods/exec pods/portforward pods/proxy replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy",
            ),
            Grant("create", "core", "pods/eviction serviceaccounts/token"),
            Grant(
                WRITE,
                "apps",
                "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
            ),
            Grant(WRITE, "autoscaling", "horizontalpodautoscalers"),
            Grant(WRITE, "batch", "cronjobs jobs"),
            Grant(WRITE, "policy", "poddisruptionbudgets"),
            Grant(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
            Grant(
                "create delete deletecollection get list patch update watch",
                "coordination.k8s.io",
                "leases",
            ),
        ],
    },
    Role {
        name: "system:aggregate-to-admin",
        part_of: Some("admin"),
        grants: &[
            Grant(
                "create",
                "authorization.k8s.io",
                "localsubjectaccessreviews",
            ),
            Grant(
                "create delete deletecollection get list patch update watch",
                GROUP,
                "rolebindings roles",
            ),
        ],
    },
    role(
        "system:node",
        &[
            Grant("create", "authentication.k8s.io", "tokenreviews"),
            Grant(
                "create",
                "authorization.k8s.io",
                "localsubjectaccessreviews subjectaccessreviews",
            ),
            Grant(READ, "core", "services nodes"),
            Grant("create patch update", "core", "nodes"),
            Grant("patch update", "core", "nodes/status"),
            Grant(REPORT, "core events.k8s.io", "events"),
            Grant(READ, "core", "pods"),
            Grant("create delete", "core", "pods"),
            Grant("patch update", "core", "pods/status"),
            Grant("create", "core", "pods/eviction"),
            Grant(READ, "core", "configmaps secrets"),
            Grant(READ, "core", "persistentvolumeclaims persistentvolumes"),
            // A node makes and removes its local volumes.
            Grant(WRITE, "core", "persistentvolumes persistentvolumes/status"),
            Grant("patch update", "core", "persistentvolumeclaims/status"),
            Grant("get", "core", "endpoints"),
            Grant("get", "core", "serviceaccounts"),
            Grant("create", "core", "serviceaccounts/token"),
            Grant(
                "create delete get patch update",
                "coordination.k8s.io",
                "leases",
            ),
            Grant(
                READ,
                "storage.k8s.io",
                "csidrivers storageclasses volumeattachments",
            ),
            Grant(READ, "node.k8s.io", "runtimeclasses"),
        ],
    ),
    role(
        "system:kube-scheduler",
        &[
            Grant(REPORT, "core events.k8s.io", "events"),
            Grant(READ, "core", "namespaces nodes"),
            Grant("delete get list watch", "core", "pods"),
            Grant("create", "core", "bindings pods/binding"),
            Grant("patch update", "core", "pods/status"),
            Grant(READ, "core", "replicationcontrollers services"),
            Grant(READ, "apps", "replicasets statefulsets"),
            Grant(READ, "policy", "poddisruptionbudgets"),
            Grant(
                "get list patch update watch",
                "core",
                "persistentvolumeclaims persistentvolumes",
            ),
            Grant(
                READ,
                "storage.k8s.io",
                "csidrivers csinodes csistoragecapacities storageclasses",
            ),
            Grant(
                "create get list patch update watch",
                "coordination.k8s.io",
                "leases",
            ),
        ],
    ),
    // Upstream gives each controller an account and a role of its own; together these reach as far. The controllers here
    // are one part, which empties namespaces of every kind and writes the rules of aggregated roles.
    role(
        "system:kube-controller-manager",
        &[
            Grant(
                "create delete deletecollection get list patch update watch",
                "*",
                "*",
            ),
            Grant("escalate", GROUP, "clusterroles"),
            Grant("get", URLS, "/api /api/* /apis /apis/*"),
        ],
    ),
];

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
    let plain = ROLES.iter().map(|role| {
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
        let collected: Vec<Value> = ROLES
            .iter()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::policy::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Policy};
    use super::super::rules::{Attributes, Resource};
    use super::*;
    use crate::api::User;

    #[test]
    fn everybody_may_what_upstream_lets_them() {
        let mut policy = Policy::default();
        for (prefix, objects) in [
            (CLUSTER_ROLES, cluster_roles()),
            (CLUSTER_ROLE_BINDINGS, cluster_role_bindings()),
        ] {
            for object in objects {
                let name = object["metadata"]["name"].as_str().unwrap();
                policy.put(&format!("{prefix}{name}"), Some(&object));
            }
        }
        let may = |name: &str, groups: &[&str], verb: &str, what: &str| {
            let user = User {
                name: name.into(),
                groups: groups.iter().map(|&group| group.into()).collect(),
                ..User::default()
            };
            let asked = if what.starts_with('/') {
                Attributes::path(verb, what)
            } else {
                let (group, resource) = what.split_once(':').unwrap();
                Attributes {
                    verb: verb.into(),
                    resource: Some(Resource {
                        group: group.into(),
                        namespace: "default".into(),
                        resource: resource.into(),
                        ..Resource::default()
                    }),
                    path: String::new(),
                }
            };
            policy.decide(&user, &asked).allowed
        };
        let account = ["system:serviceaccounts", AUTHENTICATED];
        for (name, groups, verb, what, expected) in [
            ("anonymous", &[UNAUTHENTICATED][..], "get", "/version", true),
            ("anonymous", &[UNAUTHENTICATED], "get", "/apis", false),
            ("sa", &account, "get", "/apis/apps/v1", true),
            ("sa", &account, "get", "/openapi/v3", true),
            ("sa", &account, "get", "/openid/v1/jwks", true),
            ("sa", &account, "get", "/metrics", false),
            (
                "sa",
                &account,
                "create",
                "authorization.k8s.io:selfsubjectaccessreviews",
                true,
            ),
            (
                "sa",
                &account,
                "create",
                "authorization.k8s.io:subjectaccessreviews",
                false,
            ),
            ("sa", &account, "get", ":pods", false),
            ("sa", &account, "get", ":secrets", false),
            ("system:node:a", &["system:nodes"], "list", ":pods", true),
            (
                "system:node:a",
                &["system:nodes"],
                "delete",
                ":nodes",
                false,
            ),
            (
                "system:node:a",
                &["system:nodes"],
                "create",
                ":secrets",
                false,
            ),
            ("system:kube-scheduler", &[], "list", ":nodes", true),
            ("system:kube-scheduler", &[], "get", ":secrets", false),
            (
                "system:kube-controller-manager",
                &[],
                "delete",
                "apps:deployments",
                true,
            ),
            (
                "system:kube-controller-manager",
                &[],
                "impersonate",
                ":users",
                false,
            ),
            ("root", &[ADMINISTRATORS], "impersonate", ":users", true),
        ] {
            assert_eq!(
                may(name, groups, verb, what),
                expected,
                "{name} {verb} {what}"
            );
        }
    }

    #[test]
    fn aggregated_roles_have_what_their_parts_have() {
        let roles = cluster_roles();
        let rules = |name: &str| {
            let role = roles
                .iter()
                .find(|role| role["metadata"]["name"] == name)
                .unwrap();
            Rule::of_role(role)
        };
        let (view, edit, admin) = (rules("view"), rules("edit"), rules("admin"));
        let lacks = |held: &[Rule], given: &[Rule]| {
            !super::super::escalation::uncovered(held, given).is_empty()
        };
        assert!(!lacks(&edit, &view) && !lacks(&admin, &edit));
        assert!(lacks(&view, &edit) && lacks(&edit, &admin));
        let view =
            Rule::of_role(&json!({"rules": view.iter().map(Rule::to_value).collect::<Vec<_>>()}));
        assert!(!view.iter().any(|rule| rule.has_resource("secrets", "")));
    }

    #[test]
    fn what_is_missing_is_added_and_the_rest_stays() {
        let wanted =
            json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
        let other = json!({"verbs": ["get"], "apiGroups": ["x"], "resources": ["y"]});
        let present = json!({"metadata": {}, "rules": [other]});
        let whole = completed(&present, &wanted).unwrap();
        assert_eq!(whole["rules"][0], other);
        assert_eq!(whole["rules"][1], wanted["rules"][0]);
        assert_eq!(completed(&whole, &wanted), None);
        let kept_out = json!({"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}});
        assert_eq!(completed(&kept_out, &wanted), None);
        let binding = &cluster_role_bindings()[0];
        assert_eq!(completed(binding, binding), None);
        let whole = completed(&json!({"metadata": {}, "roleRef": {}}), binding).unwrap();
        assert_eq!(whole["subjects"], binding["subjects"]);
        for role in cluster_roles() {
            assert_eq!(completed(&role, &role), None);
        }
    }
}
