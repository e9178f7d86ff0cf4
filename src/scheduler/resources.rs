//! What pods ask for and nodes have, in whole units.
//! <https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/>

use crate::object::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use std::collections::BTreeMap;

pub const CPU: &str = "cpu";
pub const MEMORY: &str = "memory";
pub const PODS: &str = "pods";

/// Upstream's `DefaultMilliCPURequest` and `DefaultMemoryRequest`: what a container that asks for nothing counts as in
/// scores, so that a hundred of them do not all go to one node.
const UNASKED_CPU_MILLI: i128 = 100;
const UNASKED_MEMORY_BYTES: i128 = 200 << 20;

/// An amount per resource: thousandths for `cpu`, whole units for all others.
///
/// 128 bits: each quantity is at most 2⁶³, so no number of pods makes a sum wrap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    pub cpu: i128,
    pub memory: i128,
    pub pods: i128,
    /// The rest by name; none of them zero.
    others: BTreeMap<String, i128>,
}

impl Resources {
    /// Reads quantities. The API has checked them; one that cannot be read counts as none.
    pub fn read(quantities: Option<&BTreeMap<String, Text>>) -> Resources {
        let mut all = Resources::default();
        all.replace(quantities);
        all
    }

    /// Takes over every amount that is named.
    fn replace(&mut self, quantities: Option<&BTreeMap<String, Text>>) {
        for (name, text) in quantities.into_iter().flatten() {
            let quantity = Quantity::parse(&text.0).unwrap_or_default();
            let amount = if name == CPU {
                quantity.milli()
            } else {
                quantity.value()
            };
            self.set(name, i128::from(amount));
        }
    }

    pub fn get(&self, name: &str) -> i128 {
        match name {
            CPU => self.cpu,
            MEMORY => self.memory,
            PODS => self.pods,
            other => self.others.get(other).copied().unwrap_or(0),
        }
    }

    pub fn set(&mut self, name: &str, amount: i128) {
        match name {
            CPU => self.cpu = amount,
            MEMORY => self.memory = amount,
            PODS => self.pods = amount,
            other if amount == 0 => {
                self.others.remove(other);
            }
            other => {
                self.others.insert(other.to_owned(), amount);
            }
        }
    }

    pub fn add(&mut self, other: &Resources) {
        self.cpu += other.cpu;
        self.memory += other.memory;
        self.pods += other.pods;
        for (name, amount) in &other.others {
            self.set(name, self.get(name) + amount);
        }
    }

    pub fn subtract(&mut self, other: &Resources) {
        self.cpu -= other.cpu;
        self.memory -= other.memory;
        self.pods -= other.pods;
        for (name, amount) in &other.others {
            self.set(name, self.get(name) - amount);
        }
    }

    fn max(&mut self, other: &Resources) {
        self.cpu = self.cpu.max(other.cpu);
        self.memory = self.memory.max(other.memory);
        self.pods = self.pods.max(other.pods);
        for (name, amount) in &other.others {
            self.set(name, self.get(name).max(*amount));
        }
    }

    /// Whether nothing is asked for but a place among the pods.
    pub fn is_best_effort(&self) -> bool {
        self.cpu == 0 && self.memory == 0 && self.others.is_empty()
    }

    /// Whether `has`, of which `used` is taken, has room for these. What is not asked for may be over-committed.
    pub fn fit(&self, has: &Resources, used: &Resources) -> bool {
        let fits = |amount: i128, has: i128, used: i128| amount <= 0 || amount <= has - used;
        fits(self.pods, has.pods, used.pods)
            && fits(self.cpu, has.cpu, used.cpu)
            && fits(self.memory, has.memory, used.memory)
            && self
                .others
                .iter()
                .all(|(name, amount)| fits(*amount, has.get(name), used.get(name)))
    }

    /// The names of those that lack, in upstream's order.
    pub fn lacking(&self, has: &Resources, used: &Resources) -> Vec<&str> {
        let others = self.others.keys().map(String::as_str);
        [PODS, CPU, MEMORY]
            .into_iter()
            .chain(others)
            .filter(|name| {
                let amount = self.get(name);
                amount > 0 && amount > has.get(name) - used.get(name)
            })
            .collect()
    }
}

/// Requests, with limits standing in where a request is missing, as the API's defaulting has it.
fn requests(resources: Option<&ResourceRequirements>) -> Resources {
    let mut all = Resources::read(resources.and_then(|r| r.limits.as_ref()));
    all.replace(resources.and_then(|r| r.requests.as_ref()));
    all
}

/// What is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// What the pod is promised.
    Asked,
    /// The same, and something for containers that ask for nothing.
    Scored,
}

