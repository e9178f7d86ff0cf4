//! A row per rule: what is changed in an object that is right, and the fields that are then wrong.
#![allow(clippy::unwrap_used)]

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

#[test]
fn replicated_kinds() {
    use Workload::{DaemonSet, Deployment, ReplicaSet, ReplicationController, StatefulSet};
    let strategy = |strategy: Value| json!({"spec": {"strategy": strategy}});
    let update = |strategy: Value| json!({"spec": {"updateStrategy": strategy}});
    for (kind, change, fields) in [
        (
            Deployment,
            json!({"metadata": {"name": "Up"}}),
            "metadata.name",
        ),
        (
            StatefulSet,
            json!({"metadata": {"name": "a.b"}}),
            "metadata.name",
        ),
        (Deployment, json!({"metadata": {"name": "a.b"}}), ""),
        (
            ReplicaSet,
            json!({"spec": {"replicas": -1}}),
            "spec.replicas",
        ),
        (
            ReplicaSet,
            json!({"spec": {"selector": null}}),
            "spec.selector spec.template.metadata.labels",
        ),
        (
            ReplicaSet,
            json!({"spec": {"selector": {"matchLabels": null}}}),
            "spec.selector",
        ),
        (
            ReplicaSet,
            json!({"spec": {"selector": {"matchLabels": {"app": "b"}}}}),
            "spec.template.metadata.labels",
        ),
        (
            ReplicaSet,
            json!({"spec": {"selector": {"matchLabels": {"-": "b"}}}}),
            "spec.selector.matchLabels",
        ),
        (
            ReplicationController,
            json!({"spec": {"selector": {"app": "b"}}}),
            "spec.template.metadata.labels",
        ),
        (
            ReplicaSet,
            json!({"spec": {"template": {"spec": {"restartPolicy": "Never"}}}}),
            "spec.template.spec.restartPolicy",
        ),
        (
            ReplicaSet,
            json!({"spec": {"template": {"spec": {"activeDeadlineSeconds": 5}}}}),
            "spec.template.spec.activeDeadlineSeconds",
        ),
        (
            Deployment,
            json!({"spec": {"progressDeadlineSeconds": 5, "minReadySeconds": 5}}),
            "spec.progressDeadlineSeconds",
        ),
        (
            Deployment,
            strategy(json!({"type": "Sometimes"})),
            "spec.strategy.type",
        ),
        (
            Deployment,
            strategy(json!({"type": "Recreate", "rollingUpdate": {}})),
            "spec.strategy.rollingUpdate",
        ),
        (
            Deployment,
            strategy(json!({"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": 0}})),
            "spec.strategy.rollingUpdate.maxUnavailable",
        ),
        (
            Deployment,
            strategy(json!({"rollingUpdate": {"maxSurge": "200%", "maxUnavailable": "101%"}})),
            "spec.strategy.rollingUpdate.maxUnavailable",
        ),
        (
            Deployment,
            strategy(json!({"rollingUpdate": {"maxSurge": "two"}})),
            "spec.strategy.rollingUpdate.maxSurge",
        ),
        (DaemonSet, update(json!({"type": "OnDelete"})), ""),
        (
            DaemonSet,
            update(json!({"type": "Never"})),
            "spec.updateStrategy.type",
        ),
        (
            DaemonSet,
            update(json!({"rollingUpdate": {"maxSurge": 1}})),
            "spec.updateStrategy.rollingUpdate.maxSurge",
        ),
        (
            DaemonSet,
            update(json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})),
            "",
        ),
        (
            DaemonSet,
            update(json!({"rollingUpdate": {"maxUnavailable": 0}})),
            "spec.updateStrategy.rollingUpdate.maxUnavailable",
        ),
        (
            StatefulSet,
            update(json!({"type": "Never"})),
            "spec.updateStrategy",
        ),
        (
            StatefulSet,
            update(json!({"type": "OnDelete", "rollingUpdate": {"partition": 1}})),
            "spec.updateStrategy.rollingUpdate",
        ),
        (
            StatefulSet,
            update(json!({"rollingUpdate": {"partition": -1, "maxUnavailable": 0}})),
            "spec.updateStrategy.rollingUpdate.partition spec.updateStrategy.rollingUpdate.maxUnavailable",
        ),
        (
            StatefulSet,
            json!({"spec": {"podManagementPolicy": "Any"}}),
            "spec.podManagementPolicy",
        ),
        (
            StatefulSet,
            json!({"spec": {"ordinals": {"start": -1}, "serviceName": "a.b"}}),
            "spec.ordinals.start spec.serviceName",
        ),
        (
            StatefulSet,
            json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Keep"}}}),
            "spec.persistentVolumeClaimRetentionPolicy.whenScaled",
        ),
    ] {
        assert_eq!(
            wrong(kind, change.clone()).join(" "),
            fields,
            "{kind:?} {change}"
        );
    }
}

