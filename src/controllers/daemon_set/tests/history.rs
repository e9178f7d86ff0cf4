//! Revisions: which are kept.

use super::*;

#[test]
fn the_oldest_that_no_pod_is_of_are_forgotten() {
    let history = |limit: Value, pods: &[Value]| {
        let mut objects = vec![
            revision("r1", -2, &template("i:8")),
            revision("r2", -1, &template("i:9")),
        ];
        objects.extend_from_slice(pods);
        let spec = json!({"revisionHistoryLimit": limit, "updateStrategy": {"type": "OnDelete"}});
        steps(set(&spec), &objects)
    };
    // Those, and the one before the newest.
    for (limit, expected) in [
        (json!(null), &[][..]),
        (json!(3), &[]),
        (json!(1), &["delete log-r1", "delete log-r2"]),
        (
            json!(0),
            &["delete log-r1", "delete log-r2", "delete log-one"],
        ),
    ] {
        assert_eq!(history(limit.clone(), &[]), expected, "{limit}");
    }
    let live = [node("n1", &json!({})), pod("n1", "r1", "ready")];
    assert_eq!(
        history(json!(0), &live),
        ["delete log-r2", "delete log-one"]
    );
}

#[test]
fn a_template_of_before_is_found_again_and_a_new_one_remembered() {
    let mut objects = vec![
        revision("one", 1, &template("i:1")),
        revision("two", 2, &template("i:2")),
    ];
    let plan = |objects: &[Value]| {
        DaemonSets.reconcile(&World::of(objects), &("a".into(), "log".into()), now())
    };
    objects.push(set(&json!({"template": template("i:1")})));
    let found = plan(&objects);
    assert!(
        matches!(found.actions.as_slice(), [Action::Patch { target, .. }] if target.name == "log-one")
    );
    objects.pop();
    objects.push(set(&json!({"template": template("i:3")})));
    let made = plan(&objects);
    assert!(
        matches!(made.actions.as_slice(), [Action::Create { target, .. }] if target.kind == "ControllerRevision")
    );
}
