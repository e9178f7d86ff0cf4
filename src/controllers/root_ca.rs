//! Every active namespace has the authority's certificate in a ConfigMap, so that pods can trust the API.
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#root-ca-cert-publisher>

use super::action::{Action, Plan, Target};
use super::runner::Controller;
use super::world::{Change, Key, World};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

pub const NAME: &str = "kube-root-ca.crt";
const KEY: &str = "ca.crt";

pub struct RootCa {
    pub certificate_pem: String,
}

impl Controller for RootCa {
    fn name(&self) -> &'static str {
        "root-ca-certificate-publisher-controller"
    }

    fn keys(&self, _: &World, change: &Change) -> Vec<Key> {
        let namespace = |(namespace, _)| (String::new(), namespace);
        match change {
            Change::Namespace(diff) => diff.key().into_iter().collect(),
            Change::Authority(diff) => diff.key().map(namespace).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _: Timestamp) -> Plan {
        if !super::namespace::is_active(world, &key.1) {
            return Plan::default();
        }
        let data = json!({KEY: self.certificate_pem});
        let found = world.authorities.get(&(key.1.clone(), NAME.to_owned()));
        let action = match found {
            None => Action::Create {
                target: Target::named::<ConfigMap>(&key.1, NAME),
                object: json!({"metadata": {"name": NAME, "namespace": key.1}, "data": data}),
            },
            // Somebody changed it, or the authority is another one.
            Some(map)
                if map.data.as_ref().and_then(|d| d.get(KEY)) != Some(&self.certificate_pem) =>
            {
                Action::Patch {
                    target: Target::of::<ConfigMap>(&map.metadata),
                    part: None,
                    resource_version: None,
                    patch: json!({"data": data}),
                }
            }
            Some(_) => return Plan::default(),
        };
        Plan::of(vec![action])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_missing_is_made_and_what_is_wrong_put_right() {
        let publisher = RootCa {
            certificate_pem: "x".into(),
        };
        let namespace = |at: Option<&str>| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "deletionTimestamp": at}});
        let map = |text: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": "a"}, "data": {"ca.crt": text}});
        let ending = Some("2026-01-01T00:00:00Z");
        for (objects, expected) in [
            (vec![namespace(None)], "Create"),
            (vec![namespace(None), map("y")], "Patch"),
            (vec![namespace(None), map("x")], ""),
            (vec![namespace(ending)], ""),
        ] {
            let world = World::of(&objects);
            let plan =
                publisher.reconcile(&world, &(String::new(), "a".into()), Timestamp::UNIX_EPOCH);
            let found = match plan.actions.as_slice() {
                [Action::Create { .. }] => "Create",
                [Action::Patch { .. }] => "Patch",
                _ => "",
            };
            assert_eq!(found, expected, "{objects:?}");
        }
    }
}
