//! How many pods there should be, by what their owners want.

use crate::controllers::world::{Change, Diff, PodView, Watched, World, controller};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pods there should be, and how many of them must be healthy; or why that cannot be said.
pub fn wanted(
    world: &World,
    budget: &PodDisruptionBudget,
    pods: &[Arc<PodView>],
) -> Result<(i32, i32), String> {
    let spec = budget.spec.clone().unwrap_or_default();
    let counted = i32::try_from(pods.len()).unwrap_or(i32::MAX);
    if let Some(most) = &spec.max_unavailable {
        let expected = expected(world, pods)?;
        let away = scaled(most, expected)?;
        return Ok((expected, expected.saturating_sub(away).max(0)));
    }
    match &spec.min_available {
        Some(IntOrString::Int(least)) => Ok((counted, *least)),
        Some(share) => {
            let expected = expected(world, pods)?;
            Ok((expected, scaled(share, expected)?))
        }
        None => Ok((0, 0)),
    }
}

/// A count, or a share of `total`, rounded up.
fn scaled(value: &IntOrString, total: i32) -> Result<i32, String> {
    match value {
        IntOrString::Int(count) => Ok(*count),
        IntOrString::String(text) => {
            let share: i64 = text
                .strip_suffix('%')
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| {
                    format!("invalid value for IntOrString: {text:?} is no percentage")
                })?;
            let part = share.saturating_mul(total.into());
            Ok(
                i32::try_from(part.div_euclid(100) + i64::from(part.rem_euclid(100) > 0))
                    .unwrap_or(i32::MAX),
            )
        }
    }
}

/// What the pods' owners want together; pods without an owner want nothing.
fn expected(world: &World, pods: &[Arc<PodView>]) -> Result<i32, String> {
    let mut scales: BTreeMap<String, i32> = BTreeMap::new();
    for pod in pods {
        let Some(owner) = controller(&pod.metadata) else {
            continue;
        };
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let (uid, replicas) = scale(world, namespace, owner).ok_or_else(|| {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            format!("found no controllers for pod {name:?}")
        })?;
        scales.insert(uid, replicas);
    }
    let sum = scales.values().fold(0_i32, |sum, n| sum.saturating_add(*n));
    Ok(sum)
}

/// The outermost owner that has replicas: its uid and their number.
fn scale(world: &World, namespace: &str, owner: &OwnerReference) -> Option<(String, i32)> {
    let key = (namespace.to_owned(), owner.name.clone());
    let group = owner.api_version.rsplit_once('/').map_or("", |(g, _)| g);
    let same = |uid: Option<&String>| uid == Some(&owner.uid);
    let (uid, replicas) = match (group, owner.kind.as_str()) {
        ("", "ReplicationController") => {
            let one = world.replication_controllers.get(&key)?;
            (&one.metadata.uid, one.spec.as_ref()?.replicas)
        }
        ("apps", "StatefulSet") => {
            let one = world.stateful_sets.get(&key)?;
            (&one.metadata.uid, one.spec.replicas)
        }
        ("apps", "Deployment") => {
            let one = world.deployments.get(&key)?;
            (&one.metadata.uid, one.spec.replicas)
        }
        ("apps", "ReplicaSet") => {
            let one = world.replica_sets.get(&key)?;
            let above = controller(&one.metadata).filter(|above| above.kind == "Deployment");
            if let (Some(above), true) = (above, same(one.metadata.uid.as_ref())) {
                return scale(world, namespace, above);
            }
            (&one.metadata.uid, one.spec.replicas)
        }
        _ => return None,
    };
    same(uid.as_ref()).then(|| (owner.uid.clone(), replicas.unwrap_or(1)))
}

/// The namespace in which an owner wants another number of pods.
pub fn changed(change: &Change) -> Option<String> {
    match change {
        Change::Deployment(diff) => differs(diff, |d| d.spec.replicas),
        Change::ReplicaSet(diff) => differs(diff, |d| d.spec.replicas),
        Change::ReplicationController(diff) => {
            differs(diff, |d| d.spec.as_ref().and_then(|s| s.replicas))
        }
        Change::StatefulSet(diff) => differs(diff, |d| d.spec.replicas),
        _ => None,
    }
}

fn differs<T: Watched>(diff: &Diff<T>, replicas: impl Fn(&T) -> Option<i32>) -> Option<String> {
    let of = |object: &Option<Arc<T>>| object.as_ref().map(|o| replicas(o));
    let owner = |object: &Option<Arc<T>>| {
        let object = object.as_ref()?;
        Some(controller(object.metadata())?.uid.clone())
    };
    let same = of(&diff.old) == of(&diff.new) && owner(&diff.old) == owner(&diff.new);
    (!same).then(|| diff.newest()?.metadata().namespace.clone())?
}
