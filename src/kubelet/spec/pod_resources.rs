//! What a pod as a whole asks for and may use: of a node's room, and of its own cgroup.
//! <https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/>, and the kubelet's
//! `ResourceConfigForPod`.

use super::resources::{CPU_PERIOD_US, CPU_QUOTA_US_MIN, class, shares};
use crate::kubelet::pod::state::{containers, is_sidecar};
use crate::object::quantity::Quantity;
use crate::runtime::cgroups::limits::{Bound, Limits};
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use std::collections::{BTreeMap, BTreeSet};

/// By resource name: CPU in thousandths, everything else in whole units.
pub type Amounts = BTreeMap<String, i64>;

/// Reads quantities. The API has checked them; one that cannot be read counts as none.
pub fn amounts(quantities: Option<&BTreeMap<String, Text>>) -> Amounts {
    let read = |(name, text): (&String, &Text)| {
        let quantity = Quantity::parse(&text.0).unwrap_or_default();
        let amount = if name == "cpu" {
            quantity.milli()
        } else {
            quantity.value()
        };
        (name.clone(), amount)
    };
    quantities.into_iter().flatten().map(read).collect()
}

/// With limits standing in where a request is missing, as the API's defaulting has it.
pub fn requests_of(resources: Option<&ResourceRequirements>) -> Amounts {
    let mut all = limits_of(resources);
    all.extend(amounts(resources.and_then(|r| r.requests.as_ref())));
    all
}

pub fn limits_of(resources: Option<&ResourceRequirements>) -> Amounts {
    amounts(resources.and_then(|r| r.limits.as_ref()))
}

/// What a pod asks of a node.
pub fn pod_requests(pod: &Pod) -> Amounts {
    combined(pod, requests_of)
}

/// The most its containers together may use of what all of them have a limit for.
pub fn pod_limits(pod: &Pod) -> Amounts {
    combined(pod, limits_of)
}

/// The sum of containers and sidecars, or the largest init container beside the sidecars before it, whichever is
/// more; what the pod itself says stands in place of that.
fn combined(pod: &Pod, of: fn(Option<&ResourceRequirements>) -> Amounts) -> Amounts {
    let mut total = Amounts::new();
    let mut sidecars = Amounts::new();
    let mut init_peak = Amounts::new();
    for (init, container) in containers(pod) {
        let own = of(container.resources.as_ref());
        if !init {
            add(&mut total, &own);
        } else if is_sidecar(container) {
            add(&mut sidecars, &own);
        } else {
            let mut beside = sidecars.clone();
            add(&mut beside, &own);
            raise(&mut init_peak, &beside);
        }
    }
    add(&mut total, &sidecars);
    raise(&mut total, &init_peak);
    total.extend(of(pod.spec.as_ref().and_then(|s| s.resources.as_ref())));
    total
}

fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = to.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*amount);
    }
}

fn raise(to: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let most = to.entry(name.clone()).or_default();
        *most = (*most).max(*amount);
    }
}

/// Limits of the pod's own cgroup. `pids_max` is the node's for every pod; `page_sizes` are the huge pages the
/// machine has, as resource names.
pub fn pod_cgroup(
    pod: &Pod,
    pids_max: Option<i64>,
    page_sizes: impl Iterator<Item = impl AsRef<str>>,
) -> Limits {
    let (requests, limits) = (pod_requests(pod), pod_limits(pod));
    let of = |amounts: &Amounts, name: &str| amounts.get(name).copied().unwrap_or(0);
    let own = limits_of(pod.spec.as_ref().and_then(|s| s.resources.as_ref()));
    // Only where nobody in it goes without a limit is the sum one.
    let declared = |name: &str| {
        let limited = |(_, c): (bool, &Container)| of(&limits_of(c.resources.as_ref()), name) > 0;
        of(&own, name) > 0 || containers(pod).all(limited)
    };
    let best_effort = class(pod) == "BestEffort";
    let bound = |name: &str| {
        let amount = of(&limits, name);
        (!best_effort && amount > 0 && declared(name)).then_some(amount)
    };
    let cpu_milli = if best_effort { 0 } else { of(&requests, "cpu") };
    let mut pages: BTreeSet<String> = page_sizes.map(|name| name.as_ref().to_owned()).collect();
    let asked = requests.keys().filter(|name| page_size(name).is_some());
    pages.extend(asked.cloned());
    Limits {
        cpu_shares: Some(shares(cpu_milli)),
        cpu_quota_us: Some(bound("cpu").map(quota_us).into()),
        memory_bytes: Some(bound("memory").into()),
        pids: Some(Bound::from(pids_max)),
        huge_pages: pages
            .iter()
            .filter_map(|name| Some((page_size(name)?, of(&requests, name))))
            .collect(),
    }
}

