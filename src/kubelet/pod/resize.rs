//! Resources of a pod that change while it runs: what was asked, what is granted, what is real.
//! <https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/>
//!
//! What a container is granted follows its spec only when the node has the room; what it really has follows the
//! grant when its cgroup is changed, or when it starts again. Both are kept only where they differ from the spec,
//! and after a restart are read from the status that was reported last.

use super::state::{PodState, containers};
use crate::kubelet::spec::NodeFacts;
use crate::kubelet::spec::pod_resources::{Amounts, amounts, pod_requests};
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What can change.
const RESOURCES: [&str; 2] = ["cpu", "memory"];

/// By container.
pub type Held = BTreeMap<String, ResourceRequirements>;

/// What stands in the way of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    /// The node never has so much.
    Infeasible(String),
    /// Other pods have it now.
    Deferred(String),
    /// Granted, but not done.
    Error(String),
}

/// `container` with what it holds.
fn with(container: &Container, held: &Held) -> ResourceRequirements {
    held.get(&container.name)
        .or(container.resources.as_ref())
        .cloned()
        .unwrap_or_default()
}

/// What the container was granted.
pub fn granted_to(state: &PodState, container: &Container) -> ResourceRequirements {
    with(container, &state.granted)
}

/// What the container really has.
pub fn real_of(state: &PodState, container: &Container) -> ResourceRequirements {
    match state.real.get(&container.name) {
        Some(real) => real.clone(),
        None => granted_to(state, container),
    }
}

/// The pod as it was granted.
pub fn granted<'a>(pod: &'a Pod, state: &PodState) -> Cow<'a, Pod> {
    replaced(pod, &state.granted)
}

/// `pod` with what its containers hold in place of what their specs say.
pub fn replaced<'a>(pod: &'a Pod, held: &Held) -> Cow<'a, Pod> {
    if held.is_empty() {
        return Cow::Borrowed(pod);
    }
    let mut pod = pod.clone();
    if let Some(spec) = &mut pod.spec {
        let all = spec.init_containers.iter_mut().flatten();
        for container in all.chain(&mut spec.containers) {
            container.resources = Some(with(container, held));
        }
    }
    Cow::Owned(pod)
}

fn same(one: Option<&ResourceRequirements>, other: Option<&ResourceRequirements>) -> bool {
    let of = |resources: Option<&ResourceRequirements>| {
        RESOURCES.map(|name| {
            let amount = |set| amounts(set).get(name).copied();
            (
                amount(resources.and_then(|r| r.requests.as_ref())),
                amount(resources.and_then(|r| r.limits.as_ref())),
            )
        })
    };
    of(one) == of(other)
}

/// `new` takes the place of `old`: what was granted stays until the change is looked at.
pub fn replace(old: &Pod, new: &Pod, state: &mut PodState) {
    for (_, container) in containers(new) {
        let Some((_, before)) = containers(old).find(|(_, c)| c.name == container.name) else {
            continue;
        };
        let granted = granted_to(state, before);
        if same(Some(&granted), container.resources.as_ref()) {
            state.granted.remove(&container.name);
        } else {
            state.granted.insert(container.name.clone(), granted);
        }
    }
}

/// What an earlier process had granted and done, from the status it reported.
pub fn adopt(pod: &Pod, state: &mut PodState) {
    let Some(status) = &pod.status else { return };
    let reported = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten());
    for reported in reported {
        let found = containers(pod).find(|(_, c)| c.name == reported.name);
        let (Some((_, container)), Some(had)) = (found, &reported.resources) else {
            continue;
        };
        if same(Some(had), container.resources.as_ref()) {
            continue;
        }
        let asked = container.resources.as_ref();
        let asked = asked.and_then(|r| r.requests.as_ref());
        let pick = |set| {
            let all = amounts(set);
            RESOURCES.map(|name| all.get(name).copied())
        };
        let is_granted = pick(reported.allocated_resources.as_ref()) == pick(asked);
        let place = if is_granted {
            &mut state.real
        } else {
            &mut state.granted
        };
        place.insert(reported.name.clone(), had.clone());
    }
}

