//! What a node may touch beyond its role: only what its own pods need.
//! <https://kubernetes.io/docs/reference/access-authn-authz/node/>
//!
//! Upstream keeps a graph of all pods and what they mention. Here the pods of one namespace are looked through at the
//! moment of the question, and only those are decoded whose text has the right names in it: no memory, and a question
//! costs less than the answer it guards.

use super::User;
use super::rbac::rules::{Attributes, Resource};
use super::status::ApiResult;
use crate::object::access::{list, text};
use crate::store::{Key, ListOptions, Store};
use serde_json::{Value, json};

const PREFIX: &str = "system:node:";
const GROUP: &str = "system:nodes";

/// Pods read at a time.
const CHUNK_ROWS: usize = 50;

/// How deep a pod's mentions are looked for: a projected volume's source stands six levels down.
const DEPTH_MAX: usize = 12;

/// The node whose agent `user` is.
pub(super) fn node_of(user: &User) -> Option<&str> {
    user.name
        .strip_prefix(PREFIX)
        .filter(|_| user.groups.iter().any(|group| group == GROUP))
}

/// Whether a node's agent may ask this, as far as its role lets it; `Err`: why not.
pub(super) fn allows(
    store: &Store,
    node: &str,
    asked: &Attributes,
) -> ApiResult<Result<(), String>> {
    let Some(resource) = &asked.resource else {
        return Ok(Ok(()));
    };
    let refused = |why: &str| Ok(Err(format!("node {node:?}: {why}")));
    if resource.group == "coordination.k8s.io" && resource.resource == "leases" {
        return match lease_is_its_own(&asked.verb, resource, node) {
            Ok(()) => Ok(Ok(())),
            Err(why) => refused(why),
        };
    }
    if !resource.group.is_empty() {
        return Ok(Ok(()));
    }
    let mention = match (&*resource.resource, &*resource.subresource) {
        ("secrets", _) => Mention::Secret,
        ("configmaps", _) => Mention::ConfigMap,
        ("serviceaccounts", _) => Mention::Account,
        ("nodes", _) if matches!(&*asked.verb, "update" | "patch" | "delete") => {
            return if resource.name == node {
                Ok(Ok(()))
            } else {
                refused("it may only change its own Node")
            };
        }
        ("pods", part)
            if matches!(&*asked.verb, "update" | "patch" | "delete") || part == "eviction" =>
        {
            return if is_ours(store, node, resource)? {
                Ok(Ok(()))
            } else {
                refused("it may only change pods that are bound to it")
            };
        }
        ("persistentvolumes", _) if matches!(&*asked.verb, "update" | "patch" | "delete") => {
            let stored = store.get(&Key(format!("persistentvolumes/{}", resource.name)))?;
            let on_it = match stored {
                Some(stored) => volume_is_on(&super::stored_value(&stored.json)?, node),
                None => true,
            };
            return if on_it {
                Ok(Ok(()))
            } else {
                refused("it may only change volumes on itself")
            };
        }
        _ => return Ok(Ok(())),
    };
    if resource.name.is_empty() || resource.namespace.is_empty() {
        return refused("can only be asked for one at a time");
    }
    if mentioned(store, node, resource, mention)? {
        Ok(Ok(()))
    } else {
        refused("no relationship found between it and this object")
    }
}

/// Where nodes say that they live.
const LEASES: &str = "kube-node-lease";

/// A node's heartbeat bears its name. What one is made with is looked at when it is made: the path has no name yet.
fn lease_is_its_own(verb: &str, resource: &Resource, node: &str) -> Result<(), &'static str> {
    if resource.namespace != LEASES {
        Err("can only access leases in the \"kube-node-lease\" system namespace")
    } else if resource.name != node && verb != "create" {
        Err("can only access node lease with the same name as the requesting node")
    } else {
        Ok(())
    }
}

/// A pod that is gone is nobody's: whoever asks learns that from the answer.
fn is_ours(store: &Store, node: &str, resource: &Resource) -> ApiResult<bool> {
    let key = Key(format!("pods/{}/{}", resource.namespace, resource.name));
    let Some(stored) = store.get(&key)? else {
        return Ok(true);
    };
    let pod = super::stored_value(&stored.json)?;
    Ok(text(&pod, "/spec/nodeName") == node)
}

