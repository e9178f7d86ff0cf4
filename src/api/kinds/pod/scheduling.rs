//! Where a pod wants to run: affinity, topology spread, gates and host ports.
//!
//! Upstream's `validateAffinity`, `validateTopologySpreadConstraints`, `validateSchedulingGates` and
//! `checkHostPortConflicts`; and what its strategy makes of `matchLabelKeys` when a pod is created.

use crate::api::kinds::FieldError;
use crate::api::kinds::errors::Errors;
use crate::api::kinds::status::put;
use crate::object::access::{list, map, present, text};
use crate::object::names;
use crate::object::selector::LabelSelector;
use serde_json::{Value, json};
use std::collections::HashSet;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const POLICIES: &[&str] = &["Honor", "Ignore"];

pub fn validate(pod: &Value, errors: &mut Errors) {
    let affinity = &pod["spec"]["affinity"];
    node_affinity(
        &affinity["nodeAffinity"],
        "spec.affinity.nodeAffinity",
        errors,
    );
    for sort in ["podAffinity", "podAntiAffinity"] {
        pod_affinity(&affinity[sort], &format!("spec.affinity.{sort}"), errors);
    }
    spread(list(pod, "/spec/topologySpreadConstraints"), errors);
    gates(pod, errors);
    host_ports(pod, errors);
}

fn node_affinity(affinity: &Value, at: &str, errors: &mut Errors) {
    if present(affinity, &format!("/{REQUIRED}")) {
        let at = format!("{at}.{REQUIRED}.nodeSelectorTerms");
        let terms = list(affinity, &format!("/{REQUIRED}/nodeSelectorTerms"));
        if terms.is_empty() {
            let detail = "must have at least one node selector term";
            errors.push(FieldError::required(&at, detail));
        }
        for (index, term) in terms.iter().enumerate() {
            node_term(term, &format!("{at}[{index}]"), errors);
        }
    }
    for (index, wish) in list(affinity, &format!("/{PREFERRED}")).iter().enumerate() {
        let at = format!("{at}.{PREFERRED}[{index}]");
        weight(wish, &at, errors);
        node_term(&wish["preference"], &format!("{at}.preference"), errors);
    }
}

fn weight(wish: &Value, at: &str, errors: &mut Errors) {
    if !(1..=100).contains(&wish["weight"].as_i64().unwrap_or_default()) {
        let detail = "must be in the range 1-100";
        errors.push(FieldError::invalid(
            format!("{at}.weight"),
            &wish["weight"],
            detail,
        ));
    }
}

