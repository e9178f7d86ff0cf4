//! Requests and limits, of containers and of the pod itself: defaults and validation.
//! <https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/>

use crate::api::kinds::FieldError;
use crate::api::kinds::errors::Errors;
use crate::api::kinds::status::default_to;
use crate::object::access::{list, map, text};
use crate::object::names;
use crate::object::quantity::Quantity;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const HUGE_PAGES: &str = "hugepages-";

/// Resources the pod itself may ask for (upstream's `supportedPodLevelResources`).
fn of_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with(HUGE_PAGES)
}

fn parse(amount: &Value) -> Option<Quantity> {
    Quantity::parse(amount.as_str()?).ok()
}

/// Requests of a pod that has limits: what its containers ask together, or else its limit (upstream's
/// `defaultPodRequests`).
pub fn default_of_pod(spec: &mut Value) {
    let limits = map(spec, "/resources/limits").clone();
    if limits.is_empty() {
        return;
    }
    let together = together(spec);
    default_to(&mut spec["resources"], "requests", json!({}));
    let requests = &mut spec["resources"]["requests"];
    for (name, amount) in together {
        if matches!(name.as_str(), "cpu" | "memory") {
            let text = if name == "cpu" {
                format!("{}m", amount.milli())
            } else {
                amount.value().to_string()
            };
            default_to(requests, &name, text);
        }
    }
    for (name, limit) in limits.into_iter().filter(|(name, _)| of_pods(name)) {
        default_to(requests, &name, limit);
    }
}

/// What the containers ask together: the sum, or the largest init container beside the sidecars before it.
fn together(spec: &Value) -> BTreeMap<String, Quantity> {
    let mut sum: BTreeMap<String, i128> = BTreeMap::new();
    let mut sidecars: BTreeMap<String, i128> = BTreeMap::new();
    let mut peak: BTreeMap<String, i128> = BTreeMap::new();
    let requests = |container: &Value| -> Vec<(String, i128)> {
        let all = map(container, "/resources/requests").iter();
        all.filter_map(|(name, amount)| Some((name.clone(), parse(amount)?.nano)))
            .collect()
    };
    for container in list(spec, "/initContainers") {
        for (name, amount) in requests(container) {
            let beside = sidecars.entry(name.clone()).or_default();
            if text(container, "/restartPolicy") == "Always" {
                *beside = beside.saturating_add(amount);
            } else {
                let most = peak.entry(name).or_default();
                *most = (*most).max(beside.saturating_add(amount));
            }
        }
    }
    for container in list(spec, "/containers") {
        for (name, amount) in requests(container) {
            let all = sum.entry(name).or_default();
            *all = all.saturating_add(amount);
        }
    }
    for (name, amount) in sidecars {
        let all = sum.entry(name).or_default();
        *all = all.saturating_add(amount);
    }
    for (name, amount) in peak {
        let all = sum.entry(name).or_default();
        *all = (*all).max(amount);
    }
    sum.into_iter()
        .map(|(name, nano)| (name, Quantity { nano }))
        .collect()
}

/// Of one container.
pub fn validate(container: &Value, at: &str, errors: &mut Errors) {
    let at = format!("{at}.resources");
    amounts(&container["resources"], &at, errors, |name| {
        (!matches!(name, "cpu" | "memory" | "ephemeral-storage")
            && !name.contains('/')
            && !name.starts_with(HUGE_PAGES))
        .then_some("must be a standard resource for containers")
    });
}

/// Of the pod itself, and what its containers may have beside that.
pub fn validate_of_pod(pod: &Value, errors: &mut Errors) {
    let own = &pod["spec"]["resources"];
    if own.is_null() {
        return;
    }
    if own["claims"].as_array().is_some_and(|c| !c.is_empty()) {
        let detail = "claims may not be set for Resources at pod-level";
        errors.push(FieldError::forbidden("spec.resources.claims", detail));
    }
    if pod["spec"]["os"]["name"] == "windows" {
        let detail = "may not be set for a windows pod";
        errors.push(FieldError::forbidden("spec.resources", detail));
    }
    amounts(own, "spec.resources", errors, |name| {
        (!of_pods(name))
            .then_some("not supported at the pod level; there are cpu, memory and hugepages-<size>")
    });
    let together = together(&pod["spec"]);
    for (name, amount) in map(own, "/requests") {
        let (Some(own), Some(all)) = (parse(amount), together.get(name)) else {
            continue;
        };
        if own < *all {
            let detail = "must be greater than or equal to aggregate container requests";
            errors.push(FieldError::invalid(
                format!("spec.resources.requests[{name}]"),
                amount,
                detail,
            ));
        }
    }
    for group in ["initContainers", "containers"] {
        for (index, container) in list(pod, &format!("/spec/{group}")).iter().enumerate() {
            for (name, limit) in map(container, "/resources/limits") {
                let of_pod = map(own, "/limits").get(name);
                let (Some(of_pod), Some(own)) = (of_pod, parse(limit)) else {
                    continue;
                };
                if parse(of_pod).is_some_and(|most| own > most) {
                    let detail = format!(
                        "must be less than or equal to pod limits of {}",
                        of_pod.as_str().unwrap_or_default()
                    );
                    errors.push(FieldError::invalid(
                        format!("spec.{group}[{index}].resources.limits[{name}]"),
                        limit,
                        detail,
                    ));
                }
            }
        }
    }
}

