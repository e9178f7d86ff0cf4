//! What a pod's claims allow: nodes their volumes can be reached from, and volumes still to be chosen for them.
//! <https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode>
//!
//! A claim that waits for its first consumer is answered in two steps: the scheduler names the node (or a volume that
//! is there already) and lets the pod wait; when the claim is bound the pod is decided about again, now like any other.

use super::snapshot::{NodeInfo, PodInfo, PodKey};
use crate::client::informer::Event;
use crate::client::{Client, ClientError, PatchType};
use crate::object::claims::{mismatch, refers_to, selected};
use crate::object::node_selector;
use crate::object::storage::{BIND_COMPLETED, NO_PROVISIONER, SELECTED_NODE};
use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use std::collections::BTreeMap;

/// All there is of persistent volumes, as large as the store holds of them.
#[derive(Debug, Default)]
pub struct Storage {
    claims: BTreeMap<PodKey, PersistentVolumeClaim>,
    volumes: BTreeMap<PodKey, PersistentVolume>,
    classes: BTreeMap<PodKey, StorageClass>,
}

/// A write that brings an unbound claim further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The volume is to be made on this node.
    Select { claim: String },
    /// This volume is kept for the claim.
    Keep {
        volume: String,
        version: Option<String>,
        claim: String,
        uid: Option<String>,
    },
}

/// What one claim asks of a node.
#[derive(Debug)]
pub enum Need<'a> {
    Bound(&'a PersistentVolume),
    Late(&'a PersistentVolumeClaim, &'a StorageClass),
}

impl Storage {
    pub fn on_claim(&mut self, event: Event<PersistentVolumeClaim>) {
        take_in(&mut self.claims, event);
    }
    pub fn on_volume(&mut self, event: Event<PersistentVolume>) {
        take_in(&mut self.volumes, event);
    }
    pub fn on_class(&mut self, event: Event<StorageClass>) {
        take_in(&mut self.classes, event);
    }

    /// What the pod's claims need, or why no node can have it now; upstream's words. `in_use`: a pod has the claim.
    pub fn needs(
        &self,
        pod: &PodInfo,
        in_use: impl Fn(&str) -> bool,
    ) -> Result<Vec<Need<'_>>, String> {
        let mut needs = Vec::new();
        for wanted in &pod.claims {
            let name = &wanted.name;
            let Some(claim) = self.claims.get(&(pod.namespace.clone(), name.clone())) else {
                return Err(if wanted.ephemeral {
                    format!(
                        "waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"
                    )
                } else {
                    format!("persistentvolumeclaim {name:?} not found")
                });
            };
            if claim.metadata.deletion_timestamp.is_some() {
                return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
            }
            let spec = claim.spec.clone().unwrap_or_default();
            let alone = spec
                .access_modes
                .iter()
                .flatten()
                .any(|m| m == "ReadWriteOncePod");
            if alone && in_use(name) {
                return Err("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode".to_owned());
            }
            let volume = spec.volume_name.filter(|v| !v.is_empty());
            let annotations = claim.metadata.annotations.as_ref();
            let bound = annotations.is_some_and(|a| a.contains_key(BIND_COMPLETED));
            if let Some(volume) = volume.filter(|_| bound) {
                match self.volumes.get(&(String::new(), volume.clone())) {
                    Some(volume) => needs.push(Need::Bound(volume)),
                    None => {
                        return Err(format!(
                            "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
                        ));
                    }
                }
                continue;
            }
            let class = spec.storage_class_name.unwrap_or_default();
            match self.classes.get(&(String::new(), class)) {
                Some(class)
                    if class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer") =>
                {
                    needs.push(Need::Late(claim, class));
                }
                _ => return Err("pod has unbound immediate PersistentVolumeClaims".to_owned()),
            }
        }
        Ok(needs)
    }

    /// What is to be written before the pod can go to `node`, or why it cannot.
    pub fn steps(&self, needs: &[Need], node: &NodeInfo) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        let mut kept: Vec<&str> = Vec::new();
        for need in needs {
            match need {
                Need::Bound(volume) if reachable(volume, node) => {}
                Need::Bound(_) => {
                    return Err("node(s) didn't match PersistentVolume's node affinity".to_owned());
                }
                Need::Late(claim, class) => match self.volume_for(claim, node, &kept) {
                    Some(volume) => {
                        let name = volume.metadata.name.as_deref().unwrap_or_default();
                        kept.push(name);
                        steps.push(Step::Keep {
                            volume: name.to_owned(),
                            version: volume.metadata.resource_version.clone(),
                            claim: claim.metadata.name.clone().unwrap_or_default(),
                            uid: claim.metadata.uid.clone(),
                        });
                    }
                    None if class.provisioner != NO_PROVISIONER => steps.push(Step::Select {
                        claim: claim.metadata.name.clone().unwrap_or_default(),
                    }),
                    None => {
                        return Err(
                            "node(s) didn't find available persistent volumes to bind".to_owned()
                        );
                    }
                },
            }
        }
        Ok(steps)
    }

    fn volume_for(
        &self,
        claim: &PersistentVolumeClaim,
        node: &NodeInfo,
        kept: &[&str],
    ) -> Option<&PersistentVolume> {
        let reference = |v: &PersistentVolume| v.spec.as_ref().and_then(|s| s.claim_ref.clone());
        let fits = |v: &&PersistentVolume| {
            v.metadata.deletion_timestamp.is_none()
                && !kept
                    .iter()
                    .any(|kept| Some(*kept) == v.metadata.name.as_deref())
                && mismatch(v, claim).is_none()
                && reachable(v, node)
        };
        let mut all = self.volumes.values().filter(fits);
        all.clone()
            .find(|v| reference(v).is_some_and(|r| refers_to(&r, claim)))
            .or_else(|| all.find(|v| reference(v).is_none() && selected(v, claim)))
    }

    /// Whether the steps towards `node` have been written already: then the pod only waits.
    pub fn is_under_way(&self, needs: &[Need], steps: &[Step], node: &NodeInfo) -> bool {
        steps.iter().all(|step| match step {
            Step::Select { .. } => needs.iter().all(|need| match need {
                Need::Late(claim, _) => chosen(claim) == Some(&node.name),
                Need::Bound(_) => true,
            }),
            Step::Keep { volume, uid, .. } => self
                .volumes
                .get(&(String::new(), volume.clone()))
                .and_then(|v| v.spec.as_ref()?.claim_ref.as_ref())
                .is_some_and(|r| r.uid.is_some() && r.uid == *uid),
        })
    }
}

