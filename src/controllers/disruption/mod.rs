//! PodDisruptionBudgets: how many of an application's pods may be taken away now; evictions ask.
//! <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/>
//!
//! What comes in: budgets, the pods they select, and how many of those their owners want. What goes out: the status.
//! Invariants: a number that cannot be had allows nothing. Pods that nobody manages count as pods, but not towards a
//! share (<https://kubernetes.io/docs/tasks/run-application/configure-pdb/#arbitrary-controllers-and-selectors>).

mod scale;
#[cfg(test)]
mod tests;

use super::action::{Action, Plan, Target};
use super::clock;
use super::owners;
use super::runner::Controller;
use super::world::{Change, Diff, Key, PodView, World, key};
use crate::client::recorder::Kind;
use jiff::Timestamp;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const ALLOWED: &str = "DisruptionAllowed";
/// Within this an evicted pod must be on its way out (upstream's `DeletionTimeout`).
const DELETION_SECONDS: i64 = 120;
/// Pods of one rollout that change together are counted together.
const GATHER: Duration = Duration::from_millis(50);

pub struct Budgets;

impl Controller for Budgets {
    fn name(&self) -> &'static str {
        "controllermanager"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::DisruptionBudget(diff) => diff.key().into_iter().collect(),
            Change::Pod(diff) => of_pod(world, diff),
            other => match scale::changed(other) {
                Some(namespace) => in_namespace(world, &namespace),
                None => Vec::new(),
            },
        }
    }

    fn gathers(&self, change: &Change) -> Duration {
        match change {
            Change::Pod(_) => GATHER,
            _ => Duration::ZERO,
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        match world.disruption_budgets.get(key) {
            Some(budget) if budget.metadata.deletion_timestamp.is_none() => {
                of_budget(world, budget, now)
            }
            _ => Plan::default(),
        }
    }
}

fn in_namespace(world: &World, namespace: &str) -> Vec<Key> {
    let budgets = world.disruption_budgets.in_namespace(namespace);
    budgets.map(|budget| key(&budget.metadata)).collect()
}

fn of_pod(world: &World, diff: &Diff<PodView>) -> Vec<Key> {
    let seen = |pod: &PodView| (pod.is_ready(), pod.is_ending(), pod.labels().clone());
    if let (Some(old), Some(new)) = (&diff.old, &diff.new)
        && seen(old) == seen(new)
        && old.metadata.owner_references == new.metadata.owner_references
    {
        return Vec::new();
    }
    let Some(pod) = diff.newest() else {
        return Vec::new();
    };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let budgets = world.disruption_budgets.in_namespace(namespace);
    let pods = || [&diff.old, &diff.new].into_iter().flatten();
    budgets
        .filter(|budget| pods().any(|pod| selects(budget, pod)))
        .map(|budget| key(&budget.metadata))
        .collect()
}

/// An empty selector is for every pod, none at all for no pod.
fn selects(budget: &PodDisruptionBudget, pod: &PodView) -> bool {
    let selector = budget.spec.as_ref().and_then(|s| s.selector.as_ref());
    selector
        .and_then(owners::selector)
        .is_some_and(|selector| selector.matches(pod.labels()))
}

fn of_budget(world: &World, budget: &PodDisruptionBudget, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let target = Target::of::<PodDisruptionBudget>(&budget.metadata);
    let namespace = budget.metadata.namespace.as_deref().unwrap_or_default();
    let selector = budget.spec.as_ref().and_then(|s| s.selector.as_ref());
    let selector = selector.and_then(owners::selector);
    let pods: Vec<Arc<PodView>> = world
        .pods
        .in_namespace(namespace)
        .filter(|pod| selector.as_ref().is_some_and(|s| s.matches(pod.labels())))
        .cloned()
        .collect();
    let was = budget.status.clone().unwrap_or_default();
    let mut is = was.clone();
    is.observed_generation = budget.metadata.generation;
    let (status, reason, message) = match scale::wanted(world, budget, &pods) {
        Ok((expected, desired)) => {
            let disrupted = disrupted(&was, &pods, now, &target, &mut plan);
            let healthy = healthy(&pods, &disrupted);
            let allowed = if expected > 0 {
                (healthy - desired).max(0)
            } else {
                0
            };
            is.expected_pods = Some(expected);
            is.desired_healthy = Some(desired);
            is.current_healthy = Some(healthy);
            is.disruptions_allowed = Some(allowed);
            is.disrupted_pods = Some(disrupted).filter(|pods| !pods.is_empty());
            if allowed > 0 {
                ("True", "SufficientPods", String::new())
            } else {
                ("False", "InsufficientPods", String::new())
            }
        }
        Err(why) => {
            is.disruptions_allowed = Some(0);
            ("False", "SyncFailed", why)
        }
    };
    set_condition(&mut is, status, reason, &message, now);
    if is == was {
        return plan;
    }
    if reason == "SyncFailed" {
        let message = format!("Failed to calculate the number of expected pods: {message}");
        let reason = "CalculateExpectedPodCountFailed";
        plan.actions
            .push(Action::tell(&target, Kind::Warning, reason, message));
    } else if pods.is_empty() {
        let message = "No matching pods found".to_owned();
        plan.actions
            .push(Action::tell(&target, Kind::Normal, "NoPods", message));
    }
    plan.actions.push(Action::SetStatus {
        target,
        resource_version: budget.metadata.resource_version.clone(),
        status: json!(is),
    });
    plan
}

/// Evicted pods that are not on their way out yet, and since when.
fn disrupted(
    was: &PodDisruptionBudgetStatus,
    pods: &[Arc<PodView>],
    now: Timestamp,
    target: &Target,
    plan: &mut Plan,
) -> BTreeMap<String, Time> {
    let mut kept = BTreeMap::new();
    for (name, since) in was.disrupted_pods.iter().flatten() {
        let pod = pods.iter().find(|p| p.metadata.name.as_ref() == Some(name));
        let Some(pod) = pod.filter(|pod| !pod.is_ending()) else {
            continue;
        };
        let until = clock::after(since.0, DELETION_SECONDS);
        if until > now && !clock::is_ahead(since.0, now) {
            clock::look_at(plan, until, now);
            kept.insert(name.clone(), since.clone());
            continue;
        }
        let message = format!(
            "Pod was expected by PDB {}/{} to be deleted but it wasn't",
            target.namespace, target.name
        );
        let pod = Target::of::<PodView>(&pod.metadata);
        plan.actions
            .push(Action::tell(&pod, Kind::Warning, "NotDeleted", message));
    }
    kept
}

fn healthy(pods: &[Arc<PodView>], disrupted: &BTreeMap<String, Time>) -> i32 {
    let counts = |pod: &&Arc<PodView>| {
        let name = pod.metadata.name.as_ref();
        !pod.is_ending() && pod.is_ready() && name.is_none_or(|name| !disrupted.contains_key(name))
    };
    i32::try_from(pods.iter().filter(counts).count()).unwrap_or(i32::MAX)
}

fn set_condition(
    is: &mut PodDisruptionBudgetStatus,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let conditions = is.conditions.get_or_insert_default();
    let old = conditions.iter().position(|c| c.type_ == ALLOWED);
    let since = old
        .and_then(|index| conditions.get(index))
        .filter(|c| c.status == status)
        .map_or_else(|| clock::time(now), |c| c.last_transition_time.clone());
    let condition = Condition {
        type_: ALLOWED.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: is.observed_generation,
        last_transition_time: since,
    };
    match old.and_then(|index| conditions.get_mut(index)) {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}