/// Names, amounts, and that requests are not over limits. `wrong` says what is wrong with a name.
fn amounts(
    resources: &Value,
    at: &str,
    errors: &mut Errors,
    wrong: impl Fn(&str) -> Option<&'static str>,
) {
    let set = |group: &str| map(resources, &format!("/{group}"));
    for group in ["limits", "requests"] {
        for (name, amount) in set(group) {
            let field = format!("{at}.{group}[{name}]");
            if let Some(detail) = wrong(name) {
                errors.push(FieldError::invalid(&field, &name.as_str().into(), detail));
            } else {
                errors.rule(&field, name, names::check_qualified);
            }
            match Quantity::parse(amount.as_str().unwrap_or_default()) {
                Err(problem) => errors.push(FieldError::invalid(field, amount, problem)),
                Ok(quantity) if quantity.nano < 0 => {
                    let detail = "must be greater than or equal to 0";
                    errors.push(FieldError::invalid(field, amount, detail));
                }
                Ok(quantity) => whole(name, quantity, amount, field, errors),
            }
        }
    }
    pairs(set("limits"), set("requests"), at, errors);
    let named = |name: &str| {
        ["limits", "requests"]
            .iter()
            .any(|g| set(g).contains_key(name))
    };
    let huge = |name: &String| name.starts_with(HUGE_PAGES);
    let asks_huge = set("limits").keys().any(huge) || set("requests").keys().any(huge);
    if asks_huge && !named("cpu") && !named("memory") {
        errors.push(FieldError::forbidden(at, "HugePages require cpu or memory"));
    }
}

/// Pages and devices come whole.
fn whole(name: &str, quantity: Quantity, amount: &Value, field: String, errors: &mut Errors) {
    const ONE: i128 = 1_000_000_000;
    let unit = if let Some(size) = name.strip_prefix(HUGE_PAGES) {
        match Quantity::parse(size) {
            Ok(size) if size.nano >= ONE => size.nano,
            _ => {
                let detail = "the page size must be a quantity, as in hugepages-2Mi";
                return errors.push(FieldError::invalid(field, &name.into(), detail));
            }
        }
    } else if name.contains('/') {
        ONE
    } else {
        return;
    };
    if quantity.nano % unit != 0 {
        let detail = if unit == ONE {
            "must be an integer"
        } else {
            "must be an integer multiple of the page size"
        };
        errors.push(FieldError::invalid(field, amount, detail));
    }
}

fn pairs(
    limits: &Map<String, Value>,
    requests: &Map<String, Value>,
    at: &str,
    errors: &mut Errors,
) {
    for (name, request) in requests {
        // What cannot be shared out twice is asked for exactly.
        let exact = name.contains('/') || name.starts_with(HUGE_PAGES);
        let field = format!("{at}.requests");
        let Some(limit) = limits.get(name) else {
            if exact {
                let detail = "Limit must be set for non overcommitable resources";
                errors.push(FieldError::required(format!("{at}.limits"), detail));
            }
            continue;
        };
        let (Some(asked), Some(most)) = (parse(request), parse(limit)) else {
            continue;
        };
        let shown = limit.as_str().unwrap_or_default();
        if exact && asked != most {
            let detail = format!("must be equal to {name} limit of {shown}");
            errors.push(FieldError::invalid(field, request, detail));
        } else if asked > most {
            let detail = format!("must be less than or equal to {name} limit of {shown}");
            errors.push(FieldError::invalid(field, request, detail));
        }
    }
}

