//! Failures: counted, waited for, limited; deadlines and restarts in place.

use super::*;

#[test]
fn failures_are_counted_waited_for_and_limited() {
    let target = json!([{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}]);
    check(&[
        (
            "a failure long ago is replaced",
            json!({}),
            json!({"active": 1}),
            &["a F @30"],
            "status +failed:a; free a; create pod",
        ),
        (
            "one just now is not yet",
            json!({}),
            json!({"active": 1}),
            &["a F @0"],
            "status +failed:a; free a",
        ),
        (
            "counted, it still delays",
            json!({}),
            json!({"failed": 1}),
            &["a F - @0"],
            "",
        ),
        (
            "seven in a row wait for ten minutes",
            json!({"backoffLimit": 9}),
            json!({"failed": 7}),
            &[
                "a F - @9", "b F - @9", "c F - @9", "d F - @9", "e F - @9", "f F - @9", "g F - @9",
            ],
            "",
        ),
        (
            "but not longer",
            json!({"backoffLimit": 9}),
            json!({"failed": 7}),
            &[
                "a F - @11",
                "b F - @11",
                "c F - @11",
                "d F - @11",
                "e F - @11",
                "f F - @11",
                "g F - @11",
            ],
            "create pod",
        ),
        (
            "a success after them ends the wait",
            json!({"completions": 2}),
            json!({"failed": 1, "succeeded": 1}),
            &["a F - @1", "b S - @0"],
            "create pod",
        ),
        (
            "a failure in the future: the clock was set back",
            json!({}),
            json!({"failed": 1}),
            &["a F - @-9999"],
            "create pod",
        ),
        (
            "a pod that is deleted has failed",
            json!({"backoffLimit": 9}),
            json!({"active": 1}),
            &["a R d"],
            "status terminating=1 +failed:a; free a; create pod",
        ),
        (
            "more than the limit",
            json!({"backoffLimit": 0}),
            json!({"active": 1}),
            &["a F"],
            "status +failed:a FailureTarget:BackoffLimitExceeded; free a",
        ),
        (
            "the others are deleted and kept for counting",
            json!({"backoffLimit": 0, "completions": 2, "parallelism": 2}),
            json!({"active": 2}),
            &["a F", "b R"],
            "status active=1 +failed:a FailureTarget:BackoffLimitExceeded; free a; delete b",
        ),
        (
            "what still terminates counts as failed",
            json!({}),
            json!({"conditions": target, "uncountedTerminatedPods": {"failed": ["a"]}}),
            &["a F -", "b R d"],
            "status terminating=1 failed=1 +failed:b FailureTarget:BackoffLimitExceeded; free b",
        ),
        (
            "and the end",
            json!({}),
            json!({"conditions": target, "uncountedTerminatedPods": {"failed": ["b"]}, "failed": 1}),
            &["a F -", "b F d -"],
            "status failed=2 FailureTarget:BackoffLimitExceeded Failed:BackoffLimitExceeded; tell BackoffLimitExceeded",
        ),
        (
            "a deadline",
            json!({"activeDeadlineSeconds": 3600}),
            json!({"active": 1}),
            &["a R"],
            "status active=1 FailureTarget:DeadlineExceeded; delete a",
        ),
        (
            "not yet",
            json!({"activeDeadlineSeconds": 3601}),
            json!({"active": 1}),
            &["a R"],
            "",
        ),
        (
            "a start in the future begins anew",
            json!({"activeDeadlineSeconds": 60}),
            json!({"active": 1, "startTime": "2036-01-01T00:00:00Z"}),
            &["a R"],
            "status active=1",
        ),
    ]);
    let waits = plan(&job(json!({}), json!({"failed": 1})), &["a F - @0"]);
    assert_eq!(waits.again, Some(Duration::from_secs(10)));
}

#[test]
fn restarts_in_place_count_towards_the_limit() {
    for (limit, restarts, expected) in [(0, 0, false), (0, 1, true), (2, 1, false), (2, 2, true)] {
        let mut on_failure = job(json!({"backoffLimit": limit}), json!({"active": 1}));
        on_failure["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure".into();
        let mut pod = pod("a R");
        pod["status"]["containerStatuses"] = json!([{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": restarts}]);
        let world = World::of(&[on_failure, pod]);
        let plan = Jobs.reconcile(&world, &("n".into(), "j".into()), now());
        assert_eq!(
            line(&plan).contains("BackoffLimitExceeded"),
            expected,
            "{limit} {restarts}"
        );
    }
}
