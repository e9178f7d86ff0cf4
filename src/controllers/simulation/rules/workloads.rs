//! Of what makes pods that stay.

use super::{is_owned, is_starved, is_stuck, named};
use crate::controllers::revisions::LABEL;
use crate::controllers::world::{World, controller, key};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

/// One ReplicaSet or ReplicationController: the pods, and what the status says of them.
fn size(world: &World, meta: &ObjectMeta, object: &Value) -> Vec<String> {
    let uid = meta.uid.as_deref().unwrap_or_default();
    let (namespace, _) = key(meta);
    let pods = || world.pods.owned_by(uid).filter(|pod| pod.is_active());
    let (count, ready) = (pods().count(), pods().filter(|p| p.is_ready()).count());
    let mut told = Vec::new();
    let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
    let short = u64::try_from(count).unwrap_or(u64::MAX) < wanted;
    if count as u64 != wanted && !(short && is_starved(world, &namespace)) {
        told.push(format!("{} has {count} of {wanted}", named(meta)));
    }
    let status = &object["status"];
    let says = |field: &str| status[field].as_u64().unwrap_or(0);
    if says("replicas") != count as u64 || says("readyReplicas") != ready as u64 {
        told.push(format!(
            "{} has {count}, {ready} ready, and says {status}",
            named(meta)
        ));
    }
    if status["observedGeneration"].as_i64() != meta.generation {
        told.push(format!("{} is of another generation", named(meta)));
    }
    let fails = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "ReplicaFailure" && c["status"] == "True");
    if fails != short {
        told.push(format!("{} has {count} and says {status}", named(meta)));
    }
    told
}

pub fn sized(world: &World) -> Vec<String> {
    let sets = world.replica_sets.iter();
    let sets = sets.map(|set| (&set.metadata, json!(set.whole())));
    let controllers = world.replication_controllers.iter();
    let controllers = controllers.map(|set| (&set.metadata, json!(set.as_ref())));
    let all = sets.chain(controllers);
    all.flat_map(|(meta, object)| size(world, meta, &object))
        .collect()
}

/// Only the newest set has pods, unless its image never comes: then the Deployment says that it does not progress.
pub fn rolled_out(world: &World) -> Vec<String> {
    const REVISION: &str = "deployment.kubernetes.io/revision";
    let mut told = Vec::new();
    for deployment in world.deployments.iter() {
        let (namespace, name) = key(&deployment.metadata);
        let uid = deployment.metadata.uid.as_deref().unwrap_or_default();
        let status = json!(deployment.status);
        if status["observedGeneration"].as_i64() != deployment.metadata.generation {
            told.push(format!("{name} is of another generation"));
        }
        if deployment.spec.paused == Some(true) || is_starved(world, &namespace) {
            continue;
        }
        let number = |meta: &ObjectMeta| -> i64 {
            let annotations = meta.annotations.as_ref();
            let number = annotations.and_then(|a| a.get(REVISION)?.parse().ok());
            number.unwrap_or(0)
        };
        let mut sets: Vec<_> = world.replica_sets.owned_by(uid).collect();
        sets.sort_by_key(|set| number(&set.metadata));
        let Some(newest) = sets.pop() else {
            told.push(format!("{name} has no set"));
            continue;
        };
        let its = newest.metadata.uid.as_deref().unwrap_or_default();
        let wanted = deployment.spec.replicas.unwrap_or(1);
        let is_stuck = wanted > 0 && world.pods.owned_by(its).any(|pod| is_stuck(pod));
        let old: i32 = sets.iter().filter_map(|set| set.spec.replicas).sum();
        if !is_stuck && (old != 0 || newest.spec.replicas != Some(wanted)) {
            told.push(format!("{name} wants {wanted}, has {old} old: {status}"));
        }
        let conditions = status["conditions"].as_array();
        let progress = conditions.and_then(|c| c.iter().find(|c| c["type"] == "Progressing"));
        let reason = progress.map_or(Value::Null, |c| c["reason"].clone());
        let expected = if is_stuck {
            "ProgressDeadlineExceeded"
        } else {
            "NewReplicaSetAvailable"
        };
        // A set that was there before, complete, and grows by pods that never come is through all the same.
        if reason != expected && !(is_stuck && reason == "NewReplicaSetAvailable") {
            told.push(format!("{name} progresses as {reason}, not {expected}"));
        }
    }
    told
}

