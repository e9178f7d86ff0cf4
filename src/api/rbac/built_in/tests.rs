//! Who may what by the built-in roles, and how they are completed.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::api::User;
use crate::api::rbac::policy::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Policy};
use crate::api::rbac::rules::{Attributes, Resource};

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
        !crate::api::rbac::escalation::uncovered(held, given).is_empty()
    };
    assert!(!lacks(&edit, &view) && !lacks(&admin, &edit));
    assert!(lacks(&view, &edit) && lacks(&edit, &admin));
    let view =
        Rule::of_role(&json!({"rules": view.iter().map(Rule::to_value).collect::<Vec<_>>()}));
    assert!(!view.iter().any(|rule| rule.has_resource("secrets", "")));
}

#[test]
fn what_is_missing_is_added_and_the_rest_stays() {
    let wanted = json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
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
