//! Which pods there are: indexes, surplus ones, replacements, adopted ones, and what a new one is made of.

use super::*;

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
