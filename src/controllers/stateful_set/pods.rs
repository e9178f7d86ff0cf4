//! Pods of a set, made and removed, as steps that tell of themselves.

use super::{claims, identity};
use crate::client::recorder::Kind;
use crate::controllers::action::{Action, ERROR, Target};
use crate::controllers::owners;
use crate::controllers::revisions::{self, LABEL};
use crate::controllers::world::PodView;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::json;

/// The revision that the pod says it is of.
pub fn revision(pod: &PodView) -> &str {
    pod.labels()
        .get(LABEL)
        .map(String::as_str)
        .unwrap_or_default()
}

/// Running and ready.
pub fn is_ready(pod: &PodView) -> bool {
    pod.phase() == "Running" && pod.is_ready()
}

/// Serves, and will go on.
pub fn is_healthy(pod: &PodView) -> bool {
    is_ready(pod) && !pod.is_ending()
}

pub fn create(set: &StatefulSet, revision: &ControllerRevision, ordinal: i32) -> Option<Action> {
    let PodTemplateSpec { metadata, spec } = revisions::template(revision)?;
    let target = Target::of::<StatefulSet>(&set.metadata);
    let name = identity::pod_name(&target.name, ordinal);
    let meta = metadata.unwrap_or_default();
    let mut labels = meta.labels.unwrap_or_default();
    for (label, value) in identity::labels(&target.name, ordinal) {
        labels.insert(label.to_owned(), value);
    }
    labels.insert(LABEL.to_owned(), revisions::name(revision).to_owned());
    let mut spec = spec.unwrap_or_default();
    spec.hostname = Some(name.clone());
    spec.subdomain = set.spec.service_name.clone().filter(|s| !s.is_empty());
    let volumes = claims::volumes(set, ordinal, spec.volumes.take().unwrap_or_default());
    spec.volumes = Some(volumes).filter(|v| !v.is_empty());
    let action = Action::Create {
        target: Target::named::<PodView>(&target.namespace, &name),
        object: json!({
            "metadata": {
                "name": name,
                "namespace": target.namespace,
                "labels": labels,
                "annotations": meta.annotations,
                "finalizers": meta.finalizers,
                "ownerReferences": [owners::reference::<StatefulSet>(&set.metadata)],
            },
            "spec": spec,
        }),
    };
    Some(told(&target, "create", &name, action))
}

pub fn delete(set: &StatefulSet, pod: &PodView) -> Action {
    let its = Target::of::<PodView>(&pod.metadata);
    let name = its.name.clone();
    let action = Action::Delete {
        target: its,
        resource_version: None,
        grace_period_seconds: None,
        propagation: None,
    };
    let target = Target::of::<StatefulSet>(&set.metadata);
    told(&target, "delete", &name, action)
}

/// Gives an adopted pod the labels of its name.
pub fn label(set: &StatefulSet, pod: &PodView, ordinal: i32) -> Option<Action> {
    let target = Target::of::<StatefulSet>(&set.metadata);
    if identity::is_labelled(&target.name, ordinal, pod) {
        return None;
    }
    let [(name, its), (index, number)] = identity::labels(&target.name, ordinal);
    let action = Action::Patch {
        target: Target::of::<PodView>(&pod.metadata),
        part: None,
        resource_version: None,
        patch: json!({"metadata": {"labels": {name: its, index: number}}}),
    };
    let pod = identity::pod_name(&target.name, ordinal);
    Some(told(&target, "update", &pod, action))
}

/// Upstream's words.
fn told(set: &Target, verb: &str, pod: &str, action: Action) -> Action {
    let (done, failed) = match verb {
        "create" => ("SuccessfulCreate", "FailedCreate"),
        "update" => ("SuccessfulUpdate", "FailedUpdate"),
        _ => ("SuccessfulDelete", "FailedDelete"),
    };
    let what = format!("{verb} Pod {pod} in StatefulSet {}", set.name);
    let good = format!("{what} successful");
    let bad = format!("{what} failed error: {ERROR}");
    Action::Report {
        action: Box::new(action),
        done: vec![Action::tell(set, Kind::Normal, done, good)],
        failed: vec![Action::tell(set, Kind::Warning, failed, bad)],
    }
}
