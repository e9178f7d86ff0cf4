//! A DaemonSet's pods: how they are made, when they are good, and how long a failed one is left.

use super::nodes;
use crate::client::recorder::Kind;
use crate::controllers::action::{Action, ERROR, NAME, Target};
use crate::controllers::clock::after;
use crate::controllers::owners;
use crate::controllers::revisions::LABEL;
use crate::controllers::world::PodView;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec,
};
use serde_json::json;
use std::sync::Arc;

/// On a pod: how many before it failed on its node, one soon after the other.
pub const FAILURES: &str = "coracle.dev/failed-before";
/// The first failed pod is left this long, every other twice as long as the one before, and none longer than that
/// (upstream's 1 s to 15 min).
const BACKOFF_SECONDS: i64 = 1;
const BACKOFF_SECONDS_MAX: i64 = 15 * 60;
/// A pod that lived longer than this before it failed is the first of its row.
/// No failed pod is left longer.
pub const WAIT_MAX: i64 = BACKOFF_SECONDS_MAX;
const ROW: SignedDuration = SignedDuration::from_secs(2 * BACKOFF_SECONDS_MAX);

/// Makes the pod of a node; `failures`: how many before it failed.
pub fn create(set: &DaemonSet, node: &str, hash: &str, failures: u32) -> Action {
    let target = Target::of::<DaemonSet>(&set.metadata);
    let meta = set.spec.template.metadata.clone().unwrap_or_default();
    let mut labels = meta.labels.unwrap_or_default();
    labels.insert(LABEL.to_owned(), hash.to_owned());
    let mut annotations = meta.annotations.unwrap_or_default();
    if failures > 0 {
        annotations.insert(FAILURES.to_owned(), failures.to_string());
    }
    let mut spec = set.spec.template.spec.clone().unwrap_or_default();
    spec.tolerations = Some(nodes::tolerations(&spec));
    pin(&mut spec, node);
    let object = json!({
        "metadata": {
            "generateName": format!("{}-", target.name),
            "namespace": target.namespace,
            "labels": labels,
            "annotations": Some(annotations).filter(|a| !a.is_empty()),
            "finalizers": meta.finalizers,
            "ownerReferences": [owners::reference::<DaemonSet>(&set.metadata)],
        },
        "spec": spec,
    });
    Action::Report {
        action: Box::new(Action::Create {
            target: Target::named::<PodView>(&target.namespace, ""),
            object,
        }),
        done: vec![Action::tell(
            &target,
            Kind::Normal,
            "SuccessfulCreate",
            format!("Created pod: {NAME}"),
        )],
        failed: vec![Action::tell(
            &target,
            Kind::Warning,
            "FailedCreate",
            format!("Error creating: {ERROR}"),
        )],
    }
}

/// Only this node will do; what the template required has been looked at already.
fn pin(spec: &mut PodSpec, node: &str) {
    let field = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let affinity = spec.affinity.get_or_insert_default();
    let affinity = affinity.node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution = Some(NodeSelector {
        node_selector_terms: vec![NodeSelectorTerm {
            match_expressions: None,
            match_fields: Some(vec![field]),
        }],
    });
}

pub fn is_new(pod: &PodView, hash: &str) -> bool {
    pod.labels().get(LABEL).is_some_and(|its| its == hash)
}

pub fn is_available(set: &DaemonSet, pod: &PodView, now: Timestamp) -> bool {
    pod.available(set.spec.min_ready_seconds.unwrap_or(0), now)
        .is_ok()
}

/// Of a failed pod: how many of its row failed, itself included.
pub fn failures(pod: &PodView) -> u32 {
    let created = pod.metadata.creation_timestamp.as_ref().map(|at| at.0);
    let lived = created.map(|at| failed_at(pod).duration_since(at));
    if lived.is_some_and(|lived| lived > ROW) {
        return 1;
    }
    let annotations = pod.metadata.annotations.as_ref();
    let before = annotations.and_then(|a| a.get(FAILURES));
    let before: u32 = before.and_then(|text| text.parse().ok()).unwrap_or(0);
    before.saturating_add(1)
}

/// When the failed pod is to be replaced.
pub fn replaced_at(pod: &PodView) -> Timestamp {
    // Past twenty the longest wait is reached anyway.
    let doublings = failures(pod).saturating_sub(1).min(20);
    let wait = (BACKOFF_SECONDS << doublings).min(BACKOFF_SECONDS_MAX);
    after(failed_at(pod), wait)
}

/// The last thing that is known to have happened to it.
fn failed_at(pod: &PodView) -> Timestamp {
    let statuses = pod.status.container_statuses.iter();
    let ends = statuses.filter_map(|s| s.state.terminated.as_ref()?.finished_at.as_ref());
    let conditions = pod.status.conditions.iter();
    let turns = conditions.filter_map(|c| c.last_transition_time.as_ref());
    let begins = [&pod.status.start_time, &pod.metadata.creation_timestamp];
    let all = ends.chain(turns).chain(begins.into_iter().flatten());
    all.map(|time| time.0)
        .max()
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What is to be done to pods.
#[derive(Debug, Default)]
pub struct Work {
    /// Nodes that are to get one, and how many failed there before.
    pub make: Vec<(String, u32)>,
    pub remove: Vec<Arc<PodView>>,
    /// Events.
    pub tell: Vec<Action>,
}

/// Pods made or deleted in one plan (upstream's burst); what is left comes with the next.
const BURST_MAX: usize = 250;

impl Work {
    pub fn is_empty(&self) -> bool {
        self.make.is_empty() && self.remove.is_empty()
    }

    /// Pods are made first: a failed one's successor carries its back-off on, and must be there before it goes.
    pub fn actions(mut self, set: &DaemonSet, hash: &str) -> Vec<Action> {
        let target = Target::of::<DaemonSet>(&set.metadata);
        self.make.truncate(BURST_MAX);
        self.remove.truncate(BURST_MAX);
        let made = self.make.iter();
        let made: Vec<_> = made.map(|(node, n)| create(set, node, hash, *n)).collect();
        let removed = crate::controllers::replica_set::remove(&target, &self.remove);
        let batches = [made, removed].into_iter().filter(|b| !b.is_empty());
        let mut actions = self.tell;
        actions.extend(batches.map(Action::Batch));
        actions
    }
}