/// What a container takes: what it asks or what it was granted, whichever is more; only the latter where its node can
/// never give it what it asks (upstream's `determineContainerReqs`).
fn takes(pod: &Pod, container: &Container, sum: Sum) -> Resources {
    let mut asked = requests(container.resources.as_ref());
    if sum == Sum::Scored {
        let resources = container.resources.as_ref();
        let lists = resources.map(|r| [r.limits.as_ref(), r.requests.as_ref()]);
        let is_named = |name| {
            let mut lists = lists.into_iter().flatten().flatten();
            lists.any(|list| list.contains_key(name))
        };
        // Nothing said is not the same as zero.
        if !is_named(CPU) {
            asked.cpu = UNASKED_CPU_MILLI;
        }
        if !is_named(MEMORY) {
            asked.memory = UNASKED_MEMORY_BYTES;
        }
    }
    let Some(status) = &pod.status else {
        return asked;
    };
    let reported = status.init_container_statuses.iter().flatten();
    let granted = reported
        .chain(status.container_statuses.iter().flatten())
        .find(|s| s.name == container.name)
        .and_then(|s| s.allocated_resources.as_ref());
    let Some(granted) = granted.map(|set| Resources::read(Some(set))) else {
        return asked;
    };
    let conditions = status.conditions.iter().flatten();
    let infeasible = conditions
        .into_iter()
        .any(|c| c.type_ == "PodResizePending" && c.reason.as_deref() == Some("Infeasible"));
    let mut all = if infeasible {
        Resources::default()
    } else {
        asked
    };
    all.max(&granted);
    all
}

/// What a pod takes from its node, one of `pods` included: the larger of what runs at the same time (containers and
/// sidecars) and of what each init container needs beside the sidecars started before it.
/// <https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers>
pub fn pod_requests(pod: &Pod, sum: Sum) -> Resources {
    let mut total = Resources::default();
    if let Some(spec) = &pod.spec {
        for container in &spec.containers {
            total.add(&takes(pod, container, sum));
        }
        let mut sidecars = Resources::default();
        let mut init_peak = Resources::default();
        for container in spec.init_containers.iter().flatten() {
            let own = takes(pod, container, sum);
            if is_sidecar(container) {
                sidecars.add(&own);
                init_peak.max(&sidecars);
            } else {
                let mut beside = sidecars.clone();
                beside.add(&own);
                init_peak.max(&beside);
            }
        }
        total.add(&sidecars);
        total.max(&init_peak);
        // Requests at the pod's level replace the sum of its containers'.
        if let Some(resources) = &spec.resources {
            total.replace(resources.limits.as_ref());
            total.replace(resources.requests.as_ref());
        }
        total.add(&Resources::read(spec.overhead.as_ref()));
    }
    total.pods = 1;
    total
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn asks(spec: serde_json::Value) -> (i128, i128, i128) {
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        let all = pod_requests(&pod, Sum::Asked);
        (all.get(CPU), all.get(MEMORY), all.get(PODS))
    }

    fn container(cpu: &str, memory: &str) -> serde_json::Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn containers_add_up_and_init_containers_peak() {
        let two = json!([container("100m", "1Mi"), container("200m", "2Mi")]);
        assert_eq!(asks(json!({"containers": two})), (300, 3 << 20, 1));
        let init = json!([container("1", "1Mi"), container("10m", "8Mi")]);
        let spec = json!({"containers": two, "initContainers": init});
        assert_eq!(asks(spec), (1000, 8 << 20, 1));
        let mut sidecar = container("50m", "1Mi");
        sidecar["restartPolicy"] = json!("Always");
        let init = json!([sidecar, container("1", "1Mi")]);
        let spec = json!({"containers": two, "initContainers": init});
        assert_eq!(asks(spec), (1050, 4 << 20, 1));
    }

    #[test]
    fn a_change_that_waits_takes_both_and_one_that_cannot_be_takes_nothing() {
        let asks = |asked: &str, reason: &str| {
            let pod: Pod = serde_json::from_value(json!({
                "spec": {"containers": [container(asked, "1Mi")]},
                "status": {
                    "conditions": [{"type": "PodResizePending", "status": "True", "reason": reason}],
                    "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                        "allocatedResources": {"cpu": "1", "memory": "1Mi"}}]}}))
            .unwrap();
            pod_requests(&pod, Sum::Asked).get(CPU)
        };
        assert_eq!(asks("2", "Deferred"), 2000);
        assert_eq!(asks("500m", "Deferred"), 1000);
        assert_eq!(asks("500", "Infeasible"), 1000);
    }

    #[test]
    fn limits_stand_in_for_requests() {
        let only_limit = json!({"name": "c", "resources": {"limits": {"cpu": "2"}}});
        assert_eq!(asks(json!({"containers": [only_limit]})), (2000, 0, 1));
        assert_eq!(asks(json!({"containers": [{"name": "c"}]})), (0, 0, 1));
    }

    #[test]
    fn what_lacks_is_named_and_what_is_not_asked_for_is_not() {
        let read = |value| Resources::read(Some(&serde_json::from_value(value).unwrap()));
        let has = read(json!({"cpu": "1", "memory": "1Gi", "pods": "1"}));
        let used = read(json!({"cpu": "2", "pods": "1"}));
        let asks = read(json!({"memory": "2Gi", "pods": "1", "example.com/gpu": "1"}));
        let want = [PODS, MEMORY, "example.com/gpu"];
        assert_eq!(asks.lacking(&has, &used), want);
        assert!(!asks.fit(&has, &used) && Resources::default().fit(&has, &used));
        let mut sum = asks.clone();
        sum.subtract(&asks);
        assert_eq!(sum, Resources::default());
    }

    #[test]
    fn a_container_that_asks_for_nothing_counts_in_scores() {
        let pod = json!({"spec": {"containers": [{"name": "a"}, container("1", "1Mi")]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let scored = pod_requests(&pod, Sum::Scored);
        assert_eq!((scored.cpu, scored.memory), (1100, 201 << 20));
    }
}
