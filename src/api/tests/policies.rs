//! Quotas, limits, priorities, budgets and Leases, each with others in the way.

use super::{config_map, server};
use futures::future::join_all;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";
const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";

fn pod(name: &str, spec: Value) -> Value {
    let mut whole = json!({"containers": [{"name": "a", "image": "example.local/a:1"}]});
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    json!({"metadata": {"name": name, "labels": {"app": "web"}}, "spec": whole})
}

fn with_resources(name: &str, resources: Value) -> Value {
    let mut pod = pod(name, json!({}));
    pod["spec"]["containers"][0]["resources"] = resources;
    pod
}

#[tokio::test]
async fn fifty_at_once_get_what_the_quota_has() {
    let server = server().await;
    server
        .must(
            &format!("POST {QUOTAS}"),
            json!({"metadata": {"name": "few"}, "spec": {"hard": {"count/configmaps": "7"}}}),
        )
        .await;
    let (_, present) = server.get("/api/v1/namespaces/default/configmaps").await;
    let present = present["items"].as_array().unwrap().len();
    let tries = (0..50).map(|number| {
        let server = &server;
        async move {
            let text = "POST /api/v1/namespaces/default/configmaps";
            server.ask(text, config_map(&format!("c{number}"))).await
        }
    });
    let answers = join_all(tries).await;
    let made = answers.iter().filter(|(code, _)| *code == 201).count();
    assert_eq!(made + present, 7);
    for (code, answer) in answers.iter().filter(|(code, _)| *code != 201) {
        assert_eq!(*code, 403, "{answer}");
        let said = answer["message"].as_str().unwrap();
        assert!(
            said.ends_with("is forbidden: exceeded quota: few, requested: count/configmaps=1, used: count/configmaps=7, limited: count/configmaps=7"),
            "{said}"
        );
    }
    let (_, quota) = server.get(&format!("{QUOTAS}/few")).await;
    assert_eq!(quota["status"]["used"], json!({"count/configmaps": "7"}));
    assert_eq!(quota["status"]["hard"], quota["spec"]["hard"]);
}

#[tokio::test]
async fn quotas_of_what_pods_ask_for() {
    let server = server().await;
    // What is there already counts.
    let first = with_resources("first", json!({"requests": {"cpu": "300m"}}));
    server.must(&format!("POST {PODS}"), first).await;
    let quota =
        json!({"metadata": {"name": "cpu"}, "spec": {"hard": {"requests.cpu": "1", "pods": "5"}}});
    server.must(&format!("POST {QUOTAS}"), quota).await;
    let said = server
        .refused(&format!("POST {PODS}"), pod("silent", json!({})), 403)
        .await;
    assert!(
        said.ends_with("failed quota: cpu: must specify requests.cpu for: a"),
        "{said}"
    );
    let second = with_resources("second", json!({"requests": {"cpu": "500m"}}));
    server
        .must(&format!("POST {PODS}?dryRun=All"), second.clone())
        .await;
    server.must(&format!("POST {PODS}"), second).await;
    let third = with_resources("third", json!({"requests": {"cpu": "300m"}}));
    let said = server.refused(&format!("POST {PODS}"), third, 403).await;
    assert_eq!(
        said,
        "pods \"third\" is forbidden: exceeded quota: cpu, requested: requests.cpu=300m, used: requests.cpu=800m, limited: requests.cpu=1"
    );
}

#[tokio::test]
async fn limit_ranges_fill_and_bound() {
    let server = server().await;
    let range = json!({"metadata": {"name": "sizes"}, "spec": {"limits": [
        {"type": "Container", "max": {"memory": "64Mi"}, "default": {"memory": "32Mi"}, "defaultRequest": {"memory": "16Mi"}},
    ]}});
    server
        .must("POST /api/v1/namespaces/default/limitranges", range)
        .await;
    let made = server
        .must(&format!("POST {PODS}"), pod("plain", json!({})))
        .await;
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({"limits": {"memory": "32Mi"}, "requests": {"memory": "16Mi"}})
    );
    assert_eq!(made["status"]["qosClass"], "Burstable");
    let large = with_resources("large", json!({"limits": {"memory": "1Gi"}}));
    let said = server.refused(&format!("POST {PODS}"), large, 403).await;
    assert!(
        said.contains("maximum memory usage per Container is 64Mi, but limit is 1Gi"),
        "{said}"
    );
}

