//! A ClusterRole with an aggregation rule has the rules of those it selects.
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles>

use super::action::{Action, Plan, Target};
use super::runner::Controller;
use super::world::{Change, Key, World, key};
use crate::object::selector::LabelSelector;
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use serde_json::json;

pub struct AggregatedRoles;

impl Controller for AggregatedRoles {
    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        let Change::ClusterRole(diff) = change else {
            return Vec::new();
        };
        let itself = diff.key();
        let aggregated = world
            .cluster_roles
            .iter()
            .filter(|role| role.aggregation_rule.is_some());
        let mut keys: Vec<Key> = aggregated.map(|role| key(&role.metadata)).collect();
        keys.extend(itself);
        keys
    }

    fn reconcile(&self, world: &World, key: &Key, _: Timestamp) -> Plan {
        let Some(role) = world.cluster_roles.get(key) else {
            return Plan::default();
        };
        let patch = rules(role, world).map(|rules| Action::Patch {
            target: Target::of::<ClusterRole>(&role.metadata),
            part: None,
            resource_version: None,
            patch: json!({"rules": rules}),
        });
        Plan::of(patch.into_iter().collect())
    }
}

/// The rules the role is to have; `None`: it has them, or is an ordinary one.
fn rules(role: &ClusterRole, world: &World) -> Option<Vec<PolicyRule>> {
    let selectors = selectors(role)?;
    let mut rules: Vec<PolicyRule> = Vec::new();
    for other in world.cluster_roles.iter() {
        let labels = super::owners::labels(&other.metadata);
        if other.metadata.name == role.metadata.name
            || !selectors.iter().any(|selector| selector.matches(labels))
        {
            continue;
        }
        for rule in other.rules.iter().flatten() {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    let held = role.rules.as_deref().unwrap_or_default();
    // Their order means nothing: the same rules in another one are not written again.
    let same = held.len() == rules.len() && held.iter().all(|rule| rules.contains(rule));
    (!same).then_some(rules)
}

/// `None`: the role is an ordinary one. A selector that cannot be read selects nothing; validation keeps them out.
fn selectors(role: &ClusterRole) -> Option<Vec<LabelSelector>> {
    let selectors = role.aggregation_rule.as_ref()?;
    let selectors = selectors.cluster_role_selectors.iter().flatten();
    Some(
        selectors
            .filter_map(|selector| LabelSelector::from_json(&json!(selector)).ok())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::Value;

    /// The rules that `whole` is given.
    fn given(roles: &[Value], name: &str) -> Option<Value> {
        let mut roles = roles.to_vec();
        for role in &mut roles {
            role["apiVersion"] = "rbac.authorization.k8s.io/v1".into();
            role["kind"] = "ClusterRole".into();
        }
        let world = World::of(&roles);
        let role = world
            .cluster_roles
            .get(&(String::new(), name.to_owned()))
            .unwrap();
        rules(role, &world).map(|rules| json!(rules))
    }

    #[test]
    fn rules_are_collected_once_and_then_left() {
        let get = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        let put = json!({"verbs": ["update"], "apiGroups": [""], "resources": ["pods"]});
        let part = |name: &str, rules: &[&Value]| json!({"metadata": {"name": name, "labels": {"into": "whole"}}, "rules": rules});
        let mut whole = json!({
            "metadata": {"name": "whole", "labels": {"into": "whole"}},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"into": "whole"}}]},
        });
        let parts = [part("a", &[&get]), part("b", &[&put, &get])];
        let other = json!({"metadata": {"name": "c"}, "rules": [{"verbs": ["delete"]}]});
        let given = |whole: &Value| {
            given(
                &[
                    whole.clone(),
                    parts[0].clone(),
                    parts[1].clone(),
                    other.clone(),
                ],
                "whole",
            )
        };
        assert_eq!(given(&whole), Some(json!([get, put])));
        whole["rules"] = json!([put, get]);
        assert_eq!(given(&whole), None);
        whole["rules"] = json!([put, get, {"verbs": ["*"]}]);
        assert_eq!(given(&whole), Some(json!([get, put])));
    }

    #[test]
    fn the_built_in_roles_need_no_work() {
        let roles = crate::api::rbac::built_in::cluster_roles();
        for role in &roles {
            let name = role["metadata"]["name"].as_str().unwrap();
            assert_eq!(given(&roles, name), None, "{name}");
        }
    }
}
