//! podFailurePolicy, successPolicy, and limits per index.
#![allow(clippy::unwrap_used)]

use super::Jobs;
use super::tests::{job, line, now, plan, pod};
use crate::controllers::runner::Controller;
use crate::controllers::world::World;
use serde_json::{Value, json};

#[test]
fn the_first_rule_that_fits_decides_what_a_failure_means() {
    let rules = json!({"rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Count", "onExitCodes": {"containerName": "c", "operator": "In", "values": [3]}},
        {"action": "FailJob", "onExitCodes": {"containerName": "other", "operator": "NotIn", "values": [0]}},
        {"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [1, 2, 4]}},
    ]});
    let spec =
        json!({"podFailurePolicy": rules, "podReplacementPolicy": "Failed", "backoffLimit": 9});
    for (pod, expected) in [
        (
            "a F x42",
            "status +failed:a FailureTarget:PodFailurePolicy; free a",
        ),
        ("a F x1 D", "free a; create pod"),
        ("a F x3", "status +failed:a; free a; create pod"),
        ("a F x1", "status +failed:a; free a; create pod"),
        ("a F x5", "free a; create pod"),
        ("a R d x42", "status terminating=1"),
    ] {
        assert_eq!(
            line(&plan(&job(spec.clone(), json!({})), &[pod])),
            expected,
            "{pod}"
        );
    }
    let failed = plan(&job(spec, json!({})), &["a F x42"]);
    let message = format!("{:?}", failed.actions[0]);
    assert!(
        message.contains(
            "Container c for pod n/a failed with exit code 42 matching FailJob rule at index 0"
        ),
        "{message}"
    );
}

fn per_index(more: Value) -> Value {
    let mut spec = json!({"completionMode": "Indexed", "completions": 3, "parallelism": 3,
        "backoffLimitPerIndex": 1, "backoffLimit": i32::MAX});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

#[test]
fn each_index_has_its_own_limit() {
    let none = || json!({});
    for (rule, more, status, pods, expected) in [
        (
            "counts begin at none",
            none(),
            json!({"failedIndexes": ""}),
            &[][..],
            "create 0/0 1/0 2/0",
        ),
        (
            "a failed pod is kept until its successor has the count",
            none(),
            json!({"active": 2, "failedIndexes": ""}),
            &["a F i0 n0", "b R i1", "c R i2"],
            "create 0/1",
        ),
        (
            "then it is counted",
            none(),
            json!({"active": 3, "failedIndexes": ""}),
            &["a F i0 n0", "b R i1", "c R i2", "d R i0 n1"],
            "status active=3 failedIndexes= +failed:a; free a",
        ),
        (
            "each waits for itself",
            none(),
            json!({"active": 1, "failedIndexes": ""}),
            &["a F i0 n0 @0", "b F i1 n0 @9", "c R i2"],
            "create 1/1",
        ),
        (
            "past the limit the index has failed",
            none(),
            json!({"active": 2, "failedIndexes": ""}),
            &["a F i0 n1", "b R i1", "c R i2"],
            "status active=2 failedIndexes=0 +failed:a; free a",
        ),
        (
            "the Job fails when all are over",
            none(),
            json!({"succeeded": 2, "completedIndexes": "1,2", "failedIndexes": ""}),
            &["a F i0 n1"],
            "status succeeded=2 completedIndexes=1,2 failedIndexes=0 +failed:a FailureTarget:FailedIndexes; free a",
        ),
        (
            "or sooner",
            json!({"maxFailedIndexes": 0}),
            json!({"active": 1, "failedIndexes": ""}),
            &["a F i0 n1", "b R i1"],
            "status active=1 failedIndexes=0 +failed:a FailureTarget:MaxFailedIndexesExceeded; free a; delete b",
        ),
        (
            "a rule fails the index at once",
            json!({"podReplacementPolicy": "Failed", "podFailurePolicy": {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [7]}}]}}),
            json!({"active": 2, "failedIndexes": ""}),
            &["a F i0 n0 x7", "b R i1", "c R i2"],
            "status active=2 failedIndexes=0 +failed:a; free a",
        ),
    ] {
        let found = line(&plan(&job(per_index(more), status), pods));
        assert_eq!(found, expected, "{rule}");
    }
}

#[test]
fn where_no_successor_comes_nobody_is_kept_for_it() {
    let failed = "a F i0 n0 d";
    let status = || json!({"active": 2, "failedIndexes": ""});
    let others = [failed, "b R i1", "c R i2"];
    let expected = "status active=2 failedIndexes= +failed:a; free a";
    let mut ending = job(per_index(json!({})), status());
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:59:00Z".into();
    // Of a Job that ends itself, all are let go.
    assert_eq!(line(&plan(&ending, &others)), format!("{expected} b c"));
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "n", "deletionTimestamp": "2026-01-01T00:59:00Z"}}),
        job(per_index(json!({})), status()),
    ];
    objects.extend(others.map(pod));
    let plan = Jobs.reconcile(&World::of(&objects), &("n".into(), "j".into()), now());
    assert_eq!(line(&plan), expected);
}

#[test]
fn some_successes_may_be_enough() {
    let met = json!([{"type": "SuccessCriteriaMet", "status": "True", "reason": "SuccessPolicy"}]);
    let spec = |rules: Value| json!({"completionMode": "Indexed", "completions": 9, "parallelism": 3, "successPolicy": {"rules": rules}});
    let count = json!([{"succeededCount": 2}]);
    for (rule, rules, status, pods, expected) in [
        (
            "not enough",
            count.clone(),
            json!({"succeeded": 1, "completedIndexes": "3", "active": 3}),
            &["a R i0", "b R i1", "c R i2"][..],
            "",
        ),
        (
            "a count; the rest is deleted",
            count.clone(),
            json!({"succeeded": 2, "completedIndexes": "3,4", "active": 1}),
            &["a R i0"],
            "status active=1 succeeded=2 completedIndexes=3,4 SuccessCriteriaMet:SuccessPolicy; delete a",
        ),
        (
            "and does not count as failed",
            count.clone(),
            json!({"succeeded": 2, "completedIndexes": "3,4", "terminating": 1, "conditions": met, "failed": 0}),
            &["a R i0 d"],
            "status terminating=1 succeeded=2 completedIndexes=3,4 +failed:a SuccessCriteriaMet:SuccessPolicy; free a",
        ),
        (
            "these indexes",
            json!([{"succeededIndexes": "0,2-3"}]),
            json!({"succeeded": 3, "completedIndexes": "0,2,3"}),
            &[],
            "status succeeded=3 completedIndexes=0,2,3 SuccessCriteriaMet:SuccessPolicy Complete:SuccessPolicy; tell Completed",
        ),
        (
            "so many of them",
            json!([{"succeededIndexes": "5-8", "succeededCount": 1}]),
            json!({"succeeded": 1, "completedIndexes": "7"}),
            &[],
            "status succeeded=1 completedIndexes=7 SuccessCriteriaMet:SuccessPolicy Complete:SuccessPolicy; tell Completed",
        ),
        (
            "others do not help",
            json!([{"succeededIndexes": "5-8", "succeededCount": 1}]),
            json!({"succeeded": 2, "completedIndexes": "0,1", "active": 3}),
            &["a R i2", "b R i3", "c R i4"],
            "",
        ),
    ] {
        let found = line(&plan(&job(spec(rules), status), pods));
        assert_eq!(found, expected, "{rule}");
    }
}