/// Upstream's `ValidateNodeSelectorTerm`.
fn node_term(term: &Value, at: &str, errors: &mut Errors) {
    for (index, requirement) in list(term, "/matchExpressions").iter().enumerate() {
        let at = format!("{at}.matchExpressions[{index}]");
        let values = list(requirement, "/values");
        let operator = text(requirement, "/operator");
        let values_at = format!("{at}.values");
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(values_at, detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(values_at, detail));
            }
            "Gt" | "Lt" if values.len() != 1 => {
                let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(FieldError::required(values_at, detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            _ => {
                let detail = "not a valid selector operator";
                errors.push(FieldError::invalid(
                    format!("{at}.operator"),
                    &requirement["operator"],
                    detail,
                ));
            }
        }
        let key = text(requirement, "/key");
        errors.rule(format!("{at}.key"), key, names::check_qualified);
    }
    for (index, requirement) in list(term, "/matchFields").iter().enumerate() {
        node_field(requirement, &format!("{at}.matchFields[{index}]"), errors);
    }
}

/// Upstream's `ValidateNodeFieldSelectorRequirement`: only the node's name.
fn node_field(requirement: &Value, at: &str, errors: &mut Errors) {
    let values = list(requirement, "/values");
    match text(requirement, "/operator") {
        "In" | "NotIn" if values.len() != 1 => {
            let detail =
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(FieldError::required(format!("{at}.values"), detail));
        }
        "In" | "NotIn" => {}
        _ => {
            let detail = "not a valid selector operator";
            errors.push(FieldError::invalid(
                format!("{at}.operator"),
                &requirement["operator"],
                detail,
            ));
        }
    }
    if text(requirement, "/key") != "metadata.name" {
        let detail = "not a valid field selector key";
        errors.push(FieldError::invalid(
            format!("{at}.key"),
            &requirement["key"],
            detail,
        ));
        return;
    }
    for (index, value) in values.iter().enumerate() {
        let name = value.as_str().unwrap_or_default();
        errors.rule(
            format!("{at}.values[{index}]"),
            name,
            names::check_subdomain,
        );
    }
}

fn pod_affinity(affinity: &Value, at: &str, errors: &mut Errors) {
    for (index, term) in list(affinity, &format!("/{REQUIRED}")).iter().enumerate() {
        pod_term(term, &format!("{at}.{REQUIRED}[{index}]"), errors);
    }
    for (index, wish) in list(affinity, &format!("/{PREFERRED}")).iter().enumerate() {
        let at = format!("{at}.{PREFERRED}[{index}]");
        weight(wish, &at, errors);
        pod_term(
            &wish["podAffinityTerm"],
            &format!("{at}.podAffinityTerm"),
            errors,
        );
    }
}

fn pod_term(term: &Value, at: &str, errors: &mut Errors) {
    for field in ["labelSelector", "namespaceSelector"] {
        selector(&term[field], &format!("{at}.{field}"), errors);
    }
    for name in list(term, "/namespaces") {
        let name = name.as_str().unwrap_or_default();
        errors.rule(format!("{at}.namespace"), name, names::check_label);
    }
    label_keys(term, at, errors);
    topology_key(term, at, errors);
}

/// What a selector is refused for; its parser knows the rules.
fn selector(selector: &Value, at: &str, errors: &mut Errors) {
    if !selector.is_null()
        && let Err(detail) = LabelSelector::from_json(selector)
    {
        errors.push(FieldError::invalid(at, selector, detail));
    }
}

fn topology_key(term: &Value, at: &str, errors: &mut Errors) {
    let key = text(term, "/topologyKey");
    let at = format!("{at}.topologyKey");
    if key.is_empty() {
        errors.push(FieldError::required(at, "can not be empty"));
    } else {
        errors.rule(at, key, names::check_qualified);
    }
}

/// Upstream's `validateMatchLabelKeysAndMismatchLabelKeys`. The selector may have gained the keys' requirements when the
/// pod was created, each once: a key with another one besides was given twice.
fn label_keys(term: &Value, at: &str, errors: &mut Errors) {
    let given = |field: &str| {
        let keys = list(term, &format!("/{field}"));
        keys.iter().filter_map(Value::as_str).collect::<Vec<_>>()
    };
    let (match_keys, mismatch_keys) = (given("matchLabelKeys"), given("mismatchLabelKeys"));
    for (field, keys) in [
        ("matchLabelKeys", &match_keys),
        ("mismatchLabelKeys", &mismatch_keys),
    ] {
        if keys.is_empty() {
            continue;
        }
        if term["labelSelector"].is_null() {
            let detail = "must not be specified when labelSelector is not set";
            errors.push(FieldError::forbidden(format!("{at}.{field}"), detail));
        }
        for (index, key) in keys.iter().enumerate() {
            errors.rule(
                format!("{at}.{field}[{index}]"),
                key,
                names::check_qualified,
            );
        }
    }
    for (index, key) in match_keys.iter().enumerate() {
        let at = format!("{at}.matchLabelKeys[{index}]");
        if mentions(&term["labelSelector"], key) > 1 {
            let detail = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid(&at, &(*key).into(), detail));
        }
        if mismatch_keys.contains(key) {
            let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
            errors.push(FieldError::invalid(&at, &(*key).into(), detail));
        }
    }
}

/// Requirements that a selector has about a label.
fn mentions(selector: &Value, key: &str) -> usize {
    let expressions = list(selector, "/matchExpressions").iter();
    let written = expressions.filter(|e| text(e, "/key") == key).count();
    written + usize::from(map(selector, "/matchLabels").contains_key(key))
}

