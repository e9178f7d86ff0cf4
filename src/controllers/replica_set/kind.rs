//! What tells a ReplicaSet from a ReplicationController: where they stand, and how they are written.

use crate::controllers::world::{Change, Folded, Key, Table, Watched, World};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;
use std::borrow::Cow;

/// Controllers of the two kinds.
pub type Sets = super::Replicas<Folded<ReplicaSet>>;
pub type Controllers = super::Replicas<ReplicationController>;

/// A kind that keeps a number of pods.
pub trait Replicated: Watched + Resource<Scope = NamespaceResourceScope> {
    const CONTROLLER: &'static str;
    /// Whether the status has a field for pods on their way out.
    const COUNTS_ENDING: bool;

    fn table(world: &World) -> &Table<Self>;
    /// The object, if the change is one of this kind.
    fn changed(change: &Change) -> Option<Key>;
    /// Of its pods. Asked of every set for each pod without an owner, so nothing is decoded for it.
    fn selector(&self) -> Cow<'_, LabelSelector>;
    /// As a ReplicaSet.
    fn view(&self) -> ReplicaSet;
}

impl Replicated for Folded<ReplicaSet> {
    const CONTROLLER: &'static str = "replicaset-controller";
    const COUNTS_ENDING: bool = true;

    fn table(world: &World) -> &Table<Folded<ReplicaSet>> {
        &world.replica_sets
    }

    fn changed(change: &Change) -> Option<Key> {
        match change {
            Change::ReplicaSet(diff) => diff.key(),
            _ => None,
        }
    }

    fn selector(&self) -> Cow<'_, LabelSelector> {
        Cow::Borrowed(&self.spec.selector)
    }

    fn view(&self) -> ReplicaSet {
        self.whole()
    }
}

impl Replicated for ReplicationController {
    const CONTROLLER: &'static str = "replication-controller";
    const COUNTS_ENDING: bool = false;

    fn table(world: &World) -> &Table<ReplicationController> {
        &world.replication_controllers
    }

    fn changed(change: &Change) -> Option<Key> {
        match change {
            Change::ReplicationController(diff) => diff.key(),
            _ => None,
        }
    }

    fn selector(&self) -> Cow<'_, LabelSelector> {
        Cow::Owned(LabelSelector {
            match_labels: self.spec.as_ref().and_then(|spec| spec.selector.clone()),
            ..LabelSelector::default()
        })
    }

    fn view(&self) -> ReplicaSet {
        let selector = self.selector().into_owned();
        let spec = self.spec.clone().unwrap_or_default();
        let spec = ReplicaSetSpec {
            min_ready_seconds: spec.min_ready_seconds,
            replicas: spec.replicas,
            selector,
            template: spec.template,
        };
        // Field by field the same.
        let status = serde_json::json!(self.status);
        ReplicaSet {
            metadata: self.metadata.clone(),
            spec,
            status: ReplicaSetStatus::deserialize(&status).ok(),
        }
    }
}
