//! What must be so in a settled world: one rule per kind, each answering with what breaks it.

use crate::controllers::world::World;
use crate::controllers::world::graph::{Node, Owner};

type Rule = fn(&World) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[
    ("namespaces have an account", accounts),
    ("no object outlives its owners", orphans),
    ("no deletion waits", ending),
    ("sets have the pods they ask for", sized),
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

fn named(node: &Node) -> String {
    format!(
        "{} {}/{}",
        node.resource.kind, node.meta.namespace, node.meta.name
    )
}
