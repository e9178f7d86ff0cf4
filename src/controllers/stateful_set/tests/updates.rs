//! Which pods an update replaces, and of which template new ones are.

use super::*;

fn mixed(states: &[(&str, &str)]) -> Vec<Value> {
    let states = (0..).zip(states);
    states
        .map(|(n, (revision, state))| pod(n, revision, state))
        .collect()
}

fn partition(partition: i32) -> Value {
    json!({"updateStrategy": {"rollingUpdate": {"partition": partition}}})
}

#[test]
fn one_after_the_other_from_the_highest() {
    let old = pods("one", &["ready", "ready", "ready"]);
    hold(vec![
        (
            "the highest first",
            json!({}),
            old.clone(),
            &["delete web-2"],
        ),
        (
            "the next once it is ready",
            json!({}),
            mixed(&[("one", "ready"), ("one", "ready"), ("two", "ready")]),
            &["delete web-1"],
        ),
        (
            "not before",
            json!({}),
            mixed(&[("one", "ready"), ("one", "ready"), ("two", "waiting")]),
            &[],
        ),
        (
            "nor while it goes",
            json!({}),
            mixed(&[("one", "ready"), ("one", "ready"), ("one", "ending")]),
            &[],
        ),
        (
            "in order, a broken pod holds the update up until somebody deletes it",
            json!({}),
            mixed(&[("one", "ready"), ("two", "waiting"), ("one", "ready")]),
            &[],
        ),
        (
            "in parallel, a broken old one is healed",
            parallel(),
            mixed(&[("one", "ready"), ("one", "waiting"), ("one", "ready")]),
            &["delete web-1"],
        ),
        (
            "no other goes beside a broken new one",
            parallel(),
            mixed(&[("one", "ready"), ("one", "ready"), ("two", "waiting")]),
            &[],
        ),
        (
            "more at once",
            json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 2}}}),
            old.clone(),
            &["delete web-2", "delete web-1"],
        ),
        (
            "a share of them, rounded down, but one",
            json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": "30%"}}}),
            old.clone(),
            &["delete web-2"],
        ),
        (
            "those too many go first",
            json!({"replicas": 2}),
            old.clone(),
            &["delete web-2"],
        ),
        (
            "none by itself",
            json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}),
            old,
            &[],
        ),
        (
            "of those deleted by hand, the newest",
            json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}),
            mixed(&[("one", "ready"), ("one", "ready")]),
            &["create web-2 two"],
        ),
    ]);
}

#[test]
fn below_the_partition_the_old_template_stays() {
    let old = pods("one", &["ready", "ready", "ready"]);
    let mut later = partition(1);
    later["ordinals"] = json!({"start": 5});
    let from_five = |revisions: [&str; 3]| -> Vec<Value> {
        (5..)
            .zip(revisions)
            .map(|(n, revision)| pod(n, revision, "ready"))
            .collect()
    };
    hold(vec![
        ("above it", partition(2), old.clone(), &["delete web-2"]),
        (
            "not below",
            partition(2),
            mixed(&[("one", "ready"), ("one", "ready"), ("two", "ready")]),
            &[],
        ),
        ("nobody", partition(3), old, &[]),
        (
            "a missing one below is of the old one",
            partition(2),
            vec![],
            &["create web-0 one"],
        ),
        (
            "one above of the new one",
            partition(2),
            pods("one", &["ready", "ready"]),
            &["create web-2 two"],
        ),
        (
            "counted from where ordinals begin",
            later.clone(),
            from_five(["one", "one", "two"]),
            &["delete web-6"],
        ),
        (
            "and no further",
            later,
            from_five(["one", "two", "two"]),
            &[],
        ),
    ]);
}

#[test]
fn availability_counts_in_an_update() {
    let mut spec = parallel();
    spec["minReadySeconds"] = 3600.into();
    let fresh = mixed(&[("one", "ready"), ("one", "ready"), ("two", "ready")]);
    // All have been ready for 3590 seconds: old ones that are not available yet serve nobody.
    assert_eq!(steps(set(&spec), &fresh), ["delete web-1", "delete web-0"]);
    spec["minReadySeconds"] = 60.into();
    assert_eq!(steps(set(&spec), &fresh), ["delete web-1"]);
}

#[test]
fn revisions_that_nobody_goes_by_are_forgotten() {
    let history = |limit: i32, pods: &[Value]| {
        let mut objects = vec![
            revision("r1", -3, "i:7"),
            revision("r2", -2, "i:8"),
            revision("r3", -1, "i:9"),
        ];
        objects.extend_from_slice(pods);
        let spec = json!({"replicas": pods.len(), "revisionHistoryLimit": limit});
        steps(set(&spec), &objects)
    };
    assert_eq!(history(3, &[]), [""; 0]);
    assert_eq!(history(1, &[]), ["delete r1", "delete r2"]);
    assert_eq!(history(0, &[]), ["delete r1", "delete r2", "delete r3"]);
    let mut spec = json!({"replicas": 1, "revisionHistoryLimit": 0});
    spec["updateStrategy"] = json!({"type": "OnDelete", "rollingUpdate": null});
    let live = [
        revision("r1", -3, "i:7"),
        revision("r2", -2, "i:8"),
        pod(0, "r1", "ready"),
    ];
    assert_eq!(steps(set(&spec), &live), ["delete r2"]);
}

#[test]
fn a_template_of_before_is_found_again() {
    let back = set(&json!({"template": template("i:1")}));
    let plan = look(back, &[]);
    let [Action::Patch { target, patch, .. }] = plan.actions.as_slice() else {
        panic!("{plan:?}");
    };
    assert_eq!(
        (target.name.as_str(), patch),
        ("one", &json!({"revision": 3}))
    );
    let new = set(&json!({"template": template("i:3")}));
    let plan = look(new, &[]);
    assert!(
        matches!(plan.actions.as_slice(), [Action::Create { target, .. }] if target.kind == "ControllerRevision")
    );
}