fn spread(constraints: &[Value], errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, constraint) in constraints.iter().enumerate() {
        let at = format!("spec.topologySpreadConstraints[{index}]");
        if constraint["maxSkew"].as_i64().unwrap_or_default() <= 0 {
            let value = &constraint["maxSkew"];
            let detail = "must be greater than zero";
            errors.push(FieldError::invalid(format!("{at}.maxSkew"), value, detail));
        }
        topology_key(constraint, &at, errors);
        let policy = text(constraint, "/whenUnsatisfiable");
        errors.one_of(
            format!("{at}.whenUnsatisfiable"),
            policy,
            &["DoNotSchedule", "ScheduleAnyway"],
        );
        let pair = (text(constraint, "/topologyKey"), policy);
        if !seen.insert(pair) {
            let shown = format!("{{{}, {}}}", pair.0, pair.1);
            let at = format!("{at}.{{topologyKey, whenUnsatisfiable}}");
            errors.push(FieldError::duplicate(at, &shown.into()));
        }
        if present(constraint, "/minDomains") {
            let value = &constraint["minDomains"];
            let at = format!("{at}.minDomains");
            if value.as_i64().unwrap_or_default() <= 0 {
                errors.push(FieldError::invalid(&at, value, "must be greater than zero"));
            }
            if policy != "DoNotSchedule" {
                let detail = format!(
                    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {policy}"
                );
                errors.push(FieldError::invalid(&at, value, detail));
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if present(constraint, &format!("/{field}")) {
                let value = text(constraint, &format!("/{field}"));
                errors.one_of(format!("{at}.{field}"), value, POLICIES);
            }
        }
        selector(
            &constraint["labelSelector"],
            &format!("{at}.labelSelector"),
            errors,
        );
        label_keys(constraint, &at, errors);
    }
}

fn gates(pod: &Value, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, gate) in list(pod, "/spec/schedulingGates").iter().enumerate() {
        let name = text(gate, "/name");
        let at = format!("spec.schedulingGates[{index}]");
        errors.rule(&at, name, names::check_qualified);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(at, &name.into()));
        }
    }
    if !seen.is_empty() && !text(pod, "/spec/nodeName").is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden("spec.nodeName", detail));
    }
}

/// One address, port and protocol goes to one container.
fn host_ports(pod: &Value, errors: &mut Errors) {
    for group in ["containers", "initContainers"] {
        let mut seen = HashSet::new();
        for (index, container) in list(pod, &format!("/spec/{group}")).iter().enumerate() {
            // Init containers run one after the other.
            if group == "initContainers" {
                seen.clear();
            }
            for (number, port) in list(container, "/ports").iter().enumerate() {
                let host_port = port["hostPort"].as_i64().unwrap_or_default();
                if host_port == 0 {
                    continue;
                }
                let at = format!("spec.{group}[{index}].ports[{number}].hostPort");
                errors.range(&at, &port["hostPort"], 1..=65535);
                let (address, protocol) = (text(port, "/hostIP"), text(port, "/protocol"));
                if !seen.insert((address, protocol, host_port)) {
                    let shown = format!("{address}/{protocol}/{host_port}");
                    errors.push(FieldError::duplicate(at, &shown.into()));
                }
            }
        }
    }
}

/// Which keys of a pod's affinity terms and constraints ask for labels like its own.
fn terms_of(pod: &Value) -> Vec<String> {
    let mut pointers = Vec::new();
    for sort in ["podAffinity", "podAntiAffinity"] {
        let at = format!("/spec/affinity/{sort}/{REQUIRED}");
        let count = list(pod, &at).len();
        pointers.extend((0..count).map(|index| format!("{at}/{index}")));
        let at = format!("/spec/affinity/{sort}/{PREFERRED}");
        let count = list(pod, &at).len();
        pointers.extend((0..count).map(|index| format!("{at}/{index}/podAffinityTerm")));
    }
    let at = "/spec/topologySpreadConstraints";
    let count = list(pod, at).len();
    pointers.extend((0..count).map(|index| format!("{at}/{index}")));
    pointers
}

