//! What a namespace's LimitRanges give to containers that say nothing, and refuse.
//! <https://kubernetes.io/docs/concepts/policy/limit-range/>

use crate::api::status::ApiResult;
use crate::api::stored_value;
use crate::object::access::{list, map, text};
use crate::object::quantity::Quantity;
use crate::object::quota::{Amounts, of_containers};
use crate::store::{ListOptions, Store};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Upstream's note of what was set here.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Up to this, ratios are compared in thousandths (upstream's bound against overflow).
const RATIO_FINE_MAX: i64 = 1_000_000;

/// The LimitRanges of a namespace, in the order of their names.
pub fn ranges(store: &Store, namespace: &str) -> ApiResult<Vec<Value>> {
    let options = ListOptions {
        prefix: format!("limitranges/{namespace}/"),
        ..ListOptions::default()
    };
    let items = store.list(&options)?.items;
    items.iter().map(|item| stored_value(&item.json)).collect()
}

fn limits<'a>(range: &'a Value, kind: &'static str) -> impl Iterator<Item = &'a Value> {
    list(range, "/spec/limits")
        .iter()
        .filter(move |limit| limit["type"] == kind)
}

/// Fills in what a pod's containers do not say; true where that changed the pod.
pub fn complete(range: &Value, pod: &mut Value) -> bool {
    let (mut requests, mut most) = (Map::new(), Map::new());
    for limit in limits(range, "Container") {
        requests.extend(map(limit, "/defaultRequest").clone());
        most.extend(map(limit, "/default").clone());
    }
    if requests.is_empty() && most.is_empty() {
        return false;
    }
    let mut notes = Vec::new();
    for (group, word) in [
        ("containers", "container"),
        ("initContainers", "init container"),
    ] {
        let containers = pod["spec"].get_mut(group).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = text(container, "/name").to_owned();
            for (side, defaults, noun) in [
                ("requests", &requests, "request"),
                ("limits", &most, "limit"),
            ] {
                let set = fill(container, side, defaults);
                if !set.is_empty() {
                    notes.push(format!("{} {noun} for {word} {name}", set.join(", ")));
                }
            }
        }
    }
    if notes.is_empty() {
        return false;
    }
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.entry("annotations").or_insert(Value::Null);
        if annotations.is_null() {
            *annotations = json!({});
        }
        if let Some(annotations) = annotations.as_object_mut() {
            let note = format!("LimitRanger plugin set: {}", notes.join("; "));
            annotations.insert(ANNOTATION.into(), note.into());
        }
    }
    true
}

/// Adds what is missing on one side of a container's resources; gives the names of that.
fn fill(container: &mut Value, side: &str, defaults: &Map<String, Value>) -> Vec<String> {
    let Some(fields) = container.as_object_mut() else {
        return Vec::new();
    };
    let resources = fields.entry("resources").or_insert(Value::Null);
    if resources.is_null() {
        *resources = json!({});
    }
    let mut set = Vec::new();
    for (name, amount) in defaults {
        let Some(resources) = resources.as_object_mut() else {
            return set;
        };
        let amounts = resources.entry(side).or_insert(Value::Null);
        if amounts.is_null() {
            *amounts = json!({});
        }
        // Something else there is for validation to refuse.
        let Some(amounts) = amounts.as_object_mut() else {
            return set;
        };
        if !amounts.contains_key(name) {
            amounts.insert(name.clone(), amount.clone());
            set.push(name.clone());
        }
    }
    set.sort();
    set
}

/// What a pod asks for against a range's bounds.
pub fn check_pod(range: &Value, pod: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    for limit in limits(range, "Container") {
        for group in ["/spec/containers", "/spec/initContainers"] {
            for container in list(pod, group) {
                let asked = Asked {
                    requests: amounts(container, "/resources/requests"),
                    limits: amounts(container, "/resources/limits"),
                };
                asked.check(limit, "Container", &mut errors);
            }
        }
    }
    for limit in limits(range, "Pod") {
        let asked = Asked {
            requests: shown(of_containers(pod, "requests")),
            limits: shown(of_containers(pod, "limits")),
        };
        asked.check(limit, "Pod", &mut errors);
    }
    errors
}

/// What a claim asks for against a range's bounds.
pub fn check_claim(range: &Value, claim: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    let asked = Asked {
        requests: amounts(claim, "/spec/resources/requests"),
        limits: BTreeMap::new(),
    };
    for limit in limits(range, "PersistentVolumeClaim") {
        for (name, bound) in amounts(limit, "/min") {
            errors.extend(asked.at_least(&name, &bound, "PersistentVolumeClaim"));
        }
        for (name, bound) in amounts(limit, "/max") {
            errors.extend(asked.requests_at_most(&name, &bound));
        }
    }
    errors
}

