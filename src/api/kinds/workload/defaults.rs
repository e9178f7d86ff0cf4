//! What upstream fills in in each kind (`pkg/apis/{apps,batch,core}/v1/defaults.go`).

use super::Workload;
use crate::api::kinds::status::{default_to, put};
use crate::object::access::{map, text, truth};
use serde_json::{Value, json};

pub fn apply(kind: Workload, object: &mut Value) {
    let labels = object
        .pointer("/spec/template/metadata/labels")
        .cloned()
        .unwrap_or(Value::Null);
    if matches!(
        kind,
        Workload::ReplicationController | Workload::ReplicaSet | Workload::Job
    ) && map(object, "/metadata/labels").is_empty()
        && labels.as_object().is_some_and(|labels| !labels.is_empty())
        && let Some(metadata) = object.get_mut("metadata")
    {
        put(metadata, "labels", labels.clone());
    }
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else {
        return;
    };
    match kind {
        Workload::Revision | Workload::PodTemplate => {}
        Workload::ReplicaSet => default_to(spec, "replicas", 1),
        Workload::ReplicationController => {
            default_to(spec, "replicas", 1);
            if map(spec, "/selector").is_empty() && labels.is_object() {
                put(spec, "selector", labels);
            }
        }
        Workload::Deployment => deployment(spec),
        Workload::DaemonSet => {
            default_to(spec, "updateStrategy", json!({}));
            rolling(&mut spec["updateStrategy"], |update| {
                default_to(update, "maxUnavailable", 1);
                default_to(update, "maxSurge", 0);
            });
            default_to(spec, "revisionHistoryLimit", 10);
        }
        Workload::StatefulSet => stateful_set(spec),
        Workload::Job => job(spec),
        Workload::CronJob => {
            default_to(spec, "concurrencyPolicy", "Allow");
            default_to(spec, "suspend", false);
            default_to(spec, "successfulJobsHistoryLimit", 3);
            default_to(spec, "failedJobsHistoryLimit", 1);
        }
    }
}

/// An update strategy is RollingUpdate unless it says otherwise, and such a one has parameters.
fn rolling(strategy: &mut Value, fill: fn(&mut Value)) {
    default_to(strategy, "type", "RollingUpdate");
    if text(strategy, "/type") == "RollingUpdate" {
        default_to(strategy, "rollingUpdate", json!({}));
        strategy.get_mut("rollingUpdate").into_iter().for_each(fill);
    }
}

fn deployment(spec: &mut Value) {
    default_to(spec, "replicas", 1);
    default_to(spec, "strategy", json!({}));
    rolling(&mut spec["strategy"], |update| {
        default_to(update, "maxUnavailable", "25%");
        default_to(update, "maxSurge", "25%");
    });
    default_to(spec, "revisionHistoryLimit", 10);
    default_to(spec, "progressDeadlineSeconds", 600);
}

fn stateful_set(spec: &mut Value) {
    default_to(spec, "podManagementPolicy", "OrderedReady");
    default_to(spec, "updateStrategy", json!({}));
    rolling(&mut spec["updateStrategy"], |update| {
        default_to(update, "partition", 0);
    });
    default_to(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    let policy = &mut spec["persistentVolumeClaimRetentionPolicy"];
    default_to(policy, "whenDeleted", "Retain");
    default_to(policy, "whenScaled", "Retain");
    default_to(spec, "replicas", 1);
    default_to(spec, "revisionHistoryLimit", 10);
    if let Some(Value::Array(claims)) = spec.get_mut("volumeClaimTemplates") {
        for claim in claims.iter_mut().filter(|claim| claim.is_object()) {
            put(claim, "apiVersion", "v1".into());
            put(claim, "kind", "PersistentVolumeClaim".into());
            default_to(claim, "status", json!({}));
            default_to(&mut claim["status"], "phase", "Pending");
            if let Some(spec) = claim.get_mut("spec") {
                default_to(spec, "volumeMode", "Filesystem");
            }
        }
    }
}

fn job(spec: &mut Value) {
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        default_to(spec, "completions", 1);
    }
    default_to(spec, "parallelism", 1);
    let limit = if spec["backoffLimitPerIndex"].is_null() {
        6
    } else {
        i32::MAX
    };
    default_to(spec, "backoffLimit", limit);
    default_to(spec, "completionMode", "NonIndexed");
    default_to(spec, "suspend", false);
    default_to(spec, "manualSelector", false);
    let policy = if spec["podFailurePolicy"].is_null() {
        "TerminatingOrFailed"
    } else {
        "Failed"
    };
    default_to(spec, "podReplacementPolicy", policy);
}

/// A Job's own selector, by its uid, where the author did not ask to choose one.
pub fn generate_selector(job: &mut Value) {
    if truth(job, "/spec/manualSelector") {
        return;
    }
    let uid = job["metadata"]["uid"].clone();
    let name = job["metadata"]["name"].clone();
    let Some(spec) = job.get_mut("spec").filter(|spec| spec.is_object()) else {
        return;
    };
    default_to(spec, "selector", json!({}));
    if let Some(selector) = spec.get_mut("selector") {
        default_to(selector, "matchLabels", json!({}));
        if let Some(labels) = selector.get_mut("matchLabels") {
            put(labels, "batch.kubernetes.io/controller-uid", uid.clone());
        }
    }
    let Some(template) = spec.get_mut("template") else {
        return;
    };
    default_to(template, "metadata", json!({}));
    let Some(metadata) = template.get_mut("metadata") else {
        return;
    };
    default_to(metadata, "labels", json!({}));
    if let Some(labels) = metadata.get_mut("labels") {
        put(labels, "batch.kubernetes.io/controller-uid", uid.clone());
        put(labels, "batch.kubernetes.io/job-name", name.clone());
        put(labels, "controller-uid", uid);
        put(labels, "job-name", name);
    }
}
