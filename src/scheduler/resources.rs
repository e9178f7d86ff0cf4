//! What pods ask for and nodes have, in whole units.
//! <https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/>

use crate::object::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use std::collections::BTreeMap;

pub const CPU: &str = "cpu";
pub const MEMORY: &str = "memory";
pub const PODS: &str = "pods";

/// An amount per resource name: thousandths for `cpu`, whole units for all others.
///
/// 128 bits: each quantity is at most 2⁶³, so no number of pods makes a sum wrap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources(pub BTreeMap<String, i128>);

impl Resources {
    /// Reads quantities. The API has checked them; one that cannot be read counts as none.
    pub fn read(quantities: Option<&BTreeMap<String, Text>>) -> Resources {
        let read = |(name, text): (&String, &Text)| {
            let quantity = Quantity::parse(&text.0).unwrap_or_default();
            let amount = if name == CPU {
                quantity.milli()
            } else {
                quantity.value()
            };
            (name.clone(), i128::from(amount))
        };
        Resources(quantities.into_iter().flatten().map(read).collect())
    }

    pub fn get(&self, name: &str) -> i128 {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub fn add(&mut self, other: &Resources) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() += amount;
        }
    }

    pub fn subtract(&mut self, other: &Resources) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() -= amount;
        }
    }

    fn max(&mut self, other: &Resources) {
        for (name, amount) in &other.0 {
            let mine = self.0.entry(name.clone()).or_default();
            *mine = (*mine).max(*amount);
        }
    }
}

/// Requests, with limits standing in where a request is missing, as the API's defaulting has it.
fn requests(resources: Option<&ResourceRequirements>) -> Resources {
    let mut all = Resources::read(resources.and_then(|r| r.limits.as_ref()));
    all.0
        .extend(Resources::read(resources.and_then(|r| r.requests.as_ref())).0);
    all
}

/// What a container takes: what it asks or what it was granted, whichever is more; only the latter where its node can
/// never give it what it asks (upstream's `determineContainerReqs`).
fn takes(pod: &Pod, container: &Container) -> Resources {
    let asked = requests(container.resources.as_ref());
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
pub fn pod_requests(pod: &Pod) -> Resources {
    let mut total = Resources::default();
    if let Some(spec) = &pod.spec {
        for container in &spec.containers {
            total.add(&takes(pod, container));
        }
        let mut sidecars = Resources::default();
        let mut init_peak = Resources::default();
        for container in spec.init_containers.iter().flatten() {
            let own = takes(pod, container);
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
        if spec.resources.is_some() {
            total.0.extend(requests(spec.resources.as_ref()).0);
        }
        total.add(&Resources::read(spec.overhead.as_ref()));
    }
    total.0.insert(PODS.to_owned(), 1);
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
        let all = pod_requests(&pod);
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
            pod_requests(&pod).get(CPU)
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
}
