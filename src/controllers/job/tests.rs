//! A row per rule: a Job and its pods, and what is to be done.
#![allow(clippy::unwrap_used)]

use super::*;
use serde_json::Value;

pub const NOW: &str = "2026-01-01T01:00:00Z";

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A Job that has begun an hour ago, with these fields of its spec and status.
pub fn job(spec: Value, status: Value) -> Value {
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"namespace": "n", "name": "j", "uid": "J"},
        "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 6, "suspend": false,
            "selector": {"matchLabels": {"job": "j"}}, "podReplacementPolicy": "TerminatingOrFailed",
            "template": {"metadata": {"labels": {"job": "j"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}},
        "status": {"startTime": "2026-01-01T00:00:00Z", "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}}});
    for (part, fields) in [("spec", spec), ("status", status)] {
        for (key, value) in fields.as_object().unwrap() {
            job[part][key] = value.clone();
        }
    }
    job
}

/// `name state`, where the state has a letter for the phase (P, R, S, F), then `i3` for an index, `-` for no
/// finalizer, `d` for being deleted, `r` for ready, `x2` for an exit code, `n1` for failures of its index before,
/// `@` and minutes since it ended.
pub fn pod(text: &str) -> Value {
    let mut parts = text.split(' ');
    let name = parts.next().unwrap();
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "n", "name": name, "uid": name, "labels": {"job": "j"}, "annotations": {},
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": [pods::FINALIZER],
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "J", "controller": true}]},
        "spec": {"containers": [{"name": "c"}], "nodeName": "node"}, "status": {"phase": "Running"}});
    let mut ended_minutes = 30;
    let mut exit = None;
    for part in parts {
        let rest = &part[1..];
        match &part[..1] {
            "P" => pod["status"]["phase"] = "Pending".into(),
            "R" => {}
            "S" => (pod["status"]["phase"], exit) = ("Succeeded".into(), exit.or(Some(0))),
            "F" => (pod["status"]["phase"], exit) = ("Failed".into(), exit.or(Some(1))),
            "i" => pod["metadata"]["annotations"][pods::INDEX] = rest.into(),
            "n" => pod["metadata"]["annotations"][pods::INDEX_FAILURES] = rest.into(),
            "-" => pod["metadata"]["finalizers"] = json!([]),
            "d" => pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:59:00Z".into(),
            "r" => {
                pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
            }
            "D" => {
                pod["status"]["conditions"] =
                    json!([{"type": "DisruptionTarget", "status": "True"}]);
            }
            "x" => exit = Some(rest.parse().unwrap()),
            "@" => ended_minutes = rest.parse().unwrap(),
            _ => panic!("{part}"),
        }
    }
    if let Some(code) = exit {
        let at = clock::after(now(), -60 * ended_minutes).to_string();
        pod["status"]["containerStatuses"] = json!([{"name": "c", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"terminated": {"exitCode": code, "finishedAt": at}}}]);
    }
    pod
}

pub fn plan(job: &Value, pods: &[&str]) -> Plan {
    let mut objects = vec![job.clone()];
    objects.extend(pods.iter().map(|text| pod(text)));
    let world = World::of(&objects);
    Jobs.reconcile(&world, &("n".into(), "j".into()), now())
}

/// The actions in a line: `status …; free a b; delete a; create 2; events …`.
pub fn line(plan: &Plan) -> String {
    let mut words: Vec<String> = plan.actions.iter().map(word).collect();
    words.retain(|word| !word.is_empty());
    words.join("; ")
}

fn word(action: &Action) -> String {
    match action {
        Action::SetStatus { status, .. } => format!("status {}", brief(status)),
        Action::Tell { reason, .. } => format!("tell {reason}"),
        Action::Batch(all) => {
            let words: Vec<String> = all.iter().map(word).collect();
            let verb = words[0].split(' ').next().unwrap_or_default().to_owned();
            let rest = words.iter().map(|w| w[verb.len()..].trim());
            format!("{verb} {}", rest.collect::<Vec<_>>().join(" "))
        }
        Action::Report { action, done, .. } => match done.as_slice() {
            [next @ Action::Report { .. }] => format!("drop{}", &word(next)[6..]),
            _ => word(action),
        },
        Action::Patch { target, .. } => format!("free {}", target.name),
        Action::Delete { target, .. } => format!("delete {}", target.name),
        Action::Create { object, .. } => {
            let annotations = &object["metadata"]["annotations"];
            let index = annotations[pods::INDEX].as_str().unwrap_or("pod");
            let failures = annotations[pods::INDEX_FAILURES].as_str();
            let failures = failures.map(|n| format!("/{n}")).unwrap_or_default();
            format!("create {index}{failures}")
        }
        other => panic!("{other:?}"),
    }
}

