//! Lists, pages and watches at revisions.

use super::{MAPS, config_map, server};
use serde_json::{Value, json};

const ROOT_CA: &str = "DELETE /api/v1/namespaces/default/configmaps/kube-root-ca.crt";

#[tokio::test]
async fn pages_show_one_revision() {
    let server = server().await;
    // The namespace was born with it.
    server.must(ROOT_CA, Value::Null).await;
    for name in ["a", "b", "c"] {
        server.must(&format!("POST {MAPS}"), config_map(name)).await;
    }
    let first = server.get(&format!("{MAPS}?limit=2")).await.1;
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&first), ["a", "b"]);
    let revision = first["metadata"]["resourceVersion"].as_str().unwrap();
    let token = first["metadata"]["continue"].as_str().unwrap();
    server.must(&format!("POST {MAPS}"), config_map("d")).await;
    let rest = server
        .get(&format!("{MAPS}?limit=2&continue={token}"))
        .await
        .1;
    assert_eq!(names(&rest), ["c"]);
    assert_eq!(rest["metadata"]["resourceVersion"], revision);
    // A limit makes the revision exact; without one it is the oldest allowed.
    let then = server
        .get(&format!("{MAPS}?limit=9&resourceVersion={revision}"))
        .await
        .1;
    assert_eq!(names(&then), ["a", "b", "c"]);
    let now = server
        .get(&format!("{MAPS}?resourceVersion={revision}"))
        .await
        .1;
    assert_eq!(names(&now), ["a", "b", "c", "d"]);
    for (query, code) in [
        (format!("continue={token}&resourceVersion={revision}"), 400),
        ("continue=x".to_owned(), 400),
        ("resourceVersion=x".to_owned(), 400),
        ("resourceVersionMatch=Exact".to_owned(), 400),
        ("resourceVersion=999999".to_owned(), 504),
        ("labelSelector=(".to_owned(), 400),
        ("fieldSelector=data.a%3Db".to_owned(), 400),
        ("limit=x".to_owned(), 400),
    ] {
        server
            .refused(&format!("GET {MAPS}?{query}"), Value::Null, code)
            .await;
    }
    server.raft.close().await;
}

#[tokio::test]
async fn watches_begin_where_they_are_asked_to() {
    let server = server().await;
    server.must(ROOT_CA, Value::Null).await;
    let made = server.must(&format!("POST {MAPS}"), config_map("a")).await;
    let revision = made["metadata"]["resourceVersion"].as_str().unwrap();
    let patch = json!({"metadata": {"labels": {"side": "port"}}});
    server.must(&format!("PATCH {MAPS}/a"), patch).await;
    server.must(&format!("DELETE {MAPS}/a"), Value::Null).await;
    let kinds = |events: Vec<(String, Value)>| -> Vec<String> {
        events.into_iter().map(|(kind, _)| kind).collect()
    };
    let from = format!("{MAPS}?watch=1&resourceVersion={revision}");
    assert_eq!(kinds(server.watch(&from, 2).await), ["MODIFIED", "DELETED"]);
    let port = format!("{from}&labelSelector=side%3Dport");
    assert_eq!(kinds(server.watch(&port, 2).await), ["ADDED", "DELETED"]);

    server.must(&format!("POST {MAPS}"), config_map("b")).await;
    let initial = format!(
        "{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let events = server.watch(&initial, 2).await;
    assert_eq!(events[0].0, "ADDED");
    assert_eq!(events[1].0, "BOOKMARK");
    let annotations = &events[1].1["metadata"]["annotations"];
    assert_eq!(annotations["k8s.io/initial-events-end"], "true");
    for (query, code) in [
        ("watch=1&sendInitialEvents=true", 400),
        ("watch=1&resourceVersionMatch=NotOlderThan", 400),
        ("watch=1&resourceVersion=999999", 504),
    ] {
        server
            .refused(&format!("GET {MAPS}?{query}"), Value::Null, code)
            .await;
    }
    server.raft.store.compact(server.raft.store.revision());
    server
        .refused(&format!("GET {from}"), Value::Null, 410)
        .await;
    server.raft.close().await;
}