/// Whether the node has what the pod's spec asks, beside what `others` were granted. Upstream's words.
pub fn judge<'a>(
    pod: &Pod,
    state: &PodState,
    others: impl Iterator<Item = &'a Amounts> + Clone,
    facts: &NodeFacts,
) -> Result<(), Hindrance> {
    let wanted = pod_requests(pod);
    let had = pod_requests(&granted(pod, state));
    for name in RESOURCES {
        let of = |all: &Amounts| all.get(name).copied().unwrap_or(0);
        let (requested, capacity) = (of(&wanted), facts.capacity(name).unwrap_or(0));
        if requested > capacity {
            return Err(Hindrance::Infeasible(format!(
                "Node didn't have enough capacity: {name}, requested: {requested}, capacity: {capacity}"
            )));
        }
        let used = others
            .clone()
            .fold(0_i64, |sum, other| sum.saturating_add(of(other)));
        if requested > of(&had) && requested.saturating_add(used) > capacity {
            return Err(Hindrance::Deferred(format!(
                "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
            )));
        }
    }
    Ok(())
}

/// Whether the change from `before` to `after` wants the container to run again: one of the resources that change
/// has the policy `RestartContainer`.
pub fn wants_restart(container: &Container, before: &ResourceRequirements) -> bool {
    let after = container.resources.clone().unwrap_or_default();
    let of = |set: &Option<_>, name: &str| amounts(set.as_ref()).get(name).copied();
    container
        .resize_policy
        .iter()
        .flatten()
        .filter(|policy| policy.restart_policy == "RestartContainer")
        .any(|policy| {
            let name = policy.resource_name.as_str();
            of(&before.limits, name) != of(&after.limits, name)
                || of(&before.requests, name) != of(&after.requests, name)
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn pod(cpu: &str, more: Value) -> Pod {
        let mut pod = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
        json_patch::merge(&mut pod, &more);
        serde_json::from_value(pod).unwrap()
    }

    fn node(cpu_milli: i64) -> NodeFacts {
        NodeFacts {
            cpu_milli,
            ..NodeFacts::default()
        }
    }

    #[test]
    fn a_change_is_held_until_it_is_granted_or_taken_back() {
        let mut state = PodState::default();
        let (old, new) = (pod("1", json!({})), pod("2", json!({})));
        replace(&old, &new, &mut state);
        assert_eq!(pod_requests(&granted(&new, &state))["cpu"], 1000);
        replace(&new, &pod("3", json!({})), &mut state);
        assert_eq!(pod_requests(&granted(&new, &state))["cpu"], 1000);
        replace(&new, &pod("1000m", json!({})), &mut state);
        assert!(state.granted.is_empty());
    }

    #[test]
    fn verdicts() {
        let mut state = PodState::default();
        let (old, new) = (pod("1", json!({})), pod("2", json!({})));
        replace(&old, &new, &mut state);
        let other = Amounts::from([("cpu".to_owned(), 1500)]);
        let judged =
            |pod: &Pod, capacity| judge(pod, &state, [&other].into_iter(), &node(capacity));
        assert!(matches!(
            judged(&new, 1999),
            Err(Hindrance::Infeasible(text)) if text == "Node didn't have enough capacity: cpu, requested: 2000, capacity: 1999"
        ));
        assert!(matches!(
            judged(&new, 3000),
            Err(Hindrance::Deferred(text)) if text == "Node didn't have enough resource: cpu, requested: 2000, used: 1500, capacity: 3000"
        ));
        assert_eq!(judged(&new, 3500), Ok(()));
        // Less than it has always fits.
        assert_eq!(judged(&pod("500m", json!({})), 1000), Ok(()));
    }

    #[test]
    fn the_status_tells_a_new_process() {
        let status = |requests: &str, allocated: &str| {
            json!({"status": {"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "resources": {"requests": {"cpu": requests}}, "allocatedResources": {"cpu": allocated}}]}})
        };
        for (requests, allocated, granted, real) in
            [("2", "2", 0, 0), ("1", "1", 1, 0), ("1", "2", 0, 1)]
        {
            let mut state = PodState::default();
            adopt(&pod("2", status(requests, allocated)), &mut state);
            assert_eq!(
                (state.granted.len(), state.real.len()),
                (granted, real),
                "{requests} {allocated}"
            );
        }
    }

    #[test]
    fn restarts_only_for_what_changes() {
        let container: Container = serde_json::from_value(json!({"name": "c",
            "resources": {"requests": {"cpu": "1", "memory": "1Mi"}},
            "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}, {"resourceName": "cpu", "restartPolicy": "NotRequired"}]}))
        .unwrap();
        for (before, expected) in [
            (json!({"requests": {"cpu": "2", "memory": "1Mi"}}), false),
            (json!({"requests": {"cpu": "1", "memory": "2Mi"}}), true),
        ] {
            let before: ResourceRequirements = serde_json::from_value(before).unwrap();
            assert_eq!(wants_restart(&container, &before), expected);
        }
    }
}