pub fn named_pods(world: &World) -> Vec<String> {
    let mut told = Vec::new();
    for set in world.stateful_sets.iter() {
        let (namespace, name) = key(&set.metadata);
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let wanted = set.spec.replicas.unwrap_or(1);
        let newest = set.status.as_ref().and_then(|s| s.update_revision.clone());
        let is_ordered = set.spec.pod_management_policy.as_deref() != Some("Parallel");
        let own = || world.pods.owned_by(uid);
        let is_stuck = own().any(|pod| !pod.is_ready());
        for ordinal in 0..wanted {
            let pod = format!("{name}-{ordinal}");
            match world.pods.get(&(namespace.clone(), pod.clone())) {
                // Nobody may take another's pod away; in order, those after it wait.
                Some(pod) if !is_owned(&pod.metadata, uid) && is_ordered => break,
                Some(pod) if !is_owned(&pod.metadata, uid) => {}
                Some(pod) if pod.labels().get(LABEL) == newest.as_ref() => {}
                // A pod that never gets ready holds the update up.
                Some(_) if is_stuck => {}
                Some(_) => told.push(format!("{pod} is of an old template")),
                None if is_starved(world, &namespace) || (is_stuck && is_ordered) => {}
                None => told.push(format!("{pod} is missing")),
            }
        }
        let count = i32::try_from(own().count()).unwrap_or(i32::MAX);
        if count > wanted && !(is_stuck && is_ordered) {
            told.push(format!("{name} has {count} of {wanted}"));
        }
        let status = set.status.clone().unwrap_or_default();
        if status.replicas != count || status.observed_generation != set.metadata.generation {
            told.push(format!("{name} has {count} and says {status:?}"));
        }
    }
    told
}

pub fn daemons(world: &World) -> Vec<String> {
    let mut told = Vec::new();
    for set in world.daemon_sets.iter() {
        let (namespace, name) = key(&set.metadata);
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        for node in world.nodes.iter() {
            let node = node.metadata.name.as_deref();
            let here = world.pods.owned_by(uid);
            let here: Vec<_> = here
                .filter(|pod| pod.spec.node_name.as_deref() == node)
                .collect();
            let surges = here.iter().any(|pod| is_stuck(pod));
            let is_right = match here.len() {
                0 => is_starved(world, &namespace),
                1 => true,
                2 => surges,
                _ => false,
            };
            if !is_right {
                told.push(format!("{name} has {} on {node:?}", here.len()));
            }
        }
        let pods: Vec<_> = world.pods.owned_by(uid).collect();
        let mut revisions: Vec<_> = pods.iter().map(|pod| pod.labels().get(LABEL)).collect();
        revisions.sort();
        revisions.dedup();
        let is_held = pods.iter().any(|pod| is_stuck(pod)) || is_starved(world, &namespace);
        if revisions.len() > 1 && !is_held {
            told.push(format!("{name} has pods of several templates"));
        }
        let status = set.status.clone().unwrap_or_default();
        let nodes = i32::try_from(world.nodes.iter().count()).unwrap_or(i32::MAX);
        if status.desired_number_scheduled != nodes
            || status.observed_generation != set.metadata.generation
        {
            told.push(format!("{name} has {nodes} nodes and says {status:?}"));
        }
    }
    let alone = |meta: &ObjectMeta| controller(meta).is_some_and(|o| o.kind == "DaemonSet");
    let lost = world
        .pods
        .iter()
        .filter(|pod| alone(&pod.metadata) && pod.spec.node_name.is_none());
    told.extend(lost.map(|pod| format!("{} is nowhere", named(&pod.metadata))));
    told
}