fn brief(status: &Value) -> String {
    let mut parts = Vec::new();
    for field in ["active", "ready", "terminating", "succeeded", "failed"] {
        if let Some(number) = status[field].as_i64().filter(|n| *n > 0) {
            parts.push(format!("{field}={number}"));
        }
    }
    for field in ["completedIndexes", "failedIndexes"] {
        if let Some(text) = status[field].as_str() {
            parts.push(format!("{field}={text}"));
        }
    }
    for list in ["succeeded", "failed"] {
        for uid in status["uncountedTerminatedPods"][list]
            .as_array()
            .into_iter()
            .flatten()
        {
            parts.push(format!("+{list}:{}", uid.as_str().unwrap()));
        }
    }
    for condition in status["conditions"].as_array().into_iter().flatten() {
        let sign = if condition["status"] == "True" {
            ""
        } else {
            "!"
        };
        let word = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
        parts.push(format!("{sign}{}:{}", word("type"), word("reason")));
    }
    parts.join(" ")
}

fn check(rows: &[(&str, Value, Value, &[&str], &str)]) {
    for (rule, spec, status, pods, expected) in rows {
        let found = line(&plan(&job(spec.clone(), status.clone()), pods));
        assert_eq!(found, *expected, "{rule}");
    }
}

#[test]
fn pods_are_made_counted_and_the_job_completes() {
    let met =
        json!([{"type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached"}]);
    check(&[
        (
            "a new Job notes its start and makes its pods",
            json!({"parallelism": 2, "completions": 3}),
            json!({"startTime": null}),
            &[],
            "status ; create pod pod",
        ),
        (
            "no more at once than parallelism",
            json!({"parallelism": 2, "completions": 3}),
            json!({"active": 2}),
            &["a R", "b P"],
            "",
        ),
        (
            "no more than completions that are missing",
            json!({"parallelism": 5, "completions": 3}),
            json!({"active": 1, "succeeded": 1}),
            &["a R"],
            "create pod",
        ),
        (
            "what runs is told",
            json!({}),
            json!({}),
            &["a R r"],
            "status active=1 ready=1",
        ),
        (
            "nothing is done twice",
            json!({}),
            json!({"active": 1, "ready": 1}),
            &["a R r"],
            "",
        ),
        (
            "a success is written down, then let go",
            json!({"completions": 2}),
            json!({"active": 1}),
            &["a S"],
            "status +succeeded:a; free a; create pod",
        ),
        (
            "written down already, a crash came between",
            json!({"completions": 2}),
            json!({"active": 1, "uncountedTerminatedPods": {"succeeded": ["a"]}}),
            &["a S", "b R"],
            "free a",
        ),
        (
            "let go, it is counted",
            json!({"completions": 2}),
            json!({"active": 1, "uncountedTerminatedPods": {"succeeded": ["a"]}}),
            &["a S -", "b R"],
            "status active=1 succeeded=1",
        ),
        (
            "gone, it is counted as well",
            json!({"completions": 2}),
            json!({"active": 1, "uncountedTerminatedPods": {"succeeded": ["a"]}}),
            &["b R"],
            "status active=1 succeeded=1",
        ),
        (
            "the last success",
            json!({}),
            json!({"active": 1}),
            &["a S"],
            "status +succeeded:a SuccessCriteriaMet:CompletionsReached; free a",
        ),
        (
            "and the end",
            json!({}),
            json!({"conditions": met, "uncountedTerminatedPods": {"succeeded": ["a"]}}),
            &["a S -"],
            "status succeeded=1 SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached; tell Completed",
        ),
        (
            "pods that still terminate delay it",
            json!({}),
            json!({"conditions": met, "succeeded": 1}),
            &["a S -", "b R d -"],
            "status terminating=1 succeeded=1 SuccessCriteriaMet:CompletionsReached",
        ),
        (
            "none are asked for",
            json!({"completions": 0}),
            json!({}),
            &[],
            "status SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached; tell Completed",
        ),
        (
            "a paused one",
            json!({"parallelism": 0}),
            json!({}),
            &[],
            "",
        ),
        (
            "another controller's",
            json!({"managedBy": "example.com/x"}),
            json!({}),
            &[],
            "",
        ),
        (
            "ended Jobs stay as they are",
            json!({}),
            json!({"conditions": [{"type": "Complete", "status": "True"}]}),
            &["a S"],
            "",
        ),
    ]);
}

