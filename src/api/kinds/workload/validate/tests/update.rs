//! What may change in an object that is there.

use super::*;

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
