//! What the plan is made from: as large as the volumes, claims and classes there are, and the pods that use claims.

use crate::client::informer::Event;
use crate::object::storage::DEFAULT_CLASS;
use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimTemplate, Pod,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// Namespace and name; cluster-wide kinds have no namespace.
pub type Key = (String, String);

/// A pod, as far as its claims go.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodUse {
    pub uid: String,
    /// Bound to a node and not over: its claims are in use.
    pub uses: bool,
    pub ending: bool,
    pub claims: Vec<String>,
    /// Claims to make for it.
    pub templates: Vec<(String, PersistentVolumeClaimTemplate)>,
}

#[derive(Debug, Default)]
pub struct Snapshot {
    pub volumes: BTreeMap<Key, PersistentVolume>,
    pub claims: BTreeMap<Key, PersistentVolumeClaim>,
    pub classes: BTreeMap<Key, StorageClass>,
    pub pods: BTreeMap<Key, PodUse>,
    /// Volumes, claims, classes, pods: whether they have been listed.
    known: [bool; 4],
}

impl Snapshot {
    pub fn is_known(&self) -> bool {
        self.known.iter().all(|known| *known)
    }

    pub fn has_claim(&self, uid: &str) -> bool {
        self.claims
            .values()
            .any(|c| c.metadata.uid.as_deref() == Some(uid))
    }

    /// Each takes in an event; true where the plan may change.
    pub fn on_volume(&mut self, event: Event<PersistentVolume>) -> bool {
        self.known[0] = true;
        take_in(&mut self.volumes, event);
        true
    }

    pub fn on_claim(&mut self, event: Event<PersistentVolumeClaim>) -> bool {
        self.known[1] = true;
        take_in(&mut self.claims, event);
        true
    }

    pub fn on_class(&mut self, event: Event<StorageClass>) -> bool {
        self.known[2] = true;
        take_in(&mut self.classes, event);
        true
    }

    pub fn on_pod(&mut self, event: Event<Pod>) -> bool {
        match event {
            Event::Restarted(list) => {
                self.known[3] = true;
                self.pods = list
                    .iter()
                    .filter_map(|pod| Some((key(&pod.metadata), pod_use(pod)?)))
                    .collect();
                true
            }
            Event::Applied(pod) => match pod_use(&pod) {
                Some(used) => {
                    let key = key(&pod.metadata);
                    self.pods.insert(key, used.clone()) != Some(used)
                }
                None => false,
            },
            Event::Deleted(pod) => self.pods.remove(&key(&pod.metadata)).is_some(),
        }
    }

    /// The newest of the classes marked as default, as upstream chooses.
    pub fn default_class(&self) -> Option<&str> {
        let is_default = |class: &&StorageClass| {
            let annotations = class.metadata.annotations.as_ref();
            annotations
                .and_then(|a| a.get(DEFAULT_CLASS))
                .is_some_and(|v| v == "true")
        };
        self.classes
            .values()
            .filter(is_default)
            .max_by_key(|class| class.metadata.creation_timestamp.as_ref().map(|t| t.0))
            .and_then(|class| class.metadata.name.as_deref())
    }

    pub fn class(&self, name: &str) -> Option<&StorageClass> {
        self.classes.get(&(String::new(), name.to_string()))
    }

    pub fn volume(&self, name: &str) -> Option<&PersistentVolume> {
        self.volumes.get(&(String::new(), name.to_string()))
    }
}

pub fn key(meta: &ObjectMeta) -> Key {
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

fn take_in<K: Metadata<Ty = ObjectMeta>>(map: &mut BTreeMap<Key, K>, event: Event<K>) {
    match event {
        Event::Restarted(list) => {
            *map = list.into_iter().map(|o| (key(o.metadata()), o)).collect();
        }
        Event::Applied(object) => {
            map.insert(key(object.metadata()), object);
        }
        Event::Deleted(object) => {
            map.remove(&key(object.metadata()));
        }
    }
}

/// `None`: the pod has nothing to do with claims.
fn pod_use(pod: &Pod) -> Option<PodUse> {
    let spec = pod.spec.as_ref()?;
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let mut used = PodUse {
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        uses: spec.node_name.as_ref().is_some_and(|node| !node.is_empty())
            && !matches!(
                pod.status.as_ref().and_then(|s| s.phase.as_deref()),
                Some("Succeeded" | "Failed")
            ),
        ending: pod.metadata.deletion_timestamp.is_some(),
        ..PodUse::default()
    };
    for volume in spec.volumes.iter().flatten() {
        if let Some(claim) = &volume.persistent_volume_claim {
            used.claims.push(claim.claim_name.clone());
        } else if let Some(ephemeral) = &volume.ephemeral {
            let claim = format!("{name}-{}", volume.name);
            if let Some(template) = &ephemeral.volume_claim_template {
                used.templates.push((claim.clone(), template.clone()));
            }
            used.claims.push(claim);
        }
    }
    (!used.claims.is_empty()).then_some(used)
}
