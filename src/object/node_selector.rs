//! Node selectors: terms of which one must hold, each of expressions that all must.
//! <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#NodeAffinity>

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use std::collections::BTreeMap;

/// The only field that `matchFields` knows upstream.
const NAME_FIELD: &str = "metadata.name";

/// Whether a node of this name and these labels is meant.
pub fn matches(selector: &NodeSelector, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let mut terms = selector.node_selector_terms.iter();
    terms.any(|term| term_matches(term, name, labels))
}

/// Whether one term means the node. A term without expressions means none, as upstream.
pub fn term_matches(
    term: &NodeSelectorTerm,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let empty = expressions.is_empty() && fields.is_empty();
    !empty
        && expressions
            .iter()
            .all(|e| holds(e, labels.get(&e.key).map(String::as_str)))
        && fields
            .iter()
            .all(|f| f.key == NAME_FIELD && holds(f, Some(name)))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = |value: &str| values.iter().any(|v| v == value);
    let compare =
        || -> Option<(i64, i64)> { Some((value?.parse().ok()?, values.first()?.parse().ok()?)) };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare().is_some_and(|(own, bound)| own > bound),
        "Lt" => compare().is_some_and(|(own, bound)| own < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn terms_and_operators() {
        let labels = BTreeMap::from([
            ("disk".to_string(), "ssd".to_string()),
            ("cores".to_string(), "4".to_string()),
        ]);
        let one = |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
        for (terms, want) in [
            (json!([]), false),
            (json!([{}]), false),
            (
                json!([{"matchExpressions": [one("disk", "In", &["ssd"])]}]),
                true,
            ),
            (
                json!([{"matchExpressions": [one("disk", "In", &["hdd"])]}, {"matchExpressions": [one("cores", "Exists", &[])]}]),
                true,
            ),
            (
                json!([{"matchExpressions": [one("disk", "In", &["ssd"]), one("cores", "Gt", &["4"])]}]),
                false,
            ),
            (
                json!([{"matchExpressions": [one("cores", "Gt", &["3"]), one("cores", "Lt", &["5"])]}]),
                true,
            ),
            (
                json!([{"matchExpressions": [one("gpu", "NotIn", &["a"]), one("gpu", "DoesNotExist", &[])]}]),
                true,
            ),
            (
                json!([{"matchFields": [one("metadata.name", "In", &["n"])]}]),
                true,
            ),
            (
                json!([{"matchFields": [one("metadata.name", "In", &["m"])]}]),
                false,
            ),
            (
                json!([{"matchExpressions": [one("disk", "Odd", &[])]}]),
                false,
            ),
        ] {
            let selector: NodeSelector =
                serde_json::from_value(json!({"nodeSelectorTerms": terms})).unwrap();
            assert_eq!(matches(&selector, "n", &labels), want, "{terms}");
        }
    }
}
