//! Which namespaces are emptied, and in which order.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::controllers::action::Action;
use crate::controllers::fake_door;
use serde_json::Value;

fn namespace(finalizers: &[&str], more: &Value) -> Namespace {
    let mut namespace = json!({"metadata": {"name": "a", "resourceVersion": "1",
        "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"finalizers": finalizers}});
    json_patch::merge(&mut namespace, more);
    serde_json::from_value(namespace).unwrap()
}

fn now() -> Timestamp {
    "2026-01-01T00:01:00Z".parse().unwrap()
}

#[test]
fn only_ending_namespaces_that_wait_for_us_are_emptied() {
    let living = json!({"metadata": {"deletionTimestamp": null}});
    for (finalizers, more, expected) in [
        (&["other", FINALIZER][..], json!({}), 1),
        (&[FINALIZER], living, 0),
        (&["other"], json!({}), 0),
        (&[], json!({}), 0),
    ] {
        let mut object = json!(namespace(finalizers, &more));
        object["apiVersion"] = "v1".into();
        object["kind"] = "Namespace".into();
        let plan = Namespaces.reconcile(&World::of(&[object]), &(String::new(), "a".into()), now());
        assert_eq!(plan.actions.len(), expected, "{finalizers:?} {more}");
        assert!(plan.actions.iter().all(|a| matches!(a, Action::Empty(_))));
    }
}

/// What is written for a namespace with these pods and Secrets, and whether that was all.
async fn written(of: &Namespace, pods: Value, secrets: Value) -> (Vec<fake_door::Write>, bool) {
    let resource =
        |name: &str| json!({"name": name, "namespaced": true, "verbs": ["list", "delete"]});
    let (client, mut told) = fake_door::client(&[
        (
            "/api/v1",
            json!({"resources": [resource("secrets"), resource("pods")]}),
        ),
        ("/api/v1/namespaces/a/pods", json!({"items": pods})),
        ("/api/v1/namespaces/a/secrets", json!({"items": secrets})),
    ]);
    let emptied = empty(&client, of, now()).await.unwrap();
    drop(client);
    let mut writes = Vec::new();
    while let Ok(write) = told.try_recv() {
        writes.push(write);
    }
    (writes, emptied.done)
}

#[tokio::test]
async fn pods_go_first_then_everything_then_the_namespace() {
    let of = namespace(&["other", FINALIZER], &json!({}));
    let ending = json!([{"metadata": {"name": "p", "finalizers": ["example.com/hold"],
        "deletionTimestamp": "2026-01-01T00:00:30Z"}}]);
    let secret = json!([{"metadata": {"name": "s"}}]);
    let (writes, done) = written(&of, ending.clone(), secret.clone()).await;
    assert!(!done);
    let [(path, status)] = writes.as_slice() else {
        panic!("{writes:?}");
    };
    assert_eq!(path, "PATCH /api/v1/namespaces/a/status");
    let said = |kind: &str| {
        let conditions = status["status"]["conditions"].as_array().unwrap();
        let one = conditions.iter().find(|c| c["type"] == kind).unwrap();
        (one["status"].clone(), one["message"].clone())
    };
    assert_eq!(
        said("NamespaceContentRemaining"),
        (
            json!("True"),
            json!("Some resources are remaining: pods. has 1 resource instances")
        )
    );
    assert_eq!(
        said("NamespaceFinalizersRemaining").1,
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    );
    assert_eq!(said("NamespaceDeletionContentFailure").0, "False");
    // The same verdict is not written again.
    let told = namespace(&[FINALIZER], &json!({"status": status["status"]}));
    let (writes, done) = written(&told, ending, secret.clone()).await;
    assert_eq!((writes.len(), done), (0, false));

    let (writes, done) = written(&of, json!([]), secret).await;
    let paths: Vec<&str> = writes.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "DELETE /api/v1/namespaces/a/secrets/s",
            "PUT /api/v1/namespaces/a/finalize"
        ]
    );
    assert!(done);
    // Others' finalizers stay.
    assert_eq!(writes[1].1["spec"]["finalizers"], json!(["other"]));
}
