//! What an autoscaler scales.

use crate::controllers::action::Target;
use crate::controllers::owners;
use crate::controllers::world::World;
use crate::object::selector::LabelSelector;
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::CrossVersionObjectReference;
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector as Labels, ObjectMeta};

pub struct Scale {
    pub target: Target,
    /// Asked for.
    pub replicas: i32,
    pub selector: LabelSelector,
}

/// The target as its `scale` shows it; or why there is none.
pub fn find(
    world: &World,
    namespace: &str,
    reference: &CrossVersionObjectReference,
) -> Result<Scale, String> {
    let key = (namespace.to_owned(), reference.name.clone());
    let version = reference.api_version.as_deref().unwrap_or_default();
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    let missing = |plural: &str| format!("{plural} {:?} not found", reference.name);
    match (group, reference.kind.as_str()) {
        ("apps", "Deployment") => {
            let one = world.deployments.get(&key);
            let one = one.ok_or_else(|| missing("deployments.apps"))?;
            scale::<Deployment>(&one.metadata, one.spec.replicas, &one.spec.selector)
        }
        ("apps", "ReplicaSet") => {
            let one = world.replica_sets.get(&key);
            let one = one.ok_or_else(|| missing("replicasets.apps"))?;
            scale::<ReplicaSet>(&one.metadata, one.spec.replicas, &one.spec.selector)
        }
        ("apps", "StatefulSet") => {
            let one = world.stateful_sets.get(&key);
            let one = one.ok_or_else(|| missing("statefulsets.apps"))?;
            scale::<StatefulSet>(&one.metadata, one.spec.replicas, &one.spec.selector)
        }
        ("", "ReplicationController") => {
            let one = world.replication_controllers.get(&key);
            let one = one.ok_or_else(|| missing("replicationcontrollers"))?;
            let spec = one.spec.clone().unwrap_or_default();
            let selector = Labels {
                match_labels: spec.selector,
                ..Labels::default()
            };
            scale::<ReplicationController>(&one.metadata, spec.replicas, &selector)
        }
        (_, kind) => Err(format!("no matches for kind {kind:?} in group {group:?}")),
    }
}

fn scale<T: Resource>(
    meta: &ObjectMeta,
    replicas: Option<i32>,
    selector: &Labels,
) -> Result<Scale, String> {
    Ok(Scale {
        target: Target::of::<T>(meta),
        replicas: replicas.unwrap_or(1),
        selector: owners::selector(selector).ok_or("couldn't convert selector into a selector")?,
    })
}