/// As an aggregate of errors is shown.
pub fn aggregate(mut errors: Vec<String>) -> String {
    errors.dedup();
    match errors.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// An amount and how it is written.
type Shown = (Quantity, String);

fn amounts(object: &Value, pointer: &str) -> BTreeMap<String, Shown> {
    map(object, pointer)
        .iter()
        .filter_map(|(name, value)| {
            let text = value.as_str()?;
            Some((name.clone(), (Quantity::parse(text).ok()?, text.to_owned())))
        })
        .collect()
}

fn shown(amounts: Amounts) -> BTreeMap<String, Shown> {
    amounts
        .into_iter()
        .map(|(name, amount)| (name, (amount.quantity, amount.to_string())))
        .collect()
}

struct Asked {
    requests: BTreeMap<String, Shown>,
    limits: BTreeMap<String, Shown>,
}

impl Asked {
    fn check(&self, limit: &Value, kind: &str, errors: &mut Vec<String>) {
        for (name, bound) in amounts(limit, "/min") {
            errors.extend(self.at_least(&name, &bound, kind));
        }
        for (name, bound) in amounts(limit, "/max") {
            errors.extend(self.at_most(&name, &bound, kind));
        }
        for (name, bound) in amounts(limit, "/maxLimitRequestRatio") {
            errors.extend(self.in_ratio(&name, &bound, kind));
        }
    }

    fn at_least(&self, name: &str, (bound, text): &Shown, kind: &str) -> Option<String> {
        let head = format!("minimum {name} usage per {kind} is {text}");
        match (self.requests.get(name), self.limits.get(name)) {
            (None, _) => Some(format!("{head}.  No request is specified")),
            (Some((asked, text)), _) if asked < bound => {
                Some(format!("{head}, but request is {text}"))
            }
            (_, Some((asked, text))) if asked < bound => {
                Some(format!("{head}, but limit is {text}"))
            }
            _ => None,
        }
    }

    fn at_most(&self, name: &str, (bound, text): &Shown, kind: &str) -> Option<String> {
        let head = format!("maximum {name} usage per {kind} is {text}");
        match (self.limits.get(name), self.requests.get(name)) {
            (None, _) => Some(format!("{head}.  No limit is specified")),
            (Some((asked, text)), _) if asked > bound => {
                Some(format!("{head}, but limit is {text}"))
            }
            (_, Some((asked, text))) if asked > bound => {
                Some(format!("{head}, but request is {text}"))
            }
            _ => None,
        }
    }

    fn requests_at_most(&self, name: &str, (bound, text): &Shown) -> Option<String> {
        let head = format!("maximum {name} usage per PersistentVolumeClaim is {text}");
        match self.requests.get(name) {
            None => Some(format!("{head}.  No request is specified")),
            Some((asked, text)) if asked > bound => Some(format!("{head}, but request is {text}")),
            Some(_) => None,
        }
    }

    fn in_ratio(&self, name: &str, (bound, text): &Shown, kind: &str) -> Option<String> {
        let head = format!("{name} max limit to request ratio per {kind} is {text}");
        let some = |amounts: &BTreeMap<String, Shown>| -> Option<f64> {
            let (amount, _) = amounts.get(name)?;
            (amount.nano > 0).then_some(amount.nano as f64)
        };
        let Some(request) = some(&self.requests) else {
            return Some(format!(
                "{head}, but no request is specified or request is 0"
            ));
        };
        let Some(limit) = some(&self.limits) else {
            return Some(format!("{head}, but no limit is specified or limit is 0"));
        };
        let ratio = limit / request;
        let most = if bound.value() <= RATIO_FINE_MAX {
            bound.milli() as f64 / 1000.0
        } else {
            bound.value() as f64
        };
        (ratio > most).then(|| format!("{head}, but provided ratio is {ratio:.6}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(limit: Value) -> Value {
        json!({"spec": {"limits": [limit]}})
    }

    fn pod(resources: Value) -> Value {
        json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "resources": resources}]}})
    }

    #[test]
    fn gaps_are_filled() {
        let range = range(
            json!({"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}}),
        );
        let mut some = pod(json!({"limits": {"memory": "1Mi"}, "requests": {"memory": "1Mi"}}));
        assert!(complete(&range, &mut some));
        let resources = &some["spec"]["containers"][0]["resources"];
        assert_eq!(
            resources,
            &json!({"limits": {"memory": "1Mi", "cpu": "1"}, "requests": {"memory": "1Mi", "cpu": "100m"}})
        );
        assert_eq!(
            some["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
        );
        let full = some.clone();
        assert!(!complete(&range, &mut some));
        assert_eq!(some, full);
        for odd in [
            json!({"spec": 1}),
            json!({"spec": {"containers": [1, {"resources": 3}]}}),
        ] {
            complete(&range, &mut odd.clone());
        }
    }

    #[test]
    fn bounds_are_kept() {
        let small = || pod(json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "300m"}}));
        for (limit, pod, want) in [
            (
                json!({"type": "Container", "min": {"cpu": "50m"}, "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "3"}}),
                small(),
                "",
            ),
            (
                json!({"type": "Container", "min": {"cpu": "200m"}}),
                small(),
                "minimum cpu usage per Container is 200m, but request is 100m",
            ),
            (
                json!({"type": "Container", "min": {"memory": "1Mi"}}),
                small(),
                "minimum memory usage per Container is 1Mi.  No request is specified",
            ),
            (
                json!({"type": "Container", "max": {"cpu": "200m"}}),
                small(),
                "maximum cpu usage per Container is 200m, but limit is 300m",
            ),
            (
                json!({"type": "Pod", "max": {"cpu": "200m", "memory": "1Gi"}}),
                small(),
                "[maximum cpu usage per Pod is 200m, but limit is 300m, maximum memory usage per Pod is 1Gi.  No limit is specified]",
            ),
            (
                json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2.5"}}),
                small(),
                "cpu max limit to request ratio per Container is 2.5, but provided ratio is 3.000000",
            ),
            (
                json!({"type": "Pod", "maxLimitRequestRatio": {"memory": "2"}}),
                small(),
                "memory max limit to request ratio per Pod is 2, but no request is specified or request is 0",
            ),
        ] {
            let errors = check_pod(&range(limit), &pod);
            let found = if errors.is_empty() {
                String::new()
            } else {
                aggregate(errors)
            };
            assert_eq!(found, want);
        }
        let claim = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
        let limit = json!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "1500Mi"}});
        assert_eq!(
            check_claim(&range(limit), &claim),
            ["maximum storage usage per PersistentVolumeClaim is 1500Mi, but request is 2Gi"]
        );
    }
}
