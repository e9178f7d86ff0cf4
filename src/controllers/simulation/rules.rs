//! What must be so in a settled world: one rule per kind, each answering with what breaks it.

use crate::controllers::endpoints::SERVICE_NAME;
use crate::controllers::owners;
use crate::controllers::revisions::LABEL;
use crate::controllers::world::graph::{Node, Owner};
use crate::controllers::world::{World, controller, key};

type Rule = fn(&World) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[
    ("namespaces have an account", accounts),
    ("no object outlives its owners", orphans),
    ("no deletion waits", ending),
    ("sets have the pods they ask for", sized),
    ("slices and endpoints are the ready pods", served),
    ("budgets count the healthy pods", budgeted),
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

fn served(world: &World) -> Vec<String> {
    let told = world.services.iter().filter_map(|service| {
        let selector = service.spec.as_ref()?.selector.as_ref()?;
        let name = service.metadata.name.clone()?;
        let namespace = service.metadata.namespace.clone()?;
        let mut pods: Vec<String> = world
            .pods
            .in_namespace(&namespace)
            .filter(|pod| selector.iter().all(|(k, v)| pod.labels().get(k) == Some(v)))
            .filter(|pod| pod.is_active() && pod.is_ready())
            .filter_map(|pod| pod.metadata.uid.clone())
            .collect();
        pods.sort();
        let slices = world.slices.in_namespace(&namespace).filter(|slice| {
            let labels = slice.metadata.labels.as_ref();
            labels.and_then(|l| l.get(SERVICE_NAME)) == Some(&name)
        });
        let mut sliced: Vec<String> = slices
            .flat_map(|slice| slice.endpoints.iter().flatten())
            .filter(|e| e.conditions.as_ref().and_then(|c| c.ready) == Some(true))
            .filter_map(|e| e.target_ref.as_ref()?.uid.clone())
            .collect();
        sliced.sort();
        let listed = world.endpoints.get(&(namespace, name.clone()));
        let mut listed: Vec<String> = listed
            .iter()
            .flat_map(|e| e.subsets.iter().flatten())
            .flat_map(|subset| subset.addresses.iter().flatten())
            .filter_map(|address| address.target_ref.as_ref()?.uid.clone())
            .collect();
        listed.sort();
        (pods != sliced || pods != listed)
            .then(|| format!("{name}: pods {pods:?}, slices {sliced:?}, endpoints {listed:?}"))
    });
    told.collect()
}

fn budgeted(world: &World) -> Vec<String> {
    let told = world.disruption_budgets.iter().filter_map(|budget| {
        let namespace = budget.metadata.namespace.as_deref()?;
        let selector = owners::selector(budget.spec.as_ref()?.selector.as_ref()?)?;
        let pods = world.pods.in_namespace(namespace);
        let healthy =
            pods.filter(|p| p.is_ready() && !p.is_ending() && selector.matches(p.labels()));
        let (healthy, status) = (healthy.count(), budget.status.as_ref()?);
        (i32::try_from(healthy).ok() != status.current_healthy)
            .then(|| format!("{:?}: {healthy} healthy, {status:?}", budget.metadata.name))
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