#[test]
fn claims_are_volumes_of_the_template() {
    let claim = |name: &str, modes: Value| json!({"metadata": {"name": name}, "spec": {"accessModes": modes, "resources": {"requests": {"storage": "1Gi"}}}});
    let with = |claims: Value| {
        json!({"spec": {"volumeClaimTemplates": claims, "template": {"spec": {"containers": [
            {"name": "c", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}}}})
    };
    let good = || claim("data", json!(["ReadWriteOnce"]));
    let at = "spec.volumeClaimTemplates[0]";
    for (claims, fields) in [
        (json!([good()]), String::new()),
        (
            json!([]),
            "spec.template.spec.containers[0].volumeMounts[0].name".into(),
        ),
        (
            json!([claim("data", json!([]))]),
            format!("{at}.spec.accessModes"),
        ),
        (
            json!([good(), good()]),
            "spec.volumeClaimTemplates[1].metadata.name".into(),
        ),
    ] {
        let found = wrong(Workload::StatefulSet, with(claims.clone()));
        assert_eq!(found.join(" "), fields, "{claims}");
    }
}

#[test]
fn jobs() {
    let spec = |spec: Value| json!({"spec": spec});
    let failure = |rule: Value| json!({"spec": {"podFailurePolicy": {"rules": [rule]}}});
    let success = |rule: Value| json!({"spec": {"completionMode": "Indexed", "completions": 5, "successPolicy": {"rules": [rule]}}});
    let rule = "spec.podFailurePolicy.rules[0]";
    let won = "spec.successPolicy.rules[0]";
    for (change, fields) in [
        (
            spec(json!({"template": {"spec": {"restartPolicy": null}}})),
            "spec.template.spec.restartPolicy".to_owned(),
        ),
        (
            spec(json!({"template": {"spec": {"restartPolicy": "Always"}}})),
            "spec.template.spec.restartPolicy".into(),
        ),
        (
            spec(json!({"parallelism": -1, "backoffLimit": -1})),
            "spec.parallelism spec.backoffLimit".into(),
        ),
        (
            spec(json!({"completionMode": "Some"})),
            "spec.completionMode".into(),
        ),
        (spec(json!({"completionMode": "Indexed"})), String::new()),
        (
            spec(json!({"completionMode": "Indexed", "parallelism": 2})),
            "spec.completions".into(),
        ),
        (
            spec(json!({"completionMode": "Indexed", "completions": 1, "parallelism": 100_001})),
            "spec.parallelism".into(),
        ),
        (
            spec(json!({"backoffLimitPerIndex": 1, "maxFailedIndexes": 1})),
            "spec.backoffLimitPerIndex spec.maxFailedIndexes".into(),
        ),
        (spec(json!({"managedBy": "me"})), "spec.managedBy".into()),
        (spec(json!({"managedBy": "example.com/me"})), String::new()),
        (spec(json!({"scheduling": {}})), "spec.scheduling".into()),
        (
            spec(json!({"podReplacementPolicy": "Soon"})),
            "spec.podReplacementPolicy".into(),
        ),
        (
            spec(json!({"manualSelector": true})),
            "spec.selector spec.template.metadata.labels".into(),
        ),
        (
            spec(json!({"manualSelector": true, "selector": {"matchLabels": {"app": "a"}}})),
            String::new(),
        ),
        (
            spec(json!({"selector": {"matchLabels": {"app": "a"}}})),
            "spec.selector".into(),
        ),
        (
            spec(json!({"template": {"metadata": {"labels": {"job-name": "other"}}}})),
            "spec.template.metadata.labels[job-name]".into(),
        ),
        (
            failure(json!({"action": "Count", "onPodConditions": [{"type": "DisruptionTarget"}]})),
            String::new(),
        ),
        (failure(json!({"action": "Count"})), rule.into()),
        (
            failure(json!({"onExitCodes": {"operator": "In", "values": [1]}})),
            format!("{rule}.action"),
        ),
        (
            failure(
                json!({"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [1]}}),
            ),
            format!("{rule}.action"),
        ),
        (
            failure(json!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [0]}})),
            format!("{rule}.onExitCodes.values[0]"),
        ),
        (
            failure(
                json!({"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [2, 1, 1], "containerName": "z"}}),
            ),
            format!(
                "{rule}.onExitCodes.containerName {rule}.onExitCodes.values[2] {rule}.onExitCodes.values"
            ),
        ),
        (
            success(json!({"succeededIndexes": "0,2-3", "succeededCount": 3})),
            String::new(),
        ),
        (success(json!({})), won.into()),
        (
            success(json!({"succeededIndexes": "0-5"})),
            format!("{won}.succeededIndexes"),
        ),
        (
            success(json!({"succeededIndexes": "3,2"})),
            format!("{won}.succeededIndexes"),
        ),
        (
            success(json!({"succeededIndexes": "1-2-3"})),
            format!("{won}.succeededIndexes"),
        ),
        (
            success(json!({"succeededIndexes": "0", "succeededCount": 2})),
            format!("{won}.succeededCount"),
        ),
        (
            spec(json!({"successPolicy": {"rules": []}})),
            "spec.successPolicy".into(),
        ),
    ] {
        assert_eq!(
            wrong(Workload::Job, change.clone()).join(" "),
            fields,
            "{change}"
        );
    }
}

#[test]
fn cron_jobs() {
    let inner = |spec: Value| json!({"spec": {"jobTemplate": {"spec": spec}}});
    for (change, field) in [
        (json!({"spec": {"schedule": ""}}), "spec.schedule"),
        (json!({"spec": {"schedule": "61 * * * *"}}), "spec.schedule"),
        (
            json!({"spec": {"schedule": "TZ=UTC 0 0 1 1 *"}}),
            "spec.schedule",
        ),
        (json!({"spec": {"timeZone": "Europe/Berlin"}}), ""),
        (json!({"spec": {"timeZone": ""}}), "spec.timeZone"),
        (json!({"spec": {"timeZone": "local"}}), "spec.timeZone"),
        (json!({"spec": {"timeZone": "Mars/Base"}}), "spec.timeZone"),
        (
            json!({"spec": {"concurrencyPolicy": "Maybe"}}),
            "spec.concurrencyPolicy",
        ),
        (
            json!({"spec": {"failedJobsHistoryLimit": -1}}),
            "spec.failedJobsHistoryLimit",
        ),
        (
            json!({"metadata": {"name": "a".repeat(53)}}),
            "metadata.name",
        ),
        (
            inner(json!({"parallelism": -1})),
            "spec.jobTemplate.spec.parallelism",
        ),
        (
            inner(json!({"selector": {}})),
            "spec.jobTemplate.spec.selector",
        ),
        (
            inner(json!({"manualSelector": true})),
            "spec.jobTemplate.spec.manualSelector",
        ),
    ] {
        assert_eq!(
            wrong(Workload::CronJob, change.clone()).join(" "),
            field,
            "{change}"
        );
    }
}

#[test]
fn what_may_not_change() {
    use Workload::{CronJob, Deployment, Job, ReplicationController, Revision, StatefulSet};
    let suspended = json!({"spec": {"suspend": true}});
    let indexed =
        json!({"spec": {"completionMode": "Indexed", "completions": 2, "parallelism": 2}});
    for (kind, before, change, fields) in [
        (
            Deployment,
            json!({}),
            json!({"spec": {"selector": {"matchLabels": {"app": "b"}}}}),
            "spec.selector",
        ),
        (
            Deployment,
            json!({}),
            json!({"spec": {"replicas": 4, "template": {"spec": {"nodeSelector": {"a": "b"}}}}}),
            "",
        ),
        (
            ReplicationController,
            json!({}),
            json!({"spec": {"selector": {"app": "b"}}}),
            "",
        ),
        (
            CronJob,
            json!({}),
            json!({"spec": {"schedule": "@hourly"}}),
            "",
        ),
        (
            StatefulSet,
            json!({}),
            json!({"spec": {"serviceName": "b"}}),
            "spec",
        ),
        (
            StatefulSet,
            json!({}),
            json!({"spec": {"podManagementPolicy": "Parallel"}}),
            "spec",
        ),
        (
            StatefulSet,
            json!({}),
            json!({"spec": {"replicas": 3, "minReadySeconds": 3, "ordinals": {"start": 1}}}),
            "",
        ),
        (Revision, json!({}), json!({"data": {"a": 1}}), "data"),
        (Revision, json!({}), json!({"revision": 2}), ""),
        (
            Job,
            json!({}),
            json!({"spec": {"parallelism": 3, "backoffLimit": 1, "suspend": true, "ttlSecondsAfterFinished": 1}}),
            "",
        ),
        (
            Job,
            json!({}),
            json!({"spec": {"completions": 3}}),
            "spec.completions",
        ),
        (
            Job,
            json!({}),
            json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}}),
            "spec.template",
        ),
        (
            Job,
            suspended.clone(),
            json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}, "affinity": {"nodeAffinity": {}}}}}}),
            "",
        ),
        (
            Job,
            suspended,
            json!({"spec": {"template": {"spec": {"hostNetwork": true}}}}),
            "spec.template",
        ),
        (
            Job,
            indexed.clone(),
            json!({"spec": {"completions": 3, "parallelism": 3}}),
            "",
        ),
        (
            Job,
            indexed,
            json!({"spec": {"completions": 3}}),
            "spec.completions",
        ),
        (
            Job,
            json!({}),
            json!({"spec": {"completionMode": "Indexed", "managedBy": "a.b/c"}}),
            "spec.completionMode spec.managedBy",
        ),
    ] {
        let old = completed(kind, &before);
        let mut new = old.clone();
        json_patch::merge(&mut new, &change);
        let found: Vec<String> = kind
            .validate_update(&old, &new)
            .into_iter()
            .map(|e| e.field)
            .collect();
        assert_eq!(found.join(" "), fields, "{kind:?} {change}");
    }
}

#[test]
fn generations_and_status() {
    for kind in ALL {
        let old = completed(kind, &json!({}));
        let mut same = old.clone();
        same["status"] = json!({"replicas": 9});
        same["metadata"]["labels"] = json!({"x": "y"});
        kind.prepare_update(&old, &mut same);
        assert_eq!(
            same["metadata"]["generation"],
            old["metadata"]["generation"]
        );
        if matches!(kind, Workload::Revision | Workload::PodTemplate) {
            assert!(old["metadata"].get("generation").is_none());
            continue;
        }
        assert_eq!(old["metadata"]["generation"], 1);
        assert_eq!(same["status"], json!({}), "{kind:?}");
        let mut changed = old.clone();
        changed["spec"]["suspend"] = true.into();
        kind.prepare_update(&old, &mut changed);
        assert_eq!(changed["metadata"]["generation"], 2, "{kind:?}");
        let mut status = json!({"metadata": {}, "spec": {}, "status": {"replicas": 1}});
        kind.prepare_status_update(&old, &mut status);
        assert_eq!(
            (&status["spec"], &status["status"]["replicas"]),
            (&old["spec"], &json!(1))
        );
    }
}
