//! Claims of a set's pods: made once, found again by name, and owned according to the retention policy.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention>

use super::{identity, is_in_range};
use crate::client::recorder::Kind;
use crate::controllers::action::{Action, ERROR, Target};
use crate::controllers::owners;
use crate::controllers::world::{PodView, World};
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;
use std::sync::Arc;

pub fn templates(set: &StatefulSet) -> &[PersistentVolumeClaim] {
    set.spec
        .volume_claim_templates
        .as_deref()
        .unwrap_or_default()
}

fn text(part: Option<&String>) -> &str {
    part.map(String::as_str).unwrap_or_default()
}

fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    let own = text(set.metadata.name.as_ref());
    format!("{}-{own}-{ordinal}", text(template.metadata.name.as_ref()))
}

/// Volumes of the pod's claims; they take the place of the template's of the same name.
pub fn volumes(set: &StatefulSet, ordinal: i32, given: Vec<Volume>) -> Vec<Volume> {
    let own = templates(set).iter().map(|template| Volume {
        name: text(template.metadata.name.as_ref()).to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim_name(set, template, ordinal),
            read_only: None,
        }),
        ..Volume::default()
    });
    let mut all: Vec<Volume> = own.collect();
    let count = all.len();
    for volume in given {
        if !all.iter().take(count).any(|v| v.name == volume.name) {
            all.push(volume);
        }
    }
    all
}

/// What a pod's claims are.
pub enum Claims {
    /// Those that are missing, as their creation.
    Missing(Vec<Action>),
    /// One is on its way out, or belongs to a pod that is gone and will follow it: the pod waits for its end.
    Going,
}

/// The claims that the pod of this ordinal needs; `pod`: it is there already.
pub fn needed(world: &World, set: &StatefulSet, ordinal: i32, pod: Option<&PodView>) -> Claims {
    let mut missing = Vec::new();
    for template in templates(set) {
        let name = claim_name(set, template, ordinal);
        let namespace = text(set.metadata.namespace.as_ref()).to_owned();
        match world.claims.get(&(namespace, name.clone())) {
            Some(claim) if claim.metadata.deletion_timestamp.is_some() => return Claims::Going,
            Some(claim) if is_of_another_life(set, ordinal, claim, pod) => return Claims::Going,
            Some(_) => {}
            None => missing.push(create(set, template, name, ordinal)),
        }
    }
    Claims::Missing(missing)
}

/// Its owner is an earlier pod of this name.
fn is_of_another_life(
    set: &StatefulSet,
    ordinal: i32,
    claim: &PersistentVolumeClaim,
    pod: Option<&PodView>,
) -> bool {
    let name = identity::pod_name(text(set.metadata.name.as_ref()), ordinal);
    let uid = pod.and_then(|pod| pod.metadata.uid.as_deref());
    let mut owners = claim.metadata.owner_references.iter().flatten();
    owners.any(|o| o.kind == PodView::KIND && o.name == name && Some(o.uid.as_str()) != uid)
}

fn create(
    set: &StatefulSet,
    template: &PersistentVolumeClaim,
    name: String,
    ordinal: i32,
) -> Action {
    let meta = &template.metadata;
    let mut labels = meta.labels.clone().unwrap_or_default();
    labels.extend(set.spec.selector.match_labels.clone().unwrap_or_default());
    let owners: Vec<OwnerReference> = if policy(set).0 {
        vec![owners::reference::<StatefulSet>(&set.metadata)]
    } else {
        Vec::new()
    };
    let target = Target::of::<StatefulSet>(&set.metadata);
    let pod = identity::pod_name(&target.name, ordinal);
    let told = |how: &str| {
        format!(
            "create Claim {name} Pod {pod} in StatefulSet {} {how}",
            target.name
        )
    };
    let done = Action::tell(&target, Kind::Normal, "SuccessfulCreate", told("success"));
    let failed = format!("failed error: {ERROR}");
    let failed = Action::tell(&target, Kind::Warning, "FailedCreate", told(&failed));
    Action::Report {
        action: Box::new(Action::Create {
            target: Target::named::<PersistentVolumeClaim>(&target.namespace, &name),
            object: json!({
                "metadata": {
                    "name": name,
                    "namespace": target.namespace,
                    "labels": labels,
                    "annotations": meta.annotations,
                    "finalizers": meta.finalizers,
                    "ownerReferences": Some(owners).filter(|o| !o.is_empty()),
                },
                "spec": template.spec,
            }),
        }),
        done: vec![done],
        failed: vec![failed],
    }
}

/// Whether claims go with the set, and with pods that are scaled away.
fn policy(set: &StatefulSet) -> (bool, bool) {
    let policy = set.spec.persistent_volume_claim_retention_policy.as_ref();
    let is_delete = |what: Option<&String>| what.is_some_and(|p| p == "Delete");
    (
        is_delete(policy.and_then(|p| p.when_deleted.as_ref())),
        is_delete(policy.and_then(|p| p.when_scaled.as_ref())),
    )
}

/// Gives the pod's claims the owners of the policy.
pub fn retain(world: &World, set: &StatefulSet, pod: &Arc<PodView>, ordinal: i32) -> Vec<Action> {
    let (when_deleted, when_scaled) = policy(set);
    let condemned = !is_in_range(set, ordinal);
    let owner = match (when_deleted, when_scaled) {
        (_, true) if condemned => Some(owners::reference::<PodView>(&pod.metadata)),
        (true, _) => Some(owners::reference::<StatefulSet>(&set.metadata)),
        _ => None,
    };
    let namespace = text(set.metadata.namespace.as_ref());
    let names = templates(set).iter().map(|t| claim_name(set, t, ordinal));
    names
        .filter_map(|name| world.claims.get(&(namespace.to_owned(), name)))
        .filter_map(|claim| owned_by(&claim.metadata, set, &pod.metadata, owner.as_ref()))
        .collect()
}

/// The change that makes `owner` the claim's, of those that this controller gives; others' stay. `None`: it is so, or
/// somebody else manages the claim.
fn owned_by(
    claim: &ObjectMeta,
    set: &StatefulSet,
    pod: &ObjectMeta,
    owner: Option<&OwnerReference>,
) -> Option<Action> {
    let is_given = |o: &OwnerReference| {
        (o.kind == StatefulSet::KIND && Some(&o.name) == set.metadata.name.as_ref())
            || (o.kind == PodView::KIND && Some(&o.name) == pod.name.as_ref())
    };
    let before = claim.owner_references.clone().unwrap_or_default();
    let mut others = before.iter().filter(|o| !is_given(o));
    if claim.deletion_timestamp.is_some() || others.any(|o| o.controller == Some(true)) {
        return None;
    }
    let given: Vec<_> = before.iter().filter(|o| is_given(o)).collect();
    let is_so = match (owner, given.as_slice()) {
        (None, []) => true,
        (Some(owner), [one]) => one.uid == owner.uid && one.kind == owner.kind,
        _ => false,
    };
    if is_so {
        return None;
    }
    let mut after: Vec<_> = before.iter().filter(|o| !is_given(o)).cloned().collect();
    after.extend(owner.cloned());
    Some(Action::Patch {
        target: Target::of::<PersistentVolumeClaim>(claim),
        part: None,
        resource_version: claim.resource_version.clone(),
        // An empty list is no list.
        patch: json!({"metadata": {"ownerReferences": Some(after).filter(|o| !o.is_empty())}}),
    })
}
