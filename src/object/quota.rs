//! What objects count for in a ResourceQuota: pure, shared by admission and the controller that counts anew.
//! <https://kubernetes.io/docs/concepts/policy/resource-quotas/>

use super::access::{integer, list, map, present, text};
use super::amount::Amount;
use super::selector::LabelSelector;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Amounts by the names quotas know them under.
pub type Amounts = BTreeMap<String, Amount>;

/// Core kinds that are also counted under their own name.
const COUNTED: [&str; 7] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
];
const COMPUTE: [&str; 6] = [
    "cpu",
    "memory",
    "requests.cpu",
    "requests.memory",
    "limits.cpu",
    "limits.memory",
];
const STORAGE: [&str; 4] = [
    "ephemeral-storage",
    "requests.ephemeral-storage",
    "limits.ephemeral-storage",
    "requests.storage",
];
const OF_SERVICES: [&str; 2] = ["services.nodeports", "services.loadbalancers"];
const HUGE_PAGES: &str = "hugepages-";
const CLASS_SUFFIX: &str = ".storageclass.storage.k8s.io/";

/// A name without a prefix that a quota may have.
pub fn is_standard(name: &str) -> bool {
    COUNTED.contains(&name)
        || COMPUTE.contains(&name)
        || STORAGE.contains(&name)
        || OF_SERVICES.contains(&name)
        || name.starts_with(HUGE_PAGES)
        || name.starts_with("requests.hugepages-")
}

/// What comes in whole numbers only.
pub fn is_whole(name: &str) -> bool {
    COUNTED.contains(&name) || OF_SERVICES.contains(&name) || name.contains('/')
}

/// Whether a quota of this scope can limit the resource: scopes choose among pods.
pub fn scope_fits(scope: &str, name: &str) -> bool {
    name == "pods" || (scope != "BestEffort" && COMPUTE.contains(&name))
}

/// `count/deployments.apps`
fn count_name(group: &str, plural: &str) -> String {
    if group.is_empty() {
        format!("count/{plural}")
    } else {
        format!("count/{plural}.{group}")
    }
}

/// Whether objects of this kind can count under `name`.
pub fn tracks(group: &str, plural: &str, name: &str) -> bool {
    if name == count_name(group, plural) {
        return true;
    }
    if !group.is_empty() {
        return false;
    }
    if COUNTED.contains(&name) {
        return name == plural;
    }
    match plural {
        "pods" => {
            let extended = name
                .strip_prefix("requests.")
                .is_some_and(|rest| rest.contains('/') || rest.starts_with(HUGE_PAGES));
            COMPUTE.contains(&name)
                || name.ends_with("ephemeral-storage")
                || name.starts_with(HUGE_PAGES)
                || extended
        }
        "persistentvolumeclaims" => name == "requests.storage" || name.contains(CLASS_SUFFIX),
        "services" => OF_SERVICES.contains(&name),
        _ => false,
    }
}

/// What `object` counts for at `now` (Unix seconds).
pub fn usage(group: &str, plural: &str, object: &Value, now: i64) -> Amounts {
    let one = Amount::count(1);
    let mut amounts = Amounts::from([(count_name(group, plural), one)]);
    if !group.is_empty() {
        return amounts;
    }
    if COUNTED.contains(&plural) && plural != "pods" {
        amounts.insert(plural.to_owned(), one);
    }
    match plural {
        "pods" if !is_over(object, now) => of_pod(object, &mut amounts),
        "persistentvolumeclaims" => {
            let request = amount(&object["spec"]["resources"]["requests"]["storage"]);
            let class = text(object, "/spec/storageClassName");
            if let Some(request) = request {
                amounts.insert("requests.storage".into(), request);
            }
            if !class.is_empty() {
                amounts.insert(format!("{class}{CLASS_SUFFIX}persistentvolumeclaims"), one);
                if let Some(request) = request {
                    amounts.insert(format!("{class}{CLASS_SUFFIX}requests.storage"), request);
                }
            }
        }
        "services" => {
            let ports = list(object, "/spec/ports");
            let named = || {
                ports
                    .iter()
                    .filter(|port| integer(port, "/nodePort") != 0)
                    .count()
            };
            let kind = text(object, "/spec/type");
            let unallocated = object["spec"]["allocateLoadBalancerNodePorts"] == false;
            let node_ports = match kind {
                "LoadBalancer" if unallocated => named(),
                "NodePort" | "LoadBalancer" => ports.len(),
                _ => 0,
            };
            amounts.insert("services.nodeports".into(), Amount::count(node_ports));
            let balanced = usize::from(kind == "LoadBalancer");
            amounts.insert("services.loadbalancers".into(), Amount::count(balanced));
        }
        _ => {}
    }
    amounts
}

