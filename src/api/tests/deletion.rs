//! What goes at once, what waits, and what stays.

use super::{MAPS, PODS, config_map, pod, server};
use serde_json::{Value, json};

#[tokio::test]
async fn a_trial_of_a_deletion_deletes_nothing() {
    let server = server().await;
    let map = format!("{MAPS}/a");
    server.must(&format!("POST {MAPS}"), config_map("a")).await;
    // client-go says it in the body, others in the query.
    let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]});
    server.must(&format!("DELETE {map}"), body.clone()).await;
    server.must(&format!("DELETE {MAPS}"), body).await;
    server
        .must(&format!("DELETE {map}?dryRun=All"), Value::Null)
        .await;
    assert_eq!(server.get(&map).await.0, 200);
    let odd = json!({"dryRun": ["Some"]});
    server.refused(&format!("DELETE {map}"), odd, 422).await;
    server.must(&format!("DELETE {map}"), Value::Null).await;
    assert_eq!(server.get(&map).await.0, 404);
    server.raft.close().await;
}

#[tokio::test]
async fn a_running_pod_gets_its_grace_and_goes_when_told() {
    let server = server().await;
    server.must(&format!("POST {PODS}"), pod("web")).await;
    let binding = json!({"target": {"kind": "Node", "name": "n"}});
    let bind = format!("POST {PODS}/web/binding");
    server
        .must(&format!("{bind}?dryRun=All"), binding.clone())
        .await;
    server.must(&bind, binding.clone()).await;
    let twice = server.refused(&bind, binding, 409).await;
    assert!(twice.contains("already assigned to node \"n\""), "{twice}");
    let going = server
        .must(
            &format!("DELETE {PODS}/web"),
            json!({"gracePeriodSeconds": 5}),
        )
        .await;
    assert_eq!(going["metadata"]["deletionGracePeriodSeconds"], 5);
    let held = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    let refused = server
        .refused(&format!("PATCH {PODS}/web"), held, 422)
        .await;
    assert!(
        refused.contains("no new finalizers can be added"),
        "{refused}"
    );
    let other = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "another"}});
    server
        .refused(&format!("DELETE {PODS}/web"), other, 409)
        .await;
    server
        .must(
            &format!("DELETE {PODS}/web?gracePeriodSeconds=0"),
            Value::Null,
        )
        .await;
    assert_eq!(server.get(&format!("{PODS}/web")).await.0, 404);
    server.raft.close().await;
}

/// Typed clients decode what upstream's OpenAPI promises for each kind.
#[tokio::test]
async fn what_a_finished_deletion_is_answered_with() {
    let server = server().await;
    let services = "/api/v1/namespaces/default/services";
    let service = json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}});
    server.must(&format!("POST {services}"), service).await;
    let told = server
        .must(&format!("DELETE {services}/a"), Value::Null)
        .await;
    assert_eq!(told["kind"], "Service");
    assert_eq!(told["spec"]["ports"][0]["port"], 80);
    server.must(&format!("POST {MAPS}"), config_map("a")).await;
    let told = server.must(&format!("DELETE {MAPS}/a"), Value::Null).await;
    assert_eq!(
        (&told["kind"], &told["status"]),
        (&"Status".into(), &"Success".into())
    );
    assert_eq!(told["details"]["kind"], "configmaps");
    server.raft.close().await;
}

#[tokio::test]
async fn the_last_finalizer_lets_an_object_go() {
    let server = server().await;
    let mut map = config_map("held");
    map["metadata"]["finalizers"] = json!(["example.com/one", "example.com/two"]);
    server.must(&format!("POST {MAPS}"), map).await;
    let path = format!("{MAPS}/held");
    server.must(&format!("DELETE {path}"), Value::Null).await;
    assert!(server.get(&path).await.1["metadata"]["deletionTimestamp"].is_string());
    for (left, code) in [(json!(["example.com/two"]), 200), (Value::Null, 404)] {
        let patch = json!({"metadata": {"finalizers": left}});
        server.must(&format!("PATCH {path}"), patch).await;
        assert_eq!(server.get(&path).await.0, code);
    }
    server.raft.close().await;
}

#[tokio::test]
async fn a_namespace_ends_by_finalize_and_some_never() {
    let server = server().await;
    let namespaces = "/api/v1/namespaces";
    let made = server
        .must(
            &format!("POST {namespaces}"),
            json!({"metadata": {"name": "doomed"}}),
        )
        .await;
    server
        .must(&format!("DELETE {namespaces}/doomed"), Value::Null)
        .await;
    let full = server
        .refused(
            &format!("POST {namespaces}/doomed/configmaps"),
            config_map("late"),
            403,
        )
        .await;
    assert!(full.contains("because it is being terminated"), "{full}");
    let finalize = format!("PUT {namespaces}/doomed/finalize");
    let mut stale = made.clone();
    stale["spec"]["finalizers"] = json!([]);
    server.refused(&finalize, stale, 409).await;
    let odd = json!({"metadata": {"name": "doomed"}, "spec": {"finalizers": [1]}});
    server.refused(&finalize, odd, 400).await;
    let free = json!({"metadata": {"name": "doomed"}, "spec": {"finalizers": []}});
    server.must(&finalize, free).await;
    assert_eq!(server.get(&format!("{namespaces}/doomed")).await.0, 404);

    let kept = server
        .refused(&format!("DELETE {namespaces}/default"), Value::Null, 403)
        .await;
    assert_eq!(
        kept,
        "namespaces \"default\" is forbidden: this namespace may not be deleted"
    );
    server
        .refused(&format!("DELETE {namespaces}"), Value::Null, 405)
        .await;
    server.raft.close().await;
}
