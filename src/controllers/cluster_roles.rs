//! A ClusterRole with an aggregation rule has the rules of those it selects.
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles>

use crate::client::informer::{Event, Scope, informer};
use crate::client::{Client, ClientError, PatchType};
use crate::object::selector::LabelSelector;
use futures::StreamExt;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A refused write is tried again after this; meanwhile news may have made it needless.
const RETRY: Duration = Duration::from_secs(5);

type Roles = BTreeMap<String, ClusterRole>;

/// Roles whose rules are not what they aggregate, with the rules they are to have.
pub fn reconcile(roles: &Roles) -> Vec<(String, Vec<PolicyRule>)> {
    roles
        .iter()
        .filter_map(|(name, role)| {
            let selectors = selectors(role)?;
            let mut rules: Vec<PolicyRule> = Vec::new();
            for other in roles.values() {
                let labels = other.metadata.labels.clone().unwrap_or_default();
                if other.metadata.name == role.metadata.name
                    || !selectors.iter().any(|selector| selector.matches(&labels))
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
            (!same).then(|| (name.clone(), rules))
        })
        .collect()
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

/// Keeps aggregated roles complete until `stop`.
pub async fn run(client: Client, stop: CancellationToken) {
    let mut events = informer::<ClusterRole>(&client, Scope::default());
    let mut roles = Roles::new();
    let mut known = false;
    let mut failed = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(event) = events.next() => {
                known = true;
                take(&mut roles, event);
            }
            () = tokio::time::sleep(RETRY), if failed => {}
        }
        if !known {
            continue;
        }
        failed = false;
        for (name, rules) in reconcile(&roles) {
            if let Err(error) = write(&client, &name, &rules).await {
                tracing::warn!(role = name, %error, "an aggregated role is not complete yet");
                failed = true;
            }
        }
    }
}

async fn write(client: &Client, name: &str, rules: &[PolicyRule]) -> Result<(), ClientError> {
    let patch = json!({"rules": rules});
    let result = client
        .patch::<ClusterRole>(None, name, None, PatchType::Merge, &patch)
        .await;
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}

fn take(roles: &mut Roles, event: Event<ClusterRole>) {
    let name = |role: &ClusterRole| role.metadata.name.clone().unwrap_or_default();
    match event {
        Event::Restarted(all) => *roles = all.into_iter().map(|role| (name(&role), role)).collect(),
        Event::Applied(role) => drop(roles.insert(name(&role), role)),
        Event::Deleted(role) => drop(roles.remove(&name(&role))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::Value;

    fn roles(list: &[Value]) -> Roles {
        let mut roles = Roles::new();
        let all = list
            .iter()
            .map(|role| serde_json::from_value(role.clone()).unwrap());
        take(&mut roles, Event::Restarted(all.collect()));
        roles
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
        let all = |whole: &Value| {
            roles(&[
                whole.clone(),
                parts[0].clone(),
                parts[1].clone(),
                other.clone(),
            ])
        };
        let found = reconcile(&all(&whole));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "whole");
        assert_eq!(json!(found[0].1), json!([get, put]));
        whole["rules"] = json!([put, get]);
        assert!(reconcile(&all(&whole)).is_empty());
        whole["rules"] = json!([put, get, {"verbs": ["*"]}]);
        assert_eq!(json!(reconcile(&all(&whole))[0].1), json!([get, put]));
    }

    #[test]
    fn the_built_in_roles_need_no_work() {
        let roles = roles(&crate::api::rbac::built_in::cluster_roles());
        assert_eq!(reconcile(&roles), []);
    }
}
