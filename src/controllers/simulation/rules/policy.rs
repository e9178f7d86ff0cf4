//! Of budgets, quotas and autoscalers.

use super::{is_stuck, named};
use crate::controllers::owners;
use crate::controllers::world::{World, key};
use crate::object::quota;
use serde_json::json;

pub fn budgeted(world: &World) -> Vec<String> {
    let told = world.disruption_budgets.iter().filter_map(|budget| {
        let (namespace, _) = key(&budget.metadata);
        let selector = owners::selector(budget.spec.as_ref()?.selector.as_ref()?)?;
        let pods = world.pods.in_namespace(&namespace);
        let healthy =
            pods.filter(|p| p.is_ready() && !p.is_ending() && selector.matches(p.labels()));
        let Some(status) = budget.status.as_ref() else {
            return Some(format!("{} says nothing", named(&budget.metadata)));
        };
        let mut conditions = status.conditions.iter().flatten();
        let is_right = if conditions.any(|c| c.reason == "SyncFailed") {
            status.disruptions_allowed == Some(0)
        } else {
            i32::try_from(healthy.count()).ok() == status.current_healthy
        };
        (!is_right).then(|| format!("{}: {status:?}", named(&budget.metadata)))
    });
    told.collect()
}

pub fn counted(world: &World) -> Vec<String> {
    let mut told = Vec::new();
    for one in world.quotas.iter() {
        let (namespace, _) = key(&one.metadata);
        let pods = world.pods.in_namespace(&namespace);
        let pods = pods.filter(|pod| !pod.is_finished()).count();
        let services = world.services.in_namespace(&namespace).count();
        let claims = world.claims.in_namespace(&namespace).count();
        let counts = world.graph.counts(&namespace);
        let maps = counts.get(&("", "configmaps")).copied().unwrap_or(0);
        let value = json!(one.as_ref());
        let (hard, used) = (
            quota::amounts(&value, "/spec/hard"),
            quota::amounts(&value, "/status/used"),
        );
        let says = quota::to_value(&used);
        for (name, count) in [
            ("pods", pods),
            ("services", services),
            ("persistentvolumeclaims", claims),
            ("count/configmaps", maps),
        ] {
            if hard.contains_key(name) && says[name] != count.to_string() {
                told.push(format!(
                    "{} of {count} {name} says {says}",
                    named(&one.metadata)
                ));
            }
        }
    }
    told
}

/// What is used of what is asked for is near the goal, or the target cannot be larger or smaller.
pub fn scaled(world: &World) -> Vec<String> {
    const GOAL: i128 = 50;
    const REQUEST: i128 = 100_000_000;
    let mut told = Vec::new();
    for one in world.autoscalers.iter() {
        let (namespace, name) = key(&one.metadata);
        let target = (namespace.clone(), one.spec.scale_target_ref.name.clone());
        let found = match one.spec.scale_target_ref.kind.as_str() {
            "Deployment" => world
                .deployments
                .get(&target)
                .map(|d| (d.spec.replicas, d.spec.selector.clone())),
            _ => world
                .stateful_sets
                .get(&target)
                .map(|s| (s.spec.replicas, s.spec.selector.clone())),
        };
        let Some((replicas, selector)) = found else {
            continue;
        };
        let replicas = replicas.unwrap_or(1);
        if replicas == 0 {
            continue;
        }
        let (least, most) = (one.spec.min_replicas.unwrap_or(1), one.spec.max_replicas);
        if !(least..=most).contains(&replicas) {
            told.push(format!("{name} is for {replicas}"));
            continue;
        }
        let Some(selector) = owners::selector(&selector) else {
            continue;
        };
        let pods = world.pods.in_namespace(&namespace);
        let pods: Vec<_> = pods.filter(|p| selector.matches(p.labels())).collect();
        let count = i128::try_from(pods.len()).unwrap_or(0);
        let is_plain = pods
            .iter()
            .all(|p| p.is_active() && p.is_ready() && !is_stuck(p));
        if !is_plain || count != i128::from(replicas) {
            continue;
        }
        let used = pods.iter().filter_map(|pod| {
            let measured = world.usage.measured.get(&key(&pod.metadata))?;
            measured.containers.get("c")?.get("cpu").copied()
        });
        let percent = used.sum::<i128>() * 100 / (count * REQUEST);
        // ⌈count · percent / goal⌉
        let wanted = (count * percent + GOAL - 1) / GOAL;
        let wanted = wanted.clamp(least.into(), most.into());
        let is_near = (percent * 10 - GOAL * 10).abs() <= GOAL;
        if wanted != count && !is_near {
            told.push(format!(
                "{name} has {count} at {percent} %: {:?}",
                one.status
            ));
        }
    }
    told
}