#[test]
fn a_work_queue_ends_with_its_first_success() {
    let queue = || json!({"parallelism": 3, "completions": null});
    check(&[
        (
            "as many as parallelism",
            queue(),
            json!({}),
            &[],
            "create pod pod pod",
        ),
        (
            "a success stops new ones, the others finish",
            queue(),
            json!({"active": 3}),
            &["a S", "b R", "c F"],
            "status active=1 +succeeded:a +failed:c; free a c",
        ),
        (
            "all have finished",
            queue(),
            json!({"active": 1, "succeeded": 1}),
            &["b S"],
            "status succeeded=1 +succeeded:b SuccessCriteriaMet:CompletionsReached; free b",
        ),
    ]);
}

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

#[test]
fn suspended_jobs_have_no_pods_and_begin_anew() {
    let suspended =
        |status: &str| json!([{"type": "Suspended", "status": status, "reason": "JobSuspended"}]);
    check(&[
        (
            "its pods are dropped without being counted",
            json!({"suspend": true}),
            json!({"active": 1}),
            &["a R"],
            "status active=1 Suspended:JobSuspended; tell Suspended; drop a",
        ),
        (
            "then nothing",
            json!({"suspend": true}),
            json!({"conditions": suspended("True")}),
            &[],
            "",
        ),
        (
            "created suspended, it has not started",
            json!({"suspend": true}),
            json!({"startTime": null}),
            &[],
            "status Suspended:JobSuspended; tell Suspended",
        ),
        (
            "resumed",
            json!({}),
            json!({"conditions": suspended("True")}),
            &[],
            "status !Suspended:JobResumed; tell Resumed; create pod",
        ),
        (
            "once",
            json!({}),
            json!({"active": 1, "conditions": suspended("False")}),
            &["a R"],
            "",
        ),
    ]);
    let resumed = plan(
        &job(json!({}), json!({"conditions": suspended("True")})),
        &[],
    );
    let Action::SetStatus { status, .. } = &resumed.actions[0] else {
        panic!("{resumed:?}");
    };
    assert_eq!(status["startTime"], NOW);
}

#[test]
fn indexes() {
    let indexed = |completions: i32, parallelism: i32| json!({"completionMode": "Indexed", "completions": completions, "parallelism": parallelism});
    check(&[
        (
            "the lowest first",
            indexed(5, 3),
            json!({}),
            &[],
            "create 0 1 2",
        ),
        (
            "each once",
            indexed(5, 3),
            json!({"active": 2}),
            &["a R i0", "c R i2"],
            "create 1",
        ),
        (
            "a success needs no uid",
            indexed(3, 1),
            json!({"active": 1}),
            &["a S i0"],
            "status succeeded=1 completedIndexes=0; free a; create 1",
        ),
        (
            "a second pod of it counts no more",
            indexed(3, 1),
            json!({"active": 1, "succeeded": 1, "completedIndexes": "0"}),
            &["a S i0", "b R i1"],
            "free a",
        ),
        (
            "a failed one comes again",
            indexed(3, 1),
            json!({"succeeded": 1, "completedIndexes": "0"}),
            &["b F i1"],
            "status succeeded=1 completedIndexes=0 +failed:b; free b; create 1",
        ),
        (
            "intervals",
            indexed(9, 9),
            json!({"succeeded": 4, "completedIndexes": "0-2,7", "active": 1}),
            &["a S i3", "b R i4"],
            "status active=1 succeeded=5 completedIndexes=0-3,7; free a; create 5 6 8",
        ),
        (
            "doubles, strays and those past the end are dropped",
            indexed(2, 5),
            json!({"active": 4}),
            &["a R i0 r", "b P i0", "c R", "d R i9"],
            "status active=4 ready=1; drop b c d",
        ),
        (
            "fewer completions",
            indexed(2, 2),
            json!({"succeeded": 3, "completedIndexes": "0,2,3", "active": 1}),
            &["a R i1"],
            "status active=1 succeeded=1 completedIndexes=0",
        ),
        (
            "more completions",
            indexed(4, 4),
            json!({"succeeded": 2, "completedIndexes": "0,1"}),
            &[],
            "create 2 3",
        ),
    ]);
}

#[test]
fn surplus_pods_go_by_their_worth() {
    check(&[
        (
            "pending before running before ready",
            json!({"completions": 5, "parallelism": 1}),
            json!({"active": 3, "ready": 1}),
            &["a R r", "b R", "c P"],
            "drop c b",
        ),
        (
            "less is left to do than runs",
            json!({"completions": 2, "parallelism": 5}),
            json!({"active": 2, "succeeded": 1}),
            &["a R", "b P"],
            "drop b",
        ),
    ]);
}

