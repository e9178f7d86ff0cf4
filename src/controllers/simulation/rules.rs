//! What must be so in a settled world: one rule per kind, each answering with what breaks it.

use crate::controllers::world::World;

type Rule = fn(&World) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[("namespaces have an account", accounts)];

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