/// Whether a PersistentVolume can be used on this node and no other: a node makes and removes its local volumes.
pub(super) fn volume_is_on(volume: &Value, node: &str) -> bool {
    let terms = list(volume, "/spec/nodeAffinity/required/nodeSelectorTerms");
    let is_host = |expression: &Value| {
        text(expression, "/key") == "kubernetes.io/hostname"
            && text(expression, "/operator") == "In"
            && expression["values"] == json!([node])
    };
    !terms.is_empty()
        && terms
            .iter()
            .all(|term| list(term, "/matchExpressions").iter().any(is_host))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mention {
    Secret,
    ConfigMap,
    Account,
}

fn mentioned(store: &Store, node: &str, resource: &Resource, mention: Mention) -> ApiResult<bool> {
    let needle = Value::from(resource.name.as_str()).to_string();
    let node_needle = Value::from(node).to_string();
    let mut options = ListOptions {
        prefix: format!("pods/{}/", resource.namespace),
        limit: Some(CHUNK_ROWS),
        ..ListOptions::default()
    };
    loop {
        let page = store.list(&options)?;
        for item in &page.items {
            let text = std::str::from_utf8(&item.json).unwrap_or_default();
            if !text.contains(&node_needle) || !text.contains(&needle) {
                continue;
            }
            let pod = super::stored_value(&item.json)?;
            if mentions(&pod, node, mention, &resource.name) {
                return Ok(true);
            }
        }
        options.after = page.items.into_iter().last().map(|item| item.key);
        if !page.more {
            return Ok(false);
        }
    }
}

/// Whether `pod` is bound to `node` and mentions the object `name`.
fn mentions(pod: &Value, node: &str, mention: Mention, name: &str) -> bool {
    if name.is_empty() || text(pod, "/spec/nodeName") != node {
        return false;
    }
    if mention == Mention::Account {
        return text(pod, "/spec/serviceAccountName") == name;
    }
    walk(&pod["spec"], mention, name, DEPTH_MAX)
}

fn walk(value: &Value, mention: Mention, name: &str, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    match value {
        Value::Array(items) => items.iter().any(|item| walk(item, mention, name, depth)),
        Value::Object(fields) => fields.iter().any(|(field, value)| {
            let named = |value: &Value| text(value, "/name") == name;
            let hit = match (mention, field.as_str()) {
                (Mention::Secret, "secretName") => value == name,
                (
                    Mention::Secret,
                    "secret" | "secretRef" | "secretKeyRef" | "nodePublishSecretRef",
                )
                | (Mention::ConfigMap, "configMap" | "configMapRef" | "configMapKeyRef") => {
                    named(value)
                }
                (Mention::Secret, "imagePullSecrets") => {
                    value.as_array().into_iter().flatten().any(named)
                }
                _ => false,
            };
            hit || walk(value, mention, name, depth)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_volume_is_on_one_node() {
        let volume = |terms: Value| json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}});
        let on = |values: Value| json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": values}]});
        for (volume, expected) in [
            (volume(json!([on(json!(["n"]))])), true),
            (volume(json!([on(json!(["m"]))])), false),
            (volume(json!([on(json!(["n", "m"]))])), false),
            (volume(json!([on(json!(["n"])), {}])), false),
            (volume(json!([])), false),
            (json!({}), false),
        ] {
            assert_eq!(volume_is_on(&volume, "n"), expected, "{volume}");
        }
    }

    #[test]
    fn a_node_sees_what_its_pods_mention() {
        let pod = json!({"metadata": {"name": "web"}, "spec": {
            "nodeName": "n", "serviceAccountName": "sa",
            "imagePullSecrets": [{"name": "pull"}],
            "volumes": [
                {"name": "a", "secret": {"secretName": "s1"}},
                {"name": "b", "projected": {"sources": [{"secret": {"name": "s2"}}, {"configMap": {"name": "c1"}}]}},
            ],
            "containers": [{"name": "one",
                "env": [{"valueFrom": {"secretKeyRef": {"name": "s3", "key": "k"}}}, {"valueFrom": {"configMapKeyRef": {"name": "c2"}}}],
                "envFrom": [{"secretRef": {"name": "s4"}}, {"configMapRef": {"name": "c3"}}]}],
        }});
        for (mention, names) in [
            (Mention::Secret, &["s1", "s2", "s3", "s4", "pull"][..]),
            (Mention::ConfigMap, &["c1", "c2", "c3"]),
            (Mention::Account, &["sa"]),
        ] {
            for name in names {
                assert!(mentions(&pod, "n", mention, name), "{mention:?} {name}");
                assert!(!mentions(&pod, "other", mention, name), "{name}");
            }
            for name in ["one", "x", ""] {
                assert!(!mentions(&pod, "n", mention, name), "{mention:?} {name}");
            }
        }
        assert!(!mentions(&pod, "n", Mention::ConfigMap, "s2"));
        assert!(!mentions(&json!(null), "n", Mention::Secret, "x"));
    }

    #[test]
    fn only_members_of_the_group_are_nodes() {
        let user = |name: &str, group: &str| User {
            name: name.into(),
            groups: vec![group.into()],
            ..User::default()
        };
        assert_eq!(node_of(&user("system:node:a", "system:nodes")), Some("a"));
        assert_eq!(node_of(&user("system:node:a", "x")), None);
        assert_eq!(node_of(&user("a", "system:nodes")), None);
    }
}