/// A node that was named for one of the claims is kept as long as it can be.
pub fn is_chosen(needs: &[Need], node: &NodeInfo) -> bool {
    needs
        .iter()
        .any(|need| matches!(need, Need::Late(claim, _) if chosen(claim) == Some(&node.name)))
}

fn chosen(claim: &PersistentVolumeClaim) -> Option<&String> {
    claim.metadata.annotations.as_ref()?.get(SELECTED_NODE)
}

fn reachable(volume: &PersistentVolume, node: &NodeInfo) -> bool {
    let affinity = volume.spec.as_ref().and_then(|s| s.node_affinity.as_ref());
    match affinity.and_then(|a| a.required.as_ref()) {
        Some(required) => node_selector::matches(required, &node.name, &node.labels),
        None => true,
    }
}

fn take_in<K: Metadata<Ty = ObjectMeta>>(map: &mut BTreeMap<PodKey, K>, event: Event<K>) {
    let key = |meta: &ObjectMeta| {
        (
            meta.namespace.clone().unwrap_or_default(),
            meta.name.clone().unwrap_or_default(),
        )
    };
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

/// Writes the steps towards `node`.
pub async fn claim(
    client: &Client,
    namespace: &str,
    node: &str,
    steps: &[Step],
) -> Result<(), ClientError> {
    for step in steps {
        match step {
            Step::Select { claim } => {
                let patch = json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
                client
                    .patch::<PersistentVolumeClaim>(
                        Some(namespace),
                        claim,
                        None,
                        PatchType::Merge,
                        &patch,
                    )
                    .await?;
            }
            Step::Keep {
                volume,
                version,
                claim,
                uid,
            } => {
                let patch = json!({
                    "metadata": {"resourceVersion": version},
                    "spec": {"claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                        "namespace": namespace, "name": claim, "uid": uid}},
                });
                client
                    .patch::<PersistentVolume>(None, volume, None, PatchType::Merge, &patch)
                    .await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "volumes_tests.rs"]
mod tests;