fn amount(value: &Value) -> Option<Amount> {
    Amount::parse(value.as_str()?)
}

/// A pod that has ended, or whose node has had the time it was given to end it, uses nothing.
fn is_over(pod: &Value, now: i64) -> bool {
    if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        return true;
    }
    let deleted = super::time::seconds(text(pod, "/metadata/deletionTimestamp"));
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64();
    match (deleted, grace) {
        (Some(deleted), Some(grace)) => now > deleted.saturating_add(grace),
        _ => false,
    }
}

fn of_pod(pod: &Value, amounts: &mut Amounts) {
    amounts.insert("pods".into(), Amount::count(1));
    for (name, request) in of_containers(pod, "requests") {
        match name.as_str() {
            "cpu" | "memory" | "ephemeral-storage" => {
                amounts.insert(format!("requests.{name}"), request);
                amounts.insert(name, request);
            }
            _ if name.starts_with(HUGE_PAGES) => {
                amounts.insert(format!("requests.{name}"), request);
                amounts.insert(name, request);
            }
            _ => {
                amounts.insert(format!("requests.{name}"), request);
            }
        }
    }
    for (name, limit) in of_containers(pod, "limits") {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            amounts.insert(format!("limits.{name}"), limit);
        }
    }
}

/// What all containers have together: the sum, or the largest init container beside the sidecars before it; what the
/// pod itself says counts before that; overhead comes on top (upstream's `PodRequests` and `PodLimits`).
pub fn of_containers(pod: &Value, side: &str) -> Amounts {
    let spec = &pod["spec"];
    let of = |container: &Value| -> Amounts {
        map(container, &format!("/resources/{side}"))
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), amount(value)?)))
            .collect()
    };
    let add = |to: &mut Amounts, name: &str, amount: Amount| {
        let sum = to.entry(name.to_owned()).or_default();
        *sum = sum.plus(amount);
    };
    let (mut sum, mut sidecars, mut peak) = (Amounts::new(), Amounts::new(), Amounts::new());
    for container in list(spec, "/initContainers") {
        let own = of(container);
        if text(container, "/restartPolicy") == "Always" {
            for (name, amount) in own {
                add(&mut sidecars, &name, amount);
            }
            continue;
        }
        for (name, amount) in own {
            let beside = sidecars.get(&name).copied().unwrap_or_default();
            let most = peak.entry(name).or_default();
            *most = most.larger(amount.plus(beside));
        }
    }
    for container in list(spec, "/containers") {
        for (name, amount) in of(container) {
            add(&mut sum, &name, amount);
        }
    }
    for (name, amount) in sidecars {
        add(&mut sum, &name, amount);
    }
    for (name, amount) in peak {
        let all = sum.entry(name).or_default();
        *all = all.larger(amount);
    }
    for (name, amount) in of(spec) {
        sum.insert(name, amount);
    }
    for (name, value) in map(spec, "/overhead") {
        if let (Some(overhead), true) =
            (amount(value), side == "requests" || sum.contains_key(name))
        {
            add(&mut sum, name, overhead);
        }
    }
    sum
}

/// Whether `quota` limits this object at all: it names something the object counts for, and its scopes choose it.
pub fn matches(quota: &Value, group: &str, plural: &str, object: &Value) -> bool {
    let names = map(quota, "/spec/hard");
    names.keys().any(|name| tracks(group, plural, name)) && in_scope(quota, group, plural, object)
}

