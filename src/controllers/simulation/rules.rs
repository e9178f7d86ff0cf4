//! What must be so in a settled world: one rule per kind, each answering with what breaks it.

use crate::controllers::revisions::LABEL;
use crate::controllers::world::graph::{Node, Owner};
use crate::controllers::world::{World, controller, key};

type Rule = fn(&World) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[
    ("namespaces have an account", accounts),
    ("no object outlives its owners", orphans),
    ("no deletion waits", ending),
    ("sets have the pods they ask for", sized),
    ("stateful sets have their names", named_pods),
    ("every node has its daemons", daemons),
];

/// Every rule that does not hold, and where.
pub fn broken(world: &World) -> Vec<String> {
    let told = |(name, rule): &(&str, Rule)| -> Vec<String> {
        rule(world)
            .into_iter()
            .map(|what| format!("{name}: {what}"))
            .collect()
    };
    RULES.iter().flat_map(told).collect()
}

fn accounts(world: &World) -> Vec<String> {
    let names = world
        .namespaces
        .iter()
        .filter_map(|n| n.metadata.name.clone());
    names
        .filter(|name| {
            world
                .service_accounts
                .get(&(name.clone(), "default".into()))
                .is_none()
        })
        .collect()
}

fn orphans(world: &World) -> Vec<String> {
    let alone = |node: &&Node| {
        let mut owners = node.meta.owners().iter().peekable();
        owners.peek().is_some() && owners.all(|o| world.graph.owner(node, o) == Owner::Absent)
    };
    world.graph.iter().filter(alone).map(named).collect()
}

fn ending(world: &World) -> Vec<String> {
    let nodes = world.graph.iter();
    nodes
        .filter(|node| node.meta.is_ending())
        .map(named)
        .collect()
}

fn sized(world: &World) -> Vec<String> {
    let sets = world.replica_sets.iter();
    let told = sets.filter_map(|set| {
        let uid = set.metadata.uid.as_deref()?;
        let pods = world.pods.owned_by(uid).filter(|p| p.is_active()).count();
        let wanted = set.spec.replicas?;
        (i64::try_from(pods).ok()? != i64::from(wanted))
            .then(|| format!("{:?} has {pods} of {wanted}", set.metadata.name))
    });
    told.collect()
}

fn named_pods(world: &World) -> Vec<String> {
    let mut told = Vec::new();
    for set in world.stateful_sets.iter() {
        let (namespace, name) = key(&set.metadata);
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let wanted = set.spec.replicas.unwrap_or(1);
        let newest = set.status.as_ref().and_then(|s| s.update_revision.clone());
        for ordinal in 0..wanted {
            let pod = format!("{name}-{ordinal}");
            match world.pods.get(&(namespace.clone(), pod.clone())) {
                // Nobody may take another's pod away; in order, those after it wait.
                Some(pod) if controller(&pod.metadata).is_none_or(|o| o.uid != uid) => break,
                Some(pod) if pod.labels().get(LABEL) == newest.as_ref() => {}
                Some(_) => told.push(format!("{pod} is of an old template")),
                None => told.push(format!("{pod} is missing")),
            }
        }
        let own = world.pods.owned_by(uid).count();
        if i32::try_from(own).unwrap_or(i32::MAX) > wanted {
            told.push(format!("{name} has {own} of {wanted}"));
        }
    }
    told
}

fn daemons(world: &World) -> Vec<String> {
    let mut told = Vec::new();
    for set in world.daemon_sets.iter() {
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        for node in world.nodes.iter() {
            let name = node.metadata.name.as_deref();
            let here = world.pods.owned_by(uid);
            let here = here.filter(|pod| pod.spec.node_name.as_deref() == name);
            let count = here.count();
            if count != 1 {
                told.push(format!("{:?} has {count} on {name:?}", set.metadata.name));
            }
        }
    }
    told
}

fn named(node: &Node) -> String {
    format!(
        "{} {}/{}",
        node.resource.kind, node.meta.namespace, node.meta.name
    )
}