#[tokio::test]
async fn classes_give_priorities() {
    let server = server().await;
    let class = |name: &str, value: i64, default: bool| json!({"metadata": {"name": name}, "value": value, "globalDefault": default});
    let made = server
        .must(&format!("POST {PODS}"), pod("none", json!({})))
        .await;
    assert_eq!(made["spec"]["priority"], 0);
    for (name, value) in [("high", 1000), ("low", 10)] {
        server
            .must(
                &format!("POST {CLASSES}"),
                class(name, value, name == "low"),
            )
            .await;
    }
    for (name, spec, priority) in [
        ("b", json!({"priorityClassName": "high"}), 1000),
        ("c", json!({}), 10),
        (
            "d",
            json!({"priorityClassName": "system-node-critical"}),
            2_000_001_000,
        ),
    ] {
        let made = server.must(&format!("POST {PODS}"), pod(name, spec)).await;
        assert_eq!(made["spec"]["priority"], priority, "{name}");
    }
    let unknown = pod("x", json!({"priorityClassName": "odd"}));
    let said = server.refused(&format!("POST {PODS}"), unknown, 403).await;
    assert_eq!(
        said,
        "pods \"x\" is forbidden: no PriorityClass with name odd was found"
    );
    let second = class("second", 5, true);
    let said = server
        .refused(&format!("POST {CLASSES}"), second, 403)
        .await;
    assert!(said.contains("Only one default can exist"), "{said}");
    // A client that does not know the field does not clear it.
    let change = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"priority": null}});
    let changed = server.must(&format!("PATCH {PODS}/b"), change).await;
    assert_eq!(changed["spec"]["priority"], 1000);
}

#[tokio::test]
async fn evictions_at_once_share_one_budget() {
    let server = server().await;
    let names: Vec<String> = (0..10).map(|number| format!("web-{number}")).collect();
    for name in &names {
        server
            .must(&format!("POST {PODS}"), pod(name, json!({"nodeName": "n"})))
            .await;
        let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        server
            .must(&format!("PATCH {PODS}/{name}/status"), status)
            .await;
    }
    let budget = json!({"metadata": {"name": "web"}, "spec": {"maxUnavailable": 3, "selector": {"matchLabels": {"app": "web"}}}});
    server.must(&format!("POST {BUDGETS}"), budget).await;
    let status = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": 3, "currentHealthy": 10, "desiredHealthy": 7, "expectedPods": 10}});
    server
        .must(&format!("PATCH {BUDGETS}/web/status"), status)
        .await;
    let evict = |name: String, query: &'static str| {
        let server = &server;
        let body =
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        async move {
            let text = format!("POST {PODS}/{name}/eviction{query}");
            server.ask(&text, body).await
        }
    };
    assert_eq!(evict(names[0].clone(), "?dryRun=All").await.0, 201);
    let answers = join_all(names.iter().map(|name| evict(name.clone(), ""))).await;
    assert_eq!(answers.iter().filter(|(code, _)| *code == 201).count(), 3);
    for (code, answer) in answers.iter().filter(|(code, _)| *code != 201) {
        assert_eq!(*code, 429, "{answer}");
        assert_eq!(answer["details"]["causes"][0]["reason"], "DisruptionBudget");
    }
    let (_, budget) = server.get(&format!("{BUDGETS}/web")).await;
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    let gone = budget["status"]["disruptedPods"].as_object().unwrap();
    assert_eq!(gone.len(), 3);
    for name in gone.keys() {
        let (_, pod) = server.get(&format!("{PODS}/{name}")).await;
        assert!(pod["metadata"]["deletionTimestamp"].is_string(), "{pod}");
        assert_eq!(
            pod["status"]["conditions"][1]["reason"],
            "EvictionByEvictionAPI"
        );
        // It is on its way already: asking again costs nothing.
        assert_eq!(evict(name.clone(), "").await.0, 201);
    }
    let second = json!({"metadata": {"name": "again"}, "spec": {"selector": {}}});
    server.must(&format!("POST {BUDGETS}"), second).await;
    let left = names.iter().find(|name| !gone.contains_key(*name)).unwrap();
    let (code, answer) = evict(left.clone(), "").await;
    assert_eq!(code, 500);
    assert_eq!(
        answer["message"],
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    );
    server
        .must(&format!("POST {PODS}"), pod("idle", json!({})))
        .await;
    assert_eq!(evict("idle".into(), "").await.0, 201);
    assert_eq!(server.get(&format!("{PODS}/idle")).await.0, 404);
    assert_eq!(evict("idle".into(), "").await.0, 404);
}