fn in_scope(quota: &Value, group: &str, plural: &str, object: &Value) -> bool {
    let scopes = list(quota, "/spec/scopes")
        .iter()
        .map(|scope| json!({"scopeName": scope, "operator": "Exists"}));
    let selected = list(quota, "/spec/scopeSelector/matchExpressions")
        .iter()
        .cloned();
    let mut requirements = scopes.chain(selected).peekable();
    if requirements.peek().is_none() {
        return true;
    }
    // Scopes choose among pods; nothing else has any.
    group.is_empty() && plural == "pods" && requirements.all(|one| scope_holds(&one, object))
}

fn scope_holds(requirement: &Value, pod: &Value) -> bool {
    let ends = pod["spec"]["activeDeadlineSeconds"]
        .as_i64()
        .is_some_and(|n| n >= 0);
    let best_effort = text(pod, "/status/qosClass") == "BestEffort";
    match text(requirement, "/scopeName") {
        "Terminating" => ends,
        "NotTerminating" => !ends,
        "BestEffort" => best_effort,
        "NotBestEffort" => !best_effort,
        "PriorityClass" => {
            let class = text(pod, "/spec/priorityClassName");
            let mut labels = BTreeMap::new();
            if !class.is_empty() {
                labels.insert("PriorityClass".to_owned(), class.to_owned());
            }
            let mut expression = requirement.clone();
            expression["key"] = "PriorityClass".into();
            LabelSelector::from_json(&json!({"matchExpressions": [expression]}))
                .is_ok_and(|selector| selector.matches(&labels))
        }
        "CrossNamespacePodAffinity" => looks_elsewhere(pod),
        _ => false,
    }
}

/// Whether an affinity term of the pod looks at pods of other namespaces.
fn looks_elsewhere(pod: &Value) -> bool {
    let of =
        |term: &Value| present(term, "/namespaceSelector") || !list(term, "/namespaces").is_empty();
    ["podAffinity", "podAntiAffinity"].iter().any(|affinity| {
        let affinity = &pod["spec"]["affinity"][*affinity];
        list(affinity, "/requiredDuringSchedulingIgnoredDuringExecution")
            .iter()
            .any(of)
            || list(affinity, "/preferredDuringSchedulingIgnoredDuringExecution")
                .iter()
                .any(|wish| of(&wish["podAffinityTerm"]))
    })
}

/// What a pod must say where a quota limits it, and which containers do not: `limits.cpu for: a,b; …`.
pub fn unsaid<'a>(pod: &Value, names: impl Iterator<Item = &'a String>) -> Option<String> {
    let own = |side: &str, resource: &str| !pod["spec"]["resources"][side][resource].is_null();
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in names.filter(|name| COMPUTE.contains(&name.as_str())) {
        let (side, resource) = name.split_once('.').unwrap_or(("requests", name));
        if own(side, resource) {
            continue;
        }
        for group in ["/spec/containers", "/spec/initContainers"] {
            for container in list(pod, group) {
                if container["resources"][side][resource].is_null() {
                    missing
                        .entry(name)
                        .or_default()
                        .push(text(container, "/name"));
                }
            }
        }
    }
    let parts: Vec<String> = missing
        .into_iter()
        .map(|(resource, mut containers)| {
            containers.sort_unstable();
            format!("{resource} for: {}", containers.join(","))
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Amounts of a quota's `hard` or `used`.
pub fn amounts(object: &Value, pointer: &str) -> Amounts {
    map(object, pointer)
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), amount(value)?)))
        .collect()
}

