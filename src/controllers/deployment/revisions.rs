//! Revisions: which template came when, what `kubectl rollout history` and `undo` go by.

use super::sets::Set;
use k8s_openapi::api::apps::v1::DeploymentSpec;
use std::collections::BTreeMap;

pub const REVISION: &str = "deployment.kubernetes.io/revision";
pub const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Characters of the history annotation: the oldest go first (upstream's limit).
const HISTORY_MAX: usize = 2000;

/// What says something of the Deployment only, or of the set only.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    super::sets::DESIRED,
    super::sets::MAX,
    "deprecated.deployment.rollback.to",
];

/// A set without a readable revision has none.
pub fn of(set: &Set) -> i64 {
    let text = set.annotations.get(REVISION);
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The revision of the newest set: one more than any other's.
pub fn next(old: &[Set]) -> i64 {
    old.iter().map(of).max().unwrap_or(0).saturating_add(1)
}

/// Copies the Deployment's annotations, and raises the revision. A set that had one is being rolled back to: its
/// history keeps the one it had.
pub fn annotate(
    annotations: &mut BTreeMap<String, String>,
    deployment: &BTreeMap<String, String>,
    revision: i64,
) {
    for (key, value) in deployment {
        if !NOT_COPIED.contains(&key.as_str()) {
            annotations.insert(key.clone(), value.clone());
        }
    }
    let before = annotations.get(REVISION).cloned();
    let number = match before.as_deref() {
        None | Some("") => 0,
        Some(text) => match text.parse::<i64>() {
            Ok(number) => number,
            Err(_) => return,
        },
    };
    if number >= revision {
        return;
    }
    annotations.insert(REVISION.to_owned(), revision.to_string());
    if let Some(before) = before.filter(|before| !before.is_empty()) {
        let history = annotations.get(HISTORY).map_or("", String::as_str);
        if let Some(history) = lengthened(history, &before) {
            annotations.insert(HISTORY.to_owned(), history);
        }
    }
}

fn lengthened(history: &str, revision: &str) -> Option<String> {
    if history.is_empty() {
        return Some(revision.to_owned());
    }
    let mut kept = history;
    while kept.len() + 1 + revision.len() > HISTORY_MAX {
        kept = kept.split_once(',')?.1;
    }
    Some(format!("{kept},{revision}"))
}

/// Old sets past the limit that are empty, oldest revision first.
pub fn superfluous(spec: &DeploymentSpec, old: &[Set]) -> Vec<Set> {
    let limit = match spec.revision_history_limit {
        None | Some(i32::MAX) => return Vec::new(),
        Some(limit) => usize::try_from(limit).unwrap_or(0),
    };
    let mut alive: Vec<&Set> = old.iter().filter(|s| !s.is_ending()).collect();
    alive.sort_by_key(|s| (of(s), s.age()));
    let too_many = alive.len().saturating_sub(limit);
    let empty = |set: &&Set| {
        let status = set.status();
        let seen = status.observed_generation >= set.object.metadata.generation;
        let was = Set::new(set.object.clone()).size;
        status.replicas == 0 && set.size == 0 && was == 0 && seen
    };
    alive
        .into_iter()
        .take(too_many)
        .filter(empty)
        .cloned()
        .collect()
}
