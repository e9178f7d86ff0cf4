//! A row per rule: what is changed in an object that is right, and the fields that are then wrong.
#![allow(clippy::unwrap_used)]

mod jobs;
mod replicated;
mod update;

use super::super::Workload;
use crate::api::kinds::Strategy;
use serde_json::{Value, json};

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

fn sound(kind: Workload) -> Value {
    let template = template();
    let selector = json!({"matchLabels": {"app": "a"}});
    let mut once = template.clone();
    once["spec"]["restartPolicy"] = "Never".into();
    let spec = match kind {
        Workload::Job => json!({"template": once}),
        Workload::CronJob => {
            json!({"schedule": "@daily", "jobTemplate": {"spec": {"template": once}}})
        }
        Workload::ReplicationController => json!({"template": template}),
        _ => json!({"selector": selector, "template": template}),
    };
    match kind {
        Workload::PodTemplate => json!({"metadata": {"name": "x"}, "template": template}),
        Workload::Revision => json!({"metadata": {"name": "x"}, "data": {}, "revision": 1}),
        _ => json!({"metadata": {"name": "x", "uid": "u"}, "spec": spec}),
    }
}

fn completed(kind: Workload, change: &Value) -> Value {
    let mut object = sound(kind);
    json_patch::merge(&mut object, change);
    kind.default(&mut object);
    kind.prepare_create(&mut object);
    object
}

fn wrong(kind: Workload, change: Value) -> Vec<String> {
    let object = completed(kind, &change);
    let mut errors = kind.validate(&object);
    errors.extend(kind.validate_create(&object));
    errors.into_iter().map(|error| error.field).collect()
}

const ALL: [Workload; 9] = [
    Workload::Revision,
    Workload::DaemonSet,
    Workload::Deployment,
    Workload::ReplicaSet,
    Workload::StatefulSet,
    Workload::CronJob,
    Workload::Job,
    Workload::PodTemplate,
    Workload::ReplicationController,
];

#[test]
fn what_is_right_passes_and_stays_as_it_is() {
    for kind in ALL {
        let object = completed(kind, &json!({}));
        assert_eq!(kind.validate(&object), [], "{kind:?}");
        let mut again = object.clone();
        kind.default(&mut again);
        kind.prepare_update(&object, &mut again);
        assert_eq!(again, object, "{kind:?}");
        assert_eq!(kind.validate_update(&object, &again), [], "{kind:?}");
    }
}

#[test]
fn a_template_has_the_errors_of_its_pod() {
    let template = json!({"spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 0}]}],
        "runtimeClassName": "kata"}});
    for (kind, change, at) in [
        (
            Workload::Deployment,
            json!({"spec": {"template": template}}),
            "spec.template",
        ),
        (
            Workload::StatefulSet,
            json!({"spec": {"template": template}}),
            "spec.template",
        ),
        (
            Workload::CronJob,
            json!({"spec": {"jobTemplate": {"spec": {"template": template}}}}),
            "spec.jobTemplate.spec.template",
        ),
        (
            Workload::PodTemplate,
            json!({"template": template}),
            "template",
        ),
    ] {
        let expected = [
            format!("{at}.spec.runtimeClassName"),
            format!("{at}.spec.containers[0].ports[0].containerPort"),
        ];
        assert_eq!(wrong(kind, change), expected, "{kind:?}");
    }
    let none = json!({"spec": {"template": null}});
    let found = wrong(Workload::Deployment, none.clone());
    assert_eq!(
        found,
        [
            "spec.template.metadata.labels",
            "spec.template.spec.containers"
        ]
    );
    let found = wrong(Workload::ReplicationController, none);
    assert_eq!(found, ["spec.selector", "spec.template"]);
}
