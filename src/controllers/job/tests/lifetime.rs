//! From the first pod to the end: completion, work queues, suspension, deletion.

use super::*;

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