/// What happens to a container when its resources change.
pub fn validate_policies(container: &Value, at: &str, restart_policy: &str, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, policy) in list(container, "/resizePolicy").iter().enumerate() {
        let at = format!("{at}.resizePolicy[{index}]");
        let (name, what) = (
            text(policy, "/resourceName"),
            text(policy, "/restartPolicy"),
        );
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&at, &name.into()));
        }
        seen.push(name);
        errors.one_of(format!("{at}.resourceName"), name, &["cpu", "memory"]);
        let all = ["NotRequired", "RestartContainer"];
        errors.one_of(format!("{at}.restartPolicy"), what, &all);
        if restart_policy == "Never" && what == "RestartContainer" {
            let detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(
                format!("{at}.restartPolicy"),
                &what.into(),
                detail,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(spec: &Value) -> String {
        let pod = json!({"spec": spec});
        let mut errors = Errors::default();
        validate_of_pod(&pod, &mut errors);
        for container in list(&pod, "/spec/containers") {
            validate(container, "c", &mut errors);
            validate_policies(
                container,
                "c",
                text(&pod, "/spec/restartPolicy"),
                &mut errors,
            );
        }
        let fields: Vec<String> = errors.list.into_iter().map(|e| e.field).collect();
        fields.join(" ")
    }

    #[test]
    fn containers() {
        for (resources, want) in [
            (
                json!({"limits": {"cpu": "1", "hugepages-2Mi": "4Mi"}, "requests": {"hugepages-2Mi": "4Mi"}}),
                "",
            ),
            (json!({"limits": {"hugepages-2Mi": "4Mi"}}), "c.resources"),
            (
                json!({"limits": {"cpu": "1", "hugepages-2Mi": "3Mi"}}),
                "c.resources.limits[hugepages-2Mi]",
            ),
            (
                json!({"limits": {"cpu": "1", "hugepages-x": "3Mi"}}),
                "c.resources.limits[hugepages-x]",
            ),
            (
                json!({"limits": {"cpu": "1", "hugepages-2Mi": "4Mi"}, "requests": {"hugepages-2Mi": "2Mi"}}),
                "c.resources.requests",
            ),
            (
                json!({"limits": {"example.com/gpu": "1"}, "requests": {"example.com/gpu": "1"}}),
                "",
            ),
            (
                json!({"requests": {"example.com/gpu": "1"}}),
                "c.resources.limits",
            ),
            (
                json!({"limits": {"example.com/gpu": "500m"}}),
                "c.resources.limits[example.com/gpu]",
            ),
            (
                json!({"limits": {"a/b/c": "1"}}),
                "c.resources.limits[a/b/c]",
            ),
            (
                json!({"limits": {"ephemeral-storage": "1Gi"}, "requests": {"ephemeral-storage": "2Gi"}}),
                "c.resources.requests",
            ),
        ] {
            assert_eq!(
                wrong(&json!({"containers": [{"resources": resources}]})),
                want,
                "{resources}"
            );
        }
        for (policy, restart, want) in [
            (
                json!([{"resourceName": "cpu", "restartPolicy": "NotRequired"}]),
                "Never",
                "",
            ),
            (
                json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]),
                "Always",
                "",
            ),
            (
                json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]),
                "Never",
                "c.resizePolicy[0].restartPolicy",
            ),
            (
                json!([{"resourceName": "disk", "restartPolicy": "NotRequired"}]),
                "",
                "c.resizePolicy[0].resourceName",
            ),
        ] {
            let spec = json!({"restartPolicy": restart, "containers": [{"resizePolicy": policy}]});
            assert_eq!(wrong(&spec), want, "{policy}");
        }
    }

    #[test]
    fn pods() {
        let mut spec = json!({
            "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
            "containers": [{"resources": {"requests": {"cpu": "300m"}}}, {"resources": {"requests": {"cpu": "200m"}}}]});
        default_of_pod(&mut spec);
        assert_eq!(
            spec["resources"]["requests"],
            json!({"cpu": "500m", "memory": "1Gi"})
        );
        assert_eq!(wrong(&spec), "");
        spec["containers"][0]["resources"]["limits"] = json!({"cpu": "3"});
        spec["resources"]["requests"]["cpu"] = "100m".into();
        spec["resources"]["limits"]["ephemeral-storage"] = "1".into();
        assert_eq!(
            wrong(&spec),
            "spec.resources.limits[ephemeral-storage] spec.resources.requests[cpu] spec.containers[0].resources.limits[cpu]"
        );
    }
}