pub fn quota_us(cpu_milli: i64) -> i64 {
    (cpu_milli.saturating_mul(CPU_PERIOD_US) / 1000).max(CPU_QUOTA_US_MIN)
}

/// `2MB` of `hugepages-2Mi`: the kernel writes the sizes of its files with decimal letters and binary meaning.
pub fn page_size(resource: &str) -> Option<String> {
    let size = resource.strip_prefix("hugepages-")?;
    let (number, unit) = size.split_at_checked(size.len().checked_sub(2)?)?;
    let letter = unit.strip_suffix('i')?;
    (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        .then(|| format!("{number}{}B", letter.to_uppercase()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": spec})).unwrap()
    }

    fn container(limits: Value, requests: Value) -> Value {
        json!({"name": "c", "resources": {"limits": limits, "requests": requests}})
    }

    #[test]
    fn init_containers_count_by_their_peak() {
        let pod = pod(json!({
            "initContainers": [
                {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
                {"name": "big", "resources": {"requests": {"cpu": "2"}}}],
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "300m"}}}]}));
        assert_eq!(pod_requests(&pod)["cpu"], 2100);
    }

    #[test]
    fn cgroups_of_pods() {
        let none = json!({});
        let full = container(json!({"cpu": "100m", "memory": "64Mi"}), json!({}));
        let half = container(json!({"cpu": "200m"}), json!({"memory": "1Mi"}));
        for (spec, shares, quota, memory) in [
            (
                json!({"containers": [{"name": "c"}]}),
                2,
                Bound::Max,
                Bound::Max,
            ),
            (
                json!({"containers": [full, full]}),
                204,
                Bound::At(20_000),
                Bound::At(128 << 20),
            ),
            (
                json!({"containers": [full, half]}),
                307,
                Bound::At(30_000),
                Bound::Max,
            ),
            // Its init container has no limit of memory: the pod has none.
            (
                json!({"initContainers": [half], "containers": [full]}),
                204,
                Bound::At(20_000),
                Bound::Max,
            ),
            (
                json!({"containers": [container(none.clone(), json!({"cpu": "1"}))]}),
                1024,
                Bound::Max,
                Bound::Max,
            ),
            // The pod's own word stands.
            (
                json!({"containers": [{"name": "c"}], "resources": {"limits": {"cpu": "1", "memory": "1Mi"}, "requests": {"cpu": "500m", "memory": "1Mi"}}}),
                512,
                Bound::At(100_000),
                Bound::At(1 << 20),
            ),
        ] {
            let made = pod_cgroup(&pod(spec.clone()), Some(9), std::iter::empty::<&str>());
            assert_eq!(made.cpu_shares, Some(shares), "{spec}");
            assert_eq!(made.cpu_quota_us, Some(quota), "{spec}");
            assert_eq!(made.memory_bytes, Some(memory), "{spec}");
            assert_eq!(made.pids, Some(Bound::At(9)));
        }
    }

    #[test]
    fn huge_pages_nobody_asked_for_are_closed() {
        let limits = json!({"cpu": "1", "hugepages-2Mi": "4Mi"});
        let pod = pod(json!({"containers": [container(limits, json!({}))]}));
        let made = pod_cgroup(&pod, None, ["hugepages-2Mi", "hugepages-1Gi"].into_iter());
        assert_eq!(
            made.huge_pages,
            [("1GB".to_owned(), 0), ("2MB".to_owned(), 4 << 20)]
        );
        assert_eq!(made.pids, Some(Bound::Max));
        for (name, size) in [
            ("hugepages-64Ki", Some("64KB")),
            ("hugepages-2M", None),
            ("hugepages-", None),
            ("cpu", None),
        ] {
            assert_eq!(page_size(name).as_deref(), size, "{name}");
        }
    }
}
