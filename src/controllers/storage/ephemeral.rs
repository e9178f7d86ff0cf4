//! Claims that pods bring along, and those whose pod is gone.
//! <https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes>

use crate::controllers::action::{Action, Plan, Target};
use crate::controllers::owners;
use crate::controllers::runner::Controller;
use crate::controllers::world::{Change, Key, PodView, World};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::json;
use std::sync::Arc;

pub struct Ephemeral;

impl Controller for Ephemeral {
    fn name(&self) -> &'static str {
        "ephemeral-volume-controller"
    }

    fn keys(&self, _: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Pod(diff) => {
                let pod = diff.newest();
                let brings =
                    pod.is_some_and(|p| p.spec.volumes.iter().any(|v| v.ephemeral.is_some()));
                diff.key().filter(|_| brings).into_iter().collect()
            }
            Change::Claim(diff) => diff.controllers("Pod"),
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _: Timestamp) -> Plan {
        let pod = world.pods.get(key);
        let mut actions = missing(world, key, pod);
        actions.extend(orphans(world, key, pod));
        Plan::of(actions)
    }
}

fn missing(world: &World, (namespace, name): &Key, pod: Option<&Arc<PodView>>) -> Vec<Action> {
    let Some(pod) = pod.filter(|pod| !pod.is_ending()) else {
        return Vec::new();
    };
    let mut actions = Vec::new();
    for volume in &pod.spec.volumes {
        let ephemeral = volume.ephemeral.as_ref();
        let Some(template) = ephemeral.and_then(|e| e.volume_claim_template.as_ref()) else {
            continue;
        };
        let claim = format!("{name}-{}", volume.name);
        if world
            .claims
            .get(&(namespace.clone(), claim.clone()))
            .is_some()
        {
            continue;
        }
        let mut metadata = template.metadata.clone().unwrap_or_default();
        metadata.name = Some(claim.clone());
        metadata.namespace = Some(namespace.clone());
        metadata.owner_references = Some(vec![owners::reference::<PodView>(&pod.metadata)]);
        let object = PersistentVolumeClaim {
            metadata,
            spec: Some(template.spec.clone()),
            status: None,
        };
        actions.push(Action::Create {
            target: Target::named::<PersistentVolumeClaim>(namespace, &claim),
            object: json!(object),
        });
    }
    actions
}

fn orphans(world: &World, (namespace, name): &Key, pod: Option<&Arc<PodView>>) -> Vec<Action> {
    let uid = pod.and_then(|pod| pod.metadata.uid.as_deref());
    let mut actions = Vec::new();
    for claim in world.claims.in_namespace(namespace) {
        let meta = &claim.metadata;
        let owner = crate::controllers::world::controller(meta)
            .filter(|owner| owner.kind == "Pod" && owner.name == *name);
        let Some(owner) = owner.filter(|_| meta.deletion_timestamp.is_none()) else {
            continue;
        };
        if uid != Some(owner.uid.as_str()) {
            actions.push(Action::ConfirmGone(Target {
                uid: owner.uid.clone(),
                ..Target::named::<PodView>(namespace, name)
            }));
            actions.push(Action::Delete {
                target: Target::of::<PersistentVolumeClaim>(meta),
                resource_version: None,
                grace_period_seconds: None,
                propagation: None,
            });
        }
    }
    actions
}
