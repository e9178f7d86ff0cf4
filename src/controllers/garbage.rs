//! The garbage collector: what has lost its last owner goes; owners that wait for their dependents, or are to leave
//! them behind, are let go when that is done.
//! <https://kubernetes.io/docs/concepts/architecture/garbage-collection/>

use super::action::{Action, Plan, Target};
use super::runner::Controller;
use super::world::graph::{
    FOREGROUND, Graph, Node, ORPHAN, Owner, OwnerReferenceFields, graph_key, short, uid_of,
};
use super::world::{Change, Key, World};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};

pub struct GarbageCollector;

impl Controller for GarbageCollector {
    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }

    fn keys(&self, _: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Relation(uid) => vec![graph_key(*uid)],
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _: Timestamp) -> Plan {
        let node = uid_of(key).and_then(|uid| world.graph.get(uid));
        Plan::of(node.map_or_else(Vec::new, |node| actions(&world.graph, node)))
    }
}

fn actions(graph: &Graph, node: &Node) -> Vec<Action> {
    let uid = short(&node.meta.uid);
    if node.meta.orphans_dependents() {
        let mut actions: Vec<Action> = graph
            .dependents(uid)
            .map(|dependent| forget(dependent, |owner| short(&owner.uid) == uid))
            .collect();
        actions.push(without_finalizer(node, ORPHAN));
        return actions;
    }
    if node.meta.waits_for_dependents() {
        let blocks = |dependent: &&Node| {
            let mut owners = dependent.meta.owners().iter();
            owners.any(|o| short(&o.uid) == uid && o.block_owner_deletion == Some(true))
        };
        // The dependents are looked at for themselves: they see that this one waits.
        if graph.dependents(uid).any(|dependent| blocks(&dependent)) {
            return Vec::new();
        }
        return vec![without_finalizer(node, FOREGROUND)];
    }
    if node.meta.is_ending() {
        return Vec::new();
    }
    orphaned(graph, node)
}

/// For an object that stays unless its owners say otherwise.
fn orphaned(graph: &Graph, node: &Node) -> Vec<Action> {
    let owners = node.meta.owners();
    let states: Vec<Owner> = owners
        .iter()
        .map(|owner| graph.owner(node, owner))
        .collect();
    let any = |state| states.contains(&state);
    if owners.is_empty() || states.iter().all(|state| *state == Owner::Solid) {
        return Vec::new();
    }
    // Our own view may be younger than the owner: nothing is deleted before the API has been asked.
    let mut actions: Vec<Action> = owners
        .iter()
        .zip(&states)
        .filter(|(_, state)| **state == Owner::Absent)
        .filter_map(|(owner, _)| Some(Action::ConfirmGone(target_of_owner(graph, node, owner)?)))
        .collect();
    if any(Owner::Solid) {
        let solid = |owner: &OwnerReferenceFields| graph.owner(node, owner) == Owner::Solid;
        actions.push(forget(node, |owner| !solid(owner)));
        return actions;
    }
    let has_dependents = graph.dependents(short(&node.meta.uid)).next().is_some();
    let propagation =
        if any(Owner::Waiting) && has_dependents || node.meta.has_finalizer(FOREGROUND) {
            "Foreground"
        } else if node.meta.has_finalizer(ORPHAN) {
            "Orphan"
        } else {
            "Background"
        };
    actions.push(Action::Delete {
        target: target(node),
        // Its owners may have changed meanwhile.
        resource_version: Some(node.meta.resource_version.clone()),
        grace_period_seconds: None,
        propagation: Some(propagation),
    });
    actions
}

fn target(node: &Node) -> Target {
    let resource = &node.resource;
    Target {
        api_version: resource.api_version.clone().into(),
        kind: resource.kind.clone().into(),
        group: resource.group.clone().into(),
        version: resource.version.clone().into(),
        plural: resource.plural.clone().into(),
        namespace: node.meta.namespace.clone(),
        name: node.meta.name.clone(),
        uid: node.meta.uid.clone(),
    }
}

/// Where the owner would be. `None`: there is no such kind, and so no such owner.
fn target_of_owner(graph: &Graph, node: &Node, owner: &OwnerReferenceFields) -> Option<Target> {
    let resource = graph.resource(&owner.api_version, &owner.kind)?;
    Some(Target {
        api_version: resource.api_version.clone().into(),
        kind: resource.kind.clone().into(),
        group: resource.group.clone().into(),
        version: resource.version.clone().into(),
        plural: resource.plural.clone().into(),
        namespace: if resource.namespaced {
            node.meta.namespace.clone()
        } else {
            String::new()
        },
        name: owner.name.clone(),
        uid: owner.uid.clone(),
    })
}

/// The node without the owners that `which` names.
fn forget(node: &Node, which: impl Fn(&OwnerReferenceFields) -> bool) -> Action {
    let kept: Vec<OwnerReference> = node
        .meta
        .owners()
        .iter()
        .filter(|owner| !which(owner))
        .map(OwnerReference::from)
        .collect();
    // An empty list is no list.
    let kept = Some(kept).filter(|kept| !kept.is_empty());
    patch(node, json!({"ownerReferences": kept}))
}

fn without_finalizer(node: &Node, name: &str) -> Action {
    let finalizers = node.meta.finalizers.iter().flatten();
    let kept: Vec<&String> = finalizers.filter(|f| *f != name).collect();
    let kept = Some(kept).filter(|kept| !kept.is_empty());
    patch(node, json!({"finalizers": kept}))
}

fn patch(node: &Node, metadata: Value) -> Action {
    Action::Patch {
        target: target(node),
        part: None,
        resource_version: Some(node.meta.resource_version.clone()),
        patch: json!({"metadata": metadata}),
    }
}

#[cfg(test)]
#[path = "garbage_tests.rs"]
mod tests;
