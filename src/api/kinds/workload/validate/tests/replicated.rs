//! Kinds that keep a number of pods.

use super::*;

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
