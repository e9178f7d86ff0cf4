//! The ReplicaSet of a template that has none yet.

use super::conditions::{self, Conditions};
use super::sets::{Set, Shape, scaled};
use super::{revisions, template};
use crate::client::recorder::Kind;
use crate::controllers::action::{Action, ERROR, Target};
use crate::controllers::owners;
use crate::controllers::world::{Folded, World};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use std::sync::Arc;

/// A set that is to be made.
pub enum New {
    Made(Set),
    /// Its name is another's: the hash must be another. Holds the count of collisions with this one.
    Collides(i32),
}

pub fn new_set(
    world: &World,
    deployment: &Deployment,
    spec: &DeploymentSpec,
    old: &[Set],
    shape: &Shape,
) -> New {
    let meta = &deployment.metadata;
    let collisions = deployment.status.as_ref().and_then(|s| s.collision_count);
    let hash = template::hash(&spec.template, collisions);
    let namespace = meta.namespace.clone().unwrap_or_default();
    let name = format!("{}-{hash}", meta.name.as_deref().unwrap_or_default());
    if world
        .replica_sets
        .get(&(namespace.clone(), name.clone()))
        .is_some()
    {
        return New::Collides(collisions.unwrap_or(0).saturating_add(1));
    }
    let mut pods = spec.template.clone();
    let labels = pods
        .metadata
        .get_or_insert_default()
        .labels
        .get_or_insert_default();
    labels.insert(template::LABEL.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector.clone();
    selector
        .match_labels
        .get_or_insert_default()
        .insert(template::LABEL.to_owned(), hash);
    let mut annotations = std::collections::BTreeMap::new();
    let theirs = meta.annotations.clone().unwrap_or_default();
    revisions::annotate(&mut annotations, &theirs, revisions::next(old));
    annotations.extend(shape.annotations());
    New::Made(Set::new(Arc::new(Folded::of(ReplicaSet {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(namespace),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![owners::reference::<Deployment>(meta)]),
            ..ObjectMeta::default()
        },
        spec: ReplicaSetSpec {
            replicas: Some(0),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(pods),
        },
        status: None,
    }))))
}

/// Its creation, and what is told if it is refused.
pub fn actions(
    set: &Set,
    deployment: &Target,
    conditions: &Conditions,
    has_deadline: bool,
    now: Timestamp,
) -> Vec<Action> {
    let mut object = json!(set.object.whole());
    object["spec"]["replicas"] = set.size.into();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    let message = format!("Failed to create new replica set {:?}: {ERROR}", set.name());
    let reason = conditions::CREATE_ERROR;
    let mut failed = Vec::new();
    // Said once: tries that follow change nothing.
    let is_told = conditions::get(conditions, conditions::PROGRESSING)
        .is_some_and(|c| c.reason.as_deref() == Some(reason));
    if has_deadline && !is_told {
        let kind = conditions::PROGRESSING;
        let mut list = conditions.clone();
        let condition = conditions::new(kind, "False", reason, message.clone(), now);
        conditions::set(&mut list, condition);
        failed.push(Action::Patch {
            target: deployment.clone(),
            part: Some("status"),
            resource_version: None,
            patch: json!({"status": {"conditions": list}}),
        });
    }
    failed.push(Action::tell(deployment, Kind::Warning, reason, message));
    let mut done = Vec::new();
    if set.size > 0 {
        done.push(scaled(deployment, "up", set.name(), 0, set.size));
    }
    vec![Action::Report {
        action: Box::new(Action::Create {
            target: Target::of::<ReplicaSet>(&set.object.metadata),
            object,
        }),
        done,
        failed,
    }]
}
