//! What holds an ending namespace, in upstream's words.
//! <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/namespace-v1/#NamespaceStatus>

use super::contents::Left;
use crate::controllers::clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Type, then reason and message of a good verdict.
const GOOD: [(&str, &str, &str); 5] = [
    (
        "NamespaceDeletionDiscoveryFailure",
        "ResourcesDiscovered",
        "All resources successfully discovered",
    ),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    (
        "NamespaceContentRemaining",
        "ContentRemoved",
        "All content successfully removed",
    ),
    (
        "NamespaceFinalizersRemaining",
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
];

/// Reason and message of what holds it. Nothing: good.
fn trouble(kind: &str, left: &Left) -> Option<(&'static str, String)> {
    let counts = |all: &BTreeMap<String, usize>, verb: &str| {
        let each = all
            .iter()
            .map(|(name, n)| format!("{name} {verb} {n} resource instances"));
        (!all.is_empty()).then(|| each.collect::<Vec<_>>().join(", "))
    };
    match kind {
        "NamespaceDeletionDiscoveryFailure" => {
            let why = left.undiscovered.as_ref()?;
            Some((
                "DiscoveryFailed",
                format!("Discovery failed for some groups, 1 failing: {why}"),
            ))
        }
        "NamespaceDeletionContentFailure" if !left.failures.is_empty() => {
            let all = left.failures.join(", ");
            let said = format!(
                "Failed to delete all resource types, {} remaining: {all}",
                left.failures.len()
            );
            Some(("ContentDeletionFailed", said))
        }
        "NamespaceContentRemaining" => {
            let all = counts(&left.kinds, "has")?;
            Some((
                "SomeResourcesRemain",
                format!("Some resources are remaining: {all}"),
            ))
        }
        "NamespaceFinalizersRemaining" => {
            let all = counts(&left.finalizers, "in")?;
            let said = format!("Some content in the namespace has finalizers remaining: {all}");
            Some(("SomeFinalizersRemain", said))
        }
        _ => None,
    }
}

/// The status that says so, as a patch on the namespace that was looked at. `None`: it says so already.
pub fn status(namespace: &Namespace, left: &Left, now: Timestamp) -> Option<Value> {
    let status = namespace.status.as_ref();
    let old = status
        .and_then(|status| status.conditions.clone())
        .unwrap_or_default();
    let mut new = old.clone();
    for (kind, reason, message) in GOOD {
        let (status, reason, message) = match trouble(kind, left) {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", reason, message.to_owned()),
        };
        let at = new.iter().position(|condition| condition.type_ == kind);
        let kept = at
            .map(|at| &new[at])
            .filter(|condition| condition.status == status);
        let condition = NamespaceCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: match kept {
                Some(kept) => kept.last_transition_time.clone(),
                None => Some(clock::time(now)),
            },
        };
        match at {
            Some(at) => new[at] = condition,
            None => new.push(condition),
        }
    }
    (new != old).then(|| {
        json!({"metadata": {"uid": namespace.metadata.uid, "resourceVersion": namespace.metadata.resource_version},
            "status": {"conditions": new}})
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_holds_it_is_said_once() {
        let mut namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": "a", "uid": "A"}})).unwrap();
        let left = Left {
            kinds: [("pods.".to_owned(), 1), ("deployments.apps".to_owned(), 2)].into(),
            finalizers: [("example.com/x".to_owned(), 1)].into(),
            ..Left::default()
        };
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let patch = status(&namespace, &left, now).unwrap();
        let said = |patch: &Value| -> Vec<String> {
            let row = |c: &Value| {
                format!(
                    "{} {} {}",
                    c["status"].as_str().unwrap(),
                    c["reason"].as_str().unwrap(),
                    c["message"].as_str().unwrap()
                )
            };
            patch["status"]["conditions"]
                .as_array()
                .unwrap()
                .iter()
                .map(row)
                .collect()
        };
        assert_eq!(
            said(&patch),
            [
                "False ResourcesDiscovered All resources successfully discovered",
                "False ParsedGroupVersions All legacy kube types successfully parsed",
                "False ContentDeleted All content successfully deleted, may be waiting on finalization",
                "True SomeResourcesRemain Some resources are remaining: deployments.apps has 2 resource instances, pods. has 1 resource instances",
                "True SomeFinalizersRemain Some content in the namespace has finalizers remaining: example.com/x in 1 resource instances",
            ]
        );
        namespace.status = serde_json::from_value(patch["status"].clone()).unwrap();
        let later: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(status(&namespace, &left, later), None);
        let failed = Left {
            failures: vec!["no".into()],
            undiscovered: Some("down".into()),
            ..Left::default()
        };
        let patch = status(&namespace, &failed, later).unwrap();
        assert!(
            said(&patch)[0].starts_with("True DiscoveryFailed")
                && said(&patch)[2].starts_with("True ContentDeletionFailed")
        );
        assert_eq!(
            patch["status"]["conditions"][1]["lastTransitionTime"],
            "2026-01-01T00:00:00Z"
        );
        assert_eq!(
            patch["status"]["conditions"][3]["lastTransitionTime"],
            "2026-01-01T00:01:00Z"
        );
    }
}
