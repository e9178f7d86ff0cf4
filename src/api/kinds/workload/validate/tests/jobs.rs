//! Kinds that end.

use super::*;

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
