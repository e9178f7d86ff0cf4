//! Pods made from a template, and their deletion, as steps that tell of themselves.

use super::kind::Replicated;
use crate::client::recorder::Kind;
use crate::controllers::action::{Action, ERROR, NAME, Target};
use crate::controllers::owners;
use crate::controllers::world::PodView;
use k8s_openapi::api::apps::v1::ReplicaSet;
use serde_json::json;
use std::sync::Arc;

/// `generateName` may be cut by the API; the dash is upstream's.
pub fn make<K: Replicated>(set: &ReplicaSet, target: &Target, count: usize) -> Vec<Action> {
    let template = set.spec.template.as_ref();
    let Some(template) = template else {
        return Vec::new();
    };
    let meta = template.metadata.clone().unwrap_or_default();
    let pod = json!({
        "metadata": {
            "generateName": format!("{}-", target.name),
            "namespace": target.namespace,
            "labels": meta.labels,
            "annotations": meta.annotations,
            "finalizers": meta.finalizers,
            "ownerReferences": [owners::reference::<K>(&set.metadata)],
        },
        "spec": template.spec,
    });
    let create = Action::Report {
        action: Box::new(Action::Create {
            target: Target::named::<PodView>(&target.namespace, ""),
            object: pod,
        }),
        done: vec![Action::tell(
            target,
            Kind::Normal,
            "SuccessfulCreate",
            format!("Created pod: {NAME}"),
        )],
        failed: vec![Action::tell(
            target,
            Kind::Warning,
            "FailedCreate",
            format!("Error creating: {ERROR}"),
        )],
    };
    vec![create; count]
}

pub fn remove(target: &Target, pods: &[Arc<PodView>]) -> Vec<Action> {
    let step = |pod: &Arc<PodView>| {
        let its = Target::of::<PodView>(&pod.metadata);
        let name = its.name.clone();
        Action::Report {
            action: Box::new(Action::Delete {
                target: its,
                resource_version: None,
                grace_period_seconds: None,
                propagation: None,
            }),
            done: vec![Action::tell(
                target,
                Kind::Normal,
                "SuccessfulDelete",
                format!("Deleted pod: {name}"),
            )],
            failed: vec![Action::tell(
                target,
                Kind::Warning,
                "FailedDelete",
                format!("Error deleting: {ERROR}"),
            )],
        }
    };
    pods.iter().map(step).collect()
}
