//! Which nodes get a pod of the newest template next.

use super::*;

fn rolling(unavailable: &Value, surge: &Value) -> Value {
    json!({"updateStrategy": {"type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}})
}

#[test]
fn old_pods_go_first() {
    let one = || rolling(&json!(1), &json!(0));
    let old = |node: &str, state: &str| pod(node, "one", state);
    let new = |node: &str, state: &str| pod(node, "two", state);
    let third = || node("n3", &json!({}));
    hold(vec![
        (
            "one node at a time",
            one(),
            vec![old("n1", "ready"), old("n2", "ready")],
            &["delete n1-one"],
        ),
        (
            "what went is made anew",
            one(),
            vec![old("n2", "ready")],
            &["create n1 two"],
        ),
        (
            "not beside one on its way out",
            one(),
            vec![old("n1", "ending"), old("n2", "ready")],
            &[],
        ),
        (
            "nor before the new one is ready",
            one(),
            vec![new("n1", "waiting"), old("n2", "ready")],
            &[],
        ),
        (
            "then the next",
            one(),
            vec![new("n1", "ready"), old("n2", "ready")],
            &["delete n2-one"],
        ),
        (
            "what serves nobody goes at once",
            one(),
            vec![old("n1", "ready"), old("n2", "waiting")],
            &["delete n2-one"],
        ),
        (
            "two at a time",
            rolling(&json!(2), &json!(0)),
            vec![
                third(),
                old("n1", "ready"),
                old("n2", "ready"),
                old("n3", "ready"),
            ],
            &["delete n1-one", "delete n2-one"],
        ),
        (
            "a share of the nodes, rounded up",
            rolling(&json!("40%"), &json!(0)),
            vec![
                third(),
                old("n1", "ready"),
                old("n2", "ready"),
                old("n3", "ready"),
            ],
            &["delete n1-one", "delete n2-one"],
        ),
        (
            "without a word, one",
            json!({}),
            vec![old("n1", "ready"), old("n2", "ready")],
            &["delete n1-one"],
        ),
        (
            "none by itself",
            json!({"updateStrategy": {"type": "OnDelete"}}),
            vec![old("n1", "ready"), old("n2", "waiting")],
            &[],
        ),
        (
            "of those deleted by hand, the newest",
            json!({"updateStrategy": {"type": "OnDelete"}}),
            vec![old("n1", "ready")],
            &["create n2 two"],
        ),
    ]);
    let mut slow = one();
    slow["minReadySeconds"] = 3600.into();
    // All have been ready for 3590 seconds: the new one must be so for longer, the old one serves nobody yet.
    hold(vec![(
        "ready for long enough",
        slow,
        vec![new("n1", "ready"), old("n2", "ready")],
        &["delete n2-one"],
    )]);
}

#[test]
fn new_pods_come_first_with_surge() {
    let surge = || rolling(&json!(0), &json!(1));
    let old = |node: &str, state: &str| pod(node, "one", state);
    let new = |node: &str, state: &str| pod(node, "two", state);
    hold(vec![
        (
            "one node at a time",
            surge(),
            vec![old("n1", "ready"), old("n2", "ready")],
            &["create n1 two"],
        ),
        (
            "the old one waits for the new one",
            surge(),
            vec![old("n1", "ready"), new("n1", "waiting"), old("n2", "ready")],
            &[],
        ),
        (
            "and goes when it is ready",
            surge(),
            vec![old("n1", "ready"), new("n1", "ready"), old("n2", "ready")],
            &["delete n1-one"],
        ),
        (
            "or when it is not ready itself",
            surge(),
            vec![
                old("n1", "waiting"),
                new("n1", "waiting"),
                old("n2", "ready"),
            ],
            &["delete n1-one"],
        ),
        (
            "then the next node",
            surge(),
            vec![new("n1", "ready"), old("n2", "ready")],
            &["create n2 two"],
        ),
        (
            "an old one that is not ready does not count",
            surge(),
            vec![old("n1", "waiting"), old("n2", "ready")],
            &["create n1 two", "create n2 two"],
        ),
        (
            "on every node at once",
            rolling(&json!(0), &json!("100%")),
            vec![old("n1", "ready"), old("n2", "ready")],
            &["create n1 two", "create n2 two"],
        ),
    ]);
}

#[test]
fn shares_cannot_both_be_none() {
    let bounds = |unavailable: Value, surge: Value, nodes: i32| {
        let set = DaemonSet::deserialize(set(&rolling(&unavailable, &surge))).unwrap();
        let bounds = rolling::Bounds::of(&set, nodes);
        (bounds.unavailable, bounds.surge)
    };
    for (unavailable, surge, nodes, expected) in [
        (json!(1), json!(0), 3, (1, 0)),
        (json!("34%"), json!(0), 3, (2, 0)),
        (json!(0), json!("1%"), 3, (0, 1)),
        (json!("50%"), json!(0), 0, (1, 0)),
        (json!(0), json!("50%"), 0, (1, 0)),
    ] {
        assert_eq!(
            bounds(unavailable.clone(), surge.clone(), nodes),
            expected,
            "{unavailable} {surge} {nodes}"
        );
    }
}
