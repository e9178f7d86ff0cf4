//! Every active namespace has a ServiceAccount `default`.
//! <https://kubernetes.io/docs/concepts/security/service-accounts/#default-service-accounts>

use super::action::{Action, Plan, Target};
use super::runner::Controller;
use super::world::{Change, Key, World};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use serde_json::json;

const NAME: &str = "default";

pub struct ServiceAccounts;

impl Controller for ServiceAccounts {
    fn name(&self) -> &'static str {
        "service-account-controller"
    }

    fn keys(&self, _: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Namespace(diff) => diff.key().into_iter().collect(),
            Change::ServiceAccount(diff) if diff.new.is_none() => {
                let key = diff.key().filter(|(_, name)| name == NAME);
                key.map(|(namespace, _)| (String::new(), namespace))
                    .into_iter()
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _: Timestamp) -> Plan {
        let account = (key.1.clone(), NAME.to_owned());
        if !super::namespace::is_active(world, &key.1)
            || world.service_accounts.get(&account).is_some()
        {
            return Plan::default();
        }
        Plan::of(vec![Action::Create {
            target: Target::named::<ServiceAccount>(&key.1, NAME),
            object: json!({"metadata": {"name": NAME, "namespace": key.1}}),
        }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_active_namespaces_without_one_get_one() {
        let at = "2026-01-01T00:00:00Z";
        let world = World::of(&[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b", "deletionTimestamp": at}}),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "c"}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "c"}}),
        ]);
        for (namespace, expected) in [("a", 1), ("b", 0), ("c", 0), ("d", 0)] {
            let key = (String::new(), namespace.to_owned());
            let plan = ServiceAccounts.reconcile(&world, &key, Timestamp::UNIX_EPOCH);
            assert_eq!(plan.actions.len(), expected, "{namespace}");
        }
    }
}