#[test]
fn only_ended_pods_are_replaced_where_asked_for() {
    check(&[
        (
            "one that terminates is waited for",
            json!({"podReplacementPolicy": "Failed"}),
            json!({"terminating": 1}),
            &["a R d"],
            "",
        ),
        (
            "else it is replaced at once",
            json!({"backoffLimit": 9}),
            json!({"terminating": 1, "failed": 1}),
            &["a R d - @5"],
            "create pod",
        ),
        (
            "ended, it is",
            json!({"podReplacementPolicy": "Failed"}),
            json!({"terminating": 1}),
            &["a F d"],
            "status +failed:a; free a; create pod",
        ),
        (
            "an index too",
            json!({"podReplacementPolicy": "Failed", "completionMode": "Indexed", "completions": 2, "parallelism": 2}),
            json!({"terminating": 1, "active": 1}),
            &["a R d i0", "b R i1"],
            "",
        ),
    ]);
}

#[test]
fn a_deleted_job_lets_its_pods_go() {
    let mut ending = job(json!({}), json!({"active": 1}));
    ending["metadata"]["deletionTimestamp"] = NOW.into();
    assert_eq!(line(&plan(&ending, &["a R", "b S -"])), "free a");
    let orphan = |objects: &[Value]| {
        OrphanedPods.reconcile(&World::of(objects), &("n".into(), "a".into()), now())
    };
    let held = orphan(&[job(json!({}), json!({})), pod("a R")]);
    assert_eq!(held, Plan::default());
    let gone = orphan(&[pod("a R")]);
    assert!(
        matches!(
            gone.actions.as_slice(),
            [Action::ConfirmGone(_), Action::Patch { .. }]
        ),
        "{gone:?}"
    );
    let over = job(
        json!({}),
        json!({"conditions": [{"type": "Complete", "status": "True"}]}),
    );
    assert_eq!(line(&orphan(&[over, pod("a R")])), "free a");
    let mut nobodys = pod("a R");
    nobodys["metadata"]["ownerReferences"] = json!([]);
    assert_eq!(
        orphan(&[job(json!({}), json!({})), nobodys.clone()]),
        Plan::default()
    );
    assert_eq!(line(&orphan(&[nobodys])), "free a");
    let world = World::of(&[pod("a R -")]);
    assert_eq!(
        OrphanedPods.reconcile(&world, &("n".into(), "a".into()), now()),
        Plan::default()
    );
}

#[test]
fn adopted_pods_are_tracked() {
    let mut stray = pod("a R -");
    stray["metadata"]["ownerReferences"] = json!([]);
    stray["metadata"]["finalizers"] = json!(["example.com/x"]);
    let world = World::of(&[job(json!({}), json!({})), stray]);
    let plan = Jobs.reconcile(&world, &("n".into(), "j".into()), now());
    let [Action::Confirm(_), Action::Patch { patch, .. }, ..] = plan.actions.as_slice() else {
        panic!("{plan:?}");
    };
    assert_eq!(
        patch["metadata"]["finalizers"],
        json!(["example.com/x", pods::FINALIZER])
    );
}

#[test]
fn a_pod_knows_its_job_and_its_index() {
    let plan = plan(&job(json!({"completionMode": "Indexed"}), json!({})), &[]);
    let Some(Action::Batch(all)) = plan.actions.first() else {
        panic!("{plan:?}");
    };
    let Action::Report { action, .. } = &all[0] else {
        panic!("{all:?}");
    };
    let Action::Create { object, .. } = action.as_ref() else {
        panic!("{action:?}");
    };
    let meta = &object["metadata"];
    assert_eq!(meta["generateName"], "j-0-");
    assert_eq!(meta["labels"], json!({"job": "j", pods::INDEX: "0"}));
    assert_eq!(meta["annotations"], json!({pods::INDEX: "0"}));
    assert_eq!(meta["finalizers"], json!([pods::FINALIZER]));
    assert_eq!(meta["ownerReferences"][0]["controller"], true);
    assert_eq!(object["spec"]["hostname"], "j-0");
    let variable = &object["spec"]["containers"][0]["env"][0];
    assert_eq!(variable["name"], "JOB_COMPLETION_INDEX");
    assert_eq!(
        variable["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.labels['batch.kubernetes.io/job-completion-index']"
    );
}
