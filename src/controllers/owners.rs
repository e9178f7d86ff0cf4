//! Which objects a controller manages: those it owns and selects; matching ones without an owner are adopted, owned
//! ones that no longer match are let go.
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/>

use super::action::{Action, Target};
use super::world::{PodView, Watched, World, controller};
use crate::object::selector::LabelSelector;
use k8s_openapi::Resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{self as meta, ObjectMeta, OwnerReference};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The owner as its objects name it: it manages them, and waits for their end when it is deleted in the foreground.
pub fn reference<T: Resource>(owner: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: T::API_VERSION.to_owned(),
        kind: T::KIND.to_owned(),
        name: owner.name.clone().unwrap_or_default(),
        uid: owner.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// A selector in our form. `None`: it cannot be read, which validation keeps out of the store.
pub fn selector(selector: &meta::LabelSelector) -> Option<LabelSelector> {
    LabelSelector::from_json(&json!(selector)).ok()
}

/// What an owner has, and what has to be written about that.
#[derive(Debug, Default)]
pub struct Claim<T> {
    /// Owned and matching, by name. Those that are to be adopted come with the next world.
    pub owned: Vec<Arc<T>>,
    /// Adoptions and releases.
    pub actions: Vec<Action>,
}

/// Sorts `candidates` (objects of the owner's namespace, and those it owns) into what is the owner's.
pub fn claim<'a, O, T>(
    owner: &O,
    selector: &LabelSelector,
    candidates: impl Iterator<Item = &'a Arc<T>>,
) -> Claim<T>
where
    O: Watched,
    T: Watched + 'a,
{
    let meta = owner.metadata();
    let uid = meta.uid.as_deref().unwrap_or_default();
    let ending = meta.deletion_timestamp.is_some();
    let mut claim = Claim {
        owned: Vec::new(),
        actions: Vec::new(),
    };
    for candidate in candidates {
        let its = candidate.metadata();
        let fits = !selector.is_empty() && selector.matches(labels(its));
        match controller(its) {
            Some(one) if one.uid == uid && fits => claim.owned.push(candidate.clone()),
            Some(one) if one.uid == uid && !ending => {
                claim.actions.push(release::<T>(its, uid));
            }
            None if fits && !ending && its.deletion_timestamp.is_none() => {
                // The owner may be deleted by now, its orphans kept on purpose.
                claim.actions.push(Action::Confirm(Target::of::<O>(meta)));
                claim.actions.push(adopt::<O, T>(meta, its));
            }
            _ => {}
        }
    }
    claim
}

/// `claim` for pods of the owner's namespace.
pub fn claim_pods<O: Watched>(
    world: &World,
    owner: &O,
    selector: &LabelSelector,
) -> Claim<PodView> {
    let namespace = owner.metadata().namespace.as_deref().unwrap_or_default();
    claim(owner, selector, world.pods.in_namespace(namespace))
}

pub fn labels(meta: &ObjectMeta) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    meta.labels.as_ref().unwrap_or(&NONE)
}

fn adopt<O: Watched, T: Watched>(owner: &ObjectMeta, its: &ObjectMeta) -> Action {
    let mut owners = its.owner_references.clone().unwrap_or_default();
    owners.retain(|o| Some(&o.uid) != owner.uid.as_ref());
    owners.push(reference::<O>(owner));
    set_owners::<T>(its, &owners)
}

pub fn release<T: Watched>(its: &ObjectMeta, uid: &str) -> Action {
    let mut owners = its.owner_references.clone().unwrap_or_default();
    owners.retain(|o| o.uid != uid);
    set_owners::<T>(its, &owners)
}

fn set_owners<T: Watched>(its: &ObjectMeta, owners: &[OwnerReference]) -> Action {
    // An empty list is no list.
    let owners = Some(owners).filter(|owners| !owners.is_empty());
    Action::Patch {
        target: Target::of::<T>(its),
        part: None,
        resource_version: its.resource_version.clone(),
        patch: json!({"metadata": {"ownerReferences": owners}}),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::Value;

    #[test]
    fn what_is_owned_adopted_and_released() {
        let owner = |ending: bool| -> ConfigMap {
            let at = ending.then_some("2026-01-01T00:00:00Z");
            serde_json::from_value(json!({"metadata": {"namespace": "a", "name": "o", "uid": "1", "deletionTimestamp": at}}))
                .unwrap()
        };
        let pod = |name: &str, app: &str, uid: &str| -> Value {
            let owners = match uid {
                "" => json!([]),
                uid => {
                    json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": uid, "controller": true}])
                }
            };
            json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"namespace": "a", "name": name, "labels": {"app": app}, "ownerReferences": owners}})
        };
        let world = World::of(&[
            pod("mine", "x", "1"),
            pod("other", "x", "2"),
            pod("stray", "x", ""),
            pod("unlike", "y", "1"),
        ]);
        let selector = LabelSelector::parse("app=x").unwrap();
        let names = |claim: &Claim<PodView>| -> Vec<String> {
            claim
                .owned
                .iter()
                .filter_map(|p| p.metadata.name.clone())
                .collect()
        };
        let found = claim_pods(&world, &owner(false), &selector);
        assert_eq!(names(&found), ["mine"]);
        let [
            Action::Confirm(_),
            Action::Patch { target, patch, .. },
            Action::Patch {
                target: released,
                patch: release,
                ..
            },
        ] = found.actions.as_slice()
        else {
            panic!("{:?}", found.actions);
        };
        assert_eq!(
            (target.name.as_str(), released.name.as_str()),
            ("stray", "unlike")
        );
        assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], "1");
        assert_eq!(release["metadata"]["ownerReferences"], json!(null));
        let found = claim_pods(&world, &owner(true), &selector);
        assert_eq!(
            (names(&found), found.actions),
            (vec!["mine".to_owned()], vec![])
        );
        let nothing = LabelSelector::parse("").unwrap();
        assert_eq!(names(&claim_pods(&world, &owner(true), &nothing)).len(), 0);
    }
}
