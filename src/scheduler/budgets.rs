//! Disruption budgets, which preemption keeps where it can.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/#poddisruptionbudget-is-supported-but-not-guaranteed>

use super::cluster::Tracked;
use super::snapshot::PodKey;
use crate::client::informer::Event;
use crate::object::selector::LabelSelector;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug, Clone)]
struct Budget {
    /// `None` selects nothing.
    selector: Option<LabelSelector>,
    allowed: i64,
    /// Pods whose disruption is counted in `allowed` already.
    disrupted: BTreeSet<String>,
}

/// All there are.
#[derive(Debug, Default)]
pub struct Budgets {
    all: BTreeMap<PodKey, Budget>,
}

impl Budgets {
    pub fn take_in(&mut self, event: Event<PodDisruptionBudget>) {
        match event {
            Event::Restarted(list) => self.all = list.into_iter().map(read).collect(),
            Event::Applied(budget) => {
                let (key, budget) = read(budget);
                self.all.insert(key, budget);
            }
            Event::Deleted(budget) => {
                self.all.remove(&read(budget).0);
            }
        }
    }

    /// Which of the pods, taken away one after the other, would break a budget.
    pub fn broken_by(&self, pods: &[Arc<Tracked>]) -> Vec<bool> {
        let mut left: BTreeMap<&PodKey, i64> = BTreeMap::new();
        let breaks = |tracked: &Arc<Tracked>| {
            let pod = &tracked.pod;
            let mut broken = false;
            for (key, budget) in &self.all {
                let meant = key.0 == pod.namespace
                    && budget
                        .selector
                        .as_ref()
                        .is_some_and(|s| s.matches(&pod.labels));
                if meant && !budget.disrupted.contains(&pod.name) {
                    let left = left.entry(key).or_insert(budget.allowed);
                    *left -= 1;
                    broken |= *left < 0;
                }
            }
            broken
        };
        pods.iter().map(breaks).collect()
    }
}

fn read(budget: PodDisruptionBudget) -> (PodKey, Budget) {
    let meta = budget.metadata;
    let status = budget.status.unwrap_or_default();
    let selector = budget.spec.and_then(|spec| spec.selector);
    let key = (
        meta.namespace.unwrap_or_default(),
        meta.name.unwrap_or_default(),
    );
    let read = |selector| {
        let value = serde_json::to_value(selector).ok()?;
        LabelSelector::from_json(&value).ok()
    };
    let budget = Budget {
        selector: selector.and_then(read),
        allowed: i64::from(status.disruptions_allowed.unwrap_or(0)),
        disrupted: status
            .disrupted_pods
            .unwrap_or_default()
            .into_keys()
            .collect(),
    };
    (key, budget)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scheduler::counts::Footing;
    use crate::scheduler::snapshot::PodInfo;
    use serde_json::json;

    #[test]
    fn a_budget_is_used_up_pod_by_pod() {
        let mut budgets = Budgets::default();
        budgets.take_in(Event::Applied(serde_json::from_value(json!({
            "metadata": {"namespace": "n", "name": "b"},
            "spec": {"selector": {"matchLabels": {"app": "db"}}},
            "status": {"disruptionsAllowed": 1, "disruptedPods": {"gone": "2026-01-01T00:00:00Z"},
                "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}
        })).unwrap()));
        let pod = |name: &str, namespace: &str, app: &str| {
            let pod = PodInfo {
                name: name.to_owned(),
                namespace: namespace.to_owned(),
                labels: Arc::new([("app".to_owned(), app.to_owned())].into()),
                ..PodInfo::default()
            };
            Arc::new(Tracked {
                pod: Arc::new(pod),
                footing: Footing::default(),
            })
        };
        let pods = [
            pod("web", "n", "web"),
            pod("gone", "n", "db"),
            pod("other", "m", "db"),
            pod("first", "n", "db"),
            pod("second", "n", "db"),
        ];
        let want = [false, false, false, false, true];
        assert_eq!(budgets.broken_by(&pods), want);
    }
}