/// Writes what `matchLabelKeys` and `mismatchLabelKeys` mean for this pod into its selectors, once and for all: labels
/// may change later, the pod's companions may not.
pub fn settle_label_keys(pod: &mut Value) {
    let labels = map(pod, "/metadata/labels").clone();
    for pointer in terms_of(pod) {
        let Some(term) = pod.pointer_mut(&pointer) else {
            continue;
        };
        if term["labelSelector"].is_null() {
            continue;
        }
        let mut more = Vec::new();
        for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
            for key in list(term, &format!("/{field}")) {
                let value = key.as_str().and_then(|key| labels.get(key));
                // Keys that the pod lacks are left out, as upstream has it.
                if let Some(value) = value {
                    more.push(json!({"key": key, "operator": operator, "values": [value]}));
                }
            }
        }
        if more.is_empty() {
            continue;
        }
        let mut all = list(term, "/labelSelector/matchExpressions").to_vec();
        all.extend(more);
        put(&mut term["labelSelector"], "matchExpressions", all.into());
    }
}

/// What a pod with gates says of itself before any scheduler looks at it.
pub fn gated_condition(pod: &Value, now: &str) -> Option<Value> {
    present(pod, "/spec/schedulingGates/0").then(|| {
        json!({"type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": now})
    })
}

/// Gates only go; while there were some, where the pod may run can still be narrowed. Writes into `munged` what may
/// change, as it was before.
pub fn validate_update(before: &Value, after: &Value, munged: &mut Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let old = list(before, "/schedulingGates");
    for gate in list(after, "/schedulingGates") {
        let name = text(gate, "/name");
        if !old.iter().any(|known| text(known, "/name") == name) {
            let detail =
                format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(FieldError::forbidden("spec.schedulingGates", detail));
        }
    }
    put(munged, "schedulingGates", before["schedulingGates"].clone());
    if old.is_empty() {
        return errors;
    }
    let selector = |spec: &Value| map(spec, "/nodeSelector").clone();
    let (was, now) = (selector(before), selector(after));
    if was.iter().any(|(key, value)| now.get(key) != Some(value)) {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(
            "spec.nodeSelector",
            &after["nodeSelector"],
            detail,
        ));
    }
    put(munged, "nodeSelector", before["nodeSelector"].clone());
    narrowed(before, after, &mut errors);
    let affinity = before.pointer("/affinity/nodeAffinity").cloned();
    if let Some(target) = munged.get_mut("affinity").filter(|a| a.is_object()) {
        put(target, "nodeAffinity", affinity.unwrap_or_default());
    }
    // An affinity that only had, or only gained, rules about nodes is no other change.
    let bare = |value: &Value| {
        value
            .as_object()
            .is_none_or(|fields| fields.values().all(Value::is_null))
    };
    if bare(&munged["affinity"]) && bare(&before["affinity"]) {
        put(munged, "affinity", before["affinity"].clone());
    }
    errors
}

/// Upstream's `validateNodeAffinityMutation`: terms keep their number and only gain requirements.
fn narrowed(before: &Value, after: &Value, errors: &mut Vec<FieldError>) {
    let terms = |spec: &Value| {
        let at = format!("/affinity/nodeAffinity/{REQUIRED}/nodeSelectorTerms");
        list(spec, &at).to_vec()
    };
    let at = format!("spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms");
    let (was, now) = (terms(before), terms(after));
    if was.is_empty() {
        return;
    }
    if was.len() != now.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(FieldError::invalid(at, &now.into(), detail));
        return;
    }
    for (index, (was, now)) in was.iter().zip(&now).enumerate() {
        let kept = ["/matchExpressions", "/matchFields"]
            .iter()
            .all(|part| list(now, part).starts_with(list(was, part)));
        if !kept {
            let detail = "only additions are allowed (no mutations or deletions)";
            errors.push(FieldError::invalid(format!("{at}[{index}]"), now, detail));
        }
    }
}

#[cfg(test)]
#[path = "scheduling_tests.rs"]
mod tests;
