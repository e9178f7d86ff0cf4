//! Of what comes with a namespace and goes with its owner, and of nodes.

use super::named;
use crate::controllers::root_ca;
use crate::controllers::world::World;
use crate::controllers::world::graph::{Node, Owner};
use crate::object::claims::refers_to;

pub fn furnished(world: &World) -> Vec<String> {
    let names = world.namespaces.iter();
    let names = names.filter_map(|n| n.metadata.name.clone());
    let bare = names.filter(|name| {
        let account = (name.clone(), "default".into());
        let certificate = (name.clone(), root_ca::NAME.into());
        world.service_accounts.get(&account).is_none()
            || world.authorities.get(&certificate).is_none()
    });
    bare.collect()
}

pub fn orphans(world: &World) -> Vec<String> {
    let alone = |node: &&Node| {
        let mut owners = node.meta.owners().iter().peekable();
        owners.peek().is_some() && owners.all(|o| world.graph.owner(node, o) == Owner::Absent)
    };
    world.graph.iter().filter(alone).map(of_graph).collect()
}

/// A claim waits for the pod that uses it, a volume for its claim; nothing else waits.
pub fn ending(world: &World) -> Vec<String> {
    let nodes = world.graph.iter();
    let nodes = nodes.filter(|node| node.meta.is_ending());
    let nodes = nodes.filter(|node| node.resource.kind != "PersistentVolumeClaim");
    let mut told: Vec<String> = nodes.map(of_graph).collect();
    let ending = world.namespaces.iter().map(|one| &one.metadata);
    let ending = ending.chain(world.pods.iter().map(|one| &one.metadata));
    let ending = ending.filter(|meta| meta.deletion_timestamp.is_some());
    told.extend(ending.map(named));
    for claim in world.claims.iter() {
        let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
        let name = claim.metadata.name.as_ref();
        let mut pods = world.pods.in_namespace(namespace);
        let is_used = pods.any(|pod| {
            pod.spec.node_name.is_some()
                && pod.spec.volumes.iter().any(|volume| {
                    let its = volume.persistent_volume_claim.as_ref();
                    let brought = format!(
                        "{}-{}",
                        pod.metadata.name.as_deref().unwrap_or_default(),
                        volume.name
                    );
                    its.map(|c| &c.claim_name) == name
                        || (volume.ephemeral.is_some() && Some(&brought) == name)
                })
        });
        if claim.metadata.deletion_timestamp.is_some() && !is_used {
            told.push(named(&claim.metadata));
        }
    }
    for volume in world.volumes.iter() {
        let reference = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
        let is_used = reference.is_some_and(|r| world.claims.iter().any(|c| refers_to(r, c)));
        if volume.metadata.deletion_timestamp.is_some() && !is_used {
            told.push(named(&volume.metadata));
        }
    }
    told
}

pub fn tokens(world: &World) -> Vec<String> {
    let secrets = world.token_secrets.iter();
    let bad = secrets.filter(|secret| {
        let annotations = secret.metadata.annotations.as_ref();
        let account = annotations.and_then(|all| all.get("kubernetes.io/service-account.name"));
        let namespace = secret.metadata.namespace.clone().unwrap_or_default();
        let key = (namespace, account.cloned().unwrap_or_default());
        let data = secret.data.as_ref();
        let filled = data.is_some_and(|data| data.contains_key("token"));
        !filled || world.service_accounts.get(&key).is_none()
    });
    bad.map(|secret| named(&secret.metadata)).collect()
}

/// The simulation's role that is a sum has exactly the rules of the one that is its part.
pub fn aggregated(world: &World) -> Vec<String> {
    let role = |name: &str| world.cluster_roles.get(&(String::new(), name.into()));
    let Some(sum) = role("sim-a") else {
        return Vec::new();
    };
    let part = role("sim-b").and_then(|role| role.rules.clone());
    let rules = sum.rules.clone().unwrap_or_default();
    if rules == part.unwrap_or_default() {
        return Vec::new();
    }
    vec![format!("{rules:?}")]
}

/// Nothing in the simulation taints nodes but the controllers.
pub fn spared(world: &World) -> Vec<String> {
    let tainted = world.nodes.iter().filter(|node| {
        let mut taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
        let cordoned = node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true);
        taints.any(|taint| taint.effect == "NoExecute" || !cordoned)
    });
    tainted.map(|node| named(&node.metadata)).collect()
}

pub fn placed(world: &World) -> Vec<String> {
    let lost = world.pods.iter().filter(|pod| {
        let node = pod.spec.node_name.clone();
        node.is_some_and(|node| world.nodes.get(&(String::new(), node)).is_none())
    });
    lost.map(|pod| named(&pod.metadata)).collect()
}

fn of_graph(node: &Node) -> String {
    format!(
        "{} {}/{}",
        node.resource.kind, node.meta.namespace, node.meta.name
    )
}