#[tokio::test]
async fn renewals_are_kept_in_memory() {
    let server = server().await;
    let lease = json!({"metadata": {"name": "l"}, "spec": {
        "holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}});
    let made = server.must(&format!("POST {LEASES}"), lease).await;
    let path = format!("{LEASES}/l");
    let revision = server.raft.store.revision();
    let at = |held: &Value, second: u32| {
        let mut lease = held.clone();
        lease["spec"]["renewTime"] = format!("2026-01-01T00:00:{second:02}.000000Z").into();
        lease
    };
    let mut held = made.clone();
    for second in 1..5 {
        held = server.must(&format!("PUT {path}"), at(&held, second)).await;
        let (_, shown) = server.get(&path).await;
        assert_eq!(shown, held);
    }
    // Nothing was written, and the list shows the last.
    assert_eq!(server.raft.store.revision(), revision);
    let (_, list) = server.get(LEASES).await;
    assert_eq!(list["items"], json!([held]));
    // Who saw an older one is refused, whether it renews or takes over.
    server
        .refused(&format!("PUT {path}"), at(&made, 9), 409)
        .await;
    let mut stolen = made.clone();
    stolen["spec"]["holderIdentity"] = "b".into();
    server.refused(&format!("PUT {path}"), stolen, 409).await;
    // A watch from a renewed lease's revision begins where it was stored.
    let mut taken = held.clone();
    taken["spec"]["holderIdentity"] = "b".into();
    let taken = server.must(&format!("PUT {path}"), taken).await;
    assert!(server.raft.store.revision() > revision);
    let from = held["metadata"]["resourceVersion"].as_str().unwrap();
    let events = server
        .watch(&format!("{LEASES}?watch=1&resourceVersion={from}"), 1)
        .await;
    assert_eq!(events[0].1, taken);
    server
        .refused(&format!("PUT {path}"), at(&held, 10), 409)
        .await;
    let again = server.must(&format!("PUT {path}"), at(&taken, 11)).await;
    let removed = server.must(&format!("DELETE {path}"), Value::Null).await;
    assert_eq!(removed["status"], "Success");
    server
        .refused(&format!("PUT {path}"), at(&again, 12), 404)
        .await;
}

/// Of many who renew at once what they all saw, one is right.
#[tokio::test]
async fn renewals_at_once_have_one_winner() {
    let server = server().await;
    let lease = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "a", "renewTime": "2026-01-01T00:00:00.000000Z"}});
    let seen = server.must(&format!("POST {LEASES}"), lease).await;
    let tries = (0..20).map(|number| {
        let (server, mut lease) = (&server, seen.clone());
        lease["spec"]["renewTime"] = format!("2026-01-01T00:01:{number:02}.000000Z").into();
        if number % 5 == 4 {
            lease["spec"]["holderIdentity"] = number.to_string().into();
        }
        async move { server.ask(&format!("PUT {LEASES}/l"), lease).await.0 }
    });
    let codes = join_all(tries).await;
    assert_eq!(
        codes.iter().filter(|code| **code == 200).count(),
        1,
        "{codes:?}"
    );
    assert_eq!(
        codes.iter().filter(|code| **code == 409).count(),
        19,
        "{codes:?}"
    );
}