/// As a quota's status shows them.
pub fn to_value(amounts: &Amounts) -> Value {
    amounts
        .iter()
        .map(|(name, amount)| (name.clone(), Value::from(amount.to_string())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// `cpu=1,pods=2`
pub fn describe(amounts: &Amounts) -> String {
    let parts: Vec<String> = amounts
        .iter()
        .map(|(name, amount)| format!("{name}={amount}"))
        .collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        json!({"spec": {
            "initContainers": [
                {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
                {"name": "init", "resources": {"requests": {"cpu": "2", "memory": "1Gi"}}},
            ],
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "500m", "memory": "512Mi", "example.com/gpu": "1"}, "limits": {"cpu": "1"}}},
                {"name": "b", "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}}},
            ],
        }, "status": {"phase": "Pending", "qosClass": "Burstable"}})
    }

    #[test]
    fn what_objects_count_for() {
        let shown = |group: &str, plural: &str, object: &Value| {
            describe(&usage(group, plural, object, 100))
        };
        assert_eq!(
            shown("", "pods", &pod()),
            "count/pods=1,cpu=2100m,limits.cpu=1,memory=1Gi,pods=1,requests.cpu=2100m,requests.example.com/gpu=1,requests.memory=1Gi"
        );
        let mut over = pod();
        over["status"]["phase"] = "Succeeded".into();
        assert_eq!(shown("", "pods", &over), "count/pods=1");
        let mut late = pod();
        late["metadata"] =
            json!({"deletionTimestamp": "1970-01-01T00:00:10Z", "deletionGracePeriodSeconds": 30});
        assert_eq!(shown("", "pods", &late), "count/pods=1");
        assert_eq!(
            shown("apps", "deployments", &json!({})),
            "count/deployments.apps=1"
        );
        assert_eq!(
            shown("", "secrets", &json!({})),
            "count/secrets=1,secrets=1"
        );
        assert_eq!(
            shown(
                "",
                "persistentvolumeclaims",
                &json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}})
            ),
            "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi"
        );
        let service =
            json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2}]}});
        assert_eq!(
            shown("", "services", &service),
            "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2"
        );
    }

    #[test]
    fn every_amount_is_tracked_by_its_kind() {
        for (group, plural, object) in [
            ("", "pods", pod()),
            ("", "services", json!({"spec": {"type": "NodePort"}})),
            ("apps", "deployments", json!({})),
            ("", "configmaps", json!({})),
        ] {
            for name in usage(group, plural, &object, 0).keys() {
                assert!(tracks(group, plural, name), "{plural} {name}");
                assert!(!tracks("batch", "jobs", name), "{name}");
            }
        }
        assert!(!tracks("", "pods", "requests.storage"));
    }

    #[test]
    fn scopes_choose_pods() {
        let quota = |spec: Value| json!({"spec": spec});
        let mut class = pod();
        class["spec"]["priorityClassName"] = "high".into();
        let selector = |operator: &str, values: Value| {
            quota(
                json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [
                {"scopeName": "PriorityClass", "operator": operator, "values": values}]}}),
            )
        };
        for (quota, object, want) in [
            (quota(json!({"hard": {"pods": "1"}})), pod(), true),
            (quota(json!({"hard": {"secrets": "1"}})), pod(), false),
            (
                quota(json!({"hard": {"pods": "1"}, "scopes": ["Terminating"]})),
                pod(),
                false,
            ),
            (
                quota(
                    json!({"hard": {"pods": "1"}, "scopes": ["NotTerminating", "NotBestEffort"]}),
                ),
                pod(),
                true,
            ),
            (
                quota(json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]})),
                pod(),
                false,
            ),
            (selector("In", json!(["high"])), class.clone(), true),
            (selector("In", json!(["low"])), class.clone(), false),
            (selector("In", json!(["high"])), pod(), false),
            (selector("NotIn", json!(["high"])), pod(), true),
            (selector("Exists", json!([])), class.clone(), true),
            (selector("DoesNotExist", json!([])), class, false),
            (
                quota(json!({"hard": {"pods": "1"}, "scopes": ["CrossNamespacePodAffinity"]})),
                pod(),
                false,
            ),
        ] {
            assert_eq!(matches(&quota, "", "pods", &object), want, "{quota}");
        }
        let scoped = quota(json!({"hard": {"count/secrets": "1"}, "scopes": ["Terminating"]}));
        assert!(!matches(&scoped, "", "secrets", &json!({})));
    }

    #[test]
    fn what_must_be_said() {
        let names = [
            "limits.cpu".to_owned(),
            "requests.memory".to_owned(),
            "pods".to_owned(),
        ];
        assert_eq!(
            unsaid(&pod(), names.iter()).as_deref(),
            Some("limits.cpu for: b,init,side; requests.memory for: side")
        );
        assert_eq!(unsaid(&pod(), ["pods".to_owned()].iter()), None);
    }
}
