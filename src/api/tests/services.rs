//! Cluster addresses of Services: one Service each, and given back.

use super::{Server, server};
use serde_json::{Value, json};

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, address: Option<&str>) -> Value {
    let mut spec = json!({"ports": [{"port": 80}]});
    if let Some(address) = address {
        spec["clusterIP"] = address.into();
    }
    json!({"metadata": {"name": name}, "spec": spec})
}

fn claims(server: &Server) -> usize {
    let all = crate::store::ListOptions {
        prefix: "claims.clusterip/".into(),
        ..Default::default()
    };
    server.raft.store.list(&all).unwrap().items.len()
}

#[tokio::test]
async fn an_address_belongs_to_one_service_at_a_time() {
    let server = server().await;
    assert_eq!(claims(&server), 1);
    let create = format!("POST {SERVICES}");
    server.must(&create, service("a", Some("10.43.7.7"))).await;
    let taken = server
        .refused(&create, service("b", Some("10.43.7.7")), 422)
        .await;
    assert!(
        taken.contains("provided IP is already allocated"),
        "{taken}"
    );
    server
        .refused(&create, service("b", Some("192.0.2.1")), 422)
        .await;
    // Go's JSON sends the port that its client left out.
    let mut from_go = service("b", None);
    from_go["spec"]["ports"][0]["targetPort"] = 0.into();
    let given = server.must(&create, from_go).await;
    assert_eq!(given["spec"]["ports"][0]["targetPort"], 80);
    assert!(
        given["spec"]["clusterIP"]
            .as_str()
            .unwrap()
            .starts_with("10.43.")
    );
    server
        .must(&format!("{create}?dryRun=All"), service("c", None))
        .await;
    assert_eq!(claims(&server), 3);
    // The manifest as it was first given keeps the address.
    let again = server
        .must(&format!("PUT {SERVICES}/b"), service("b", None))
        .await;
    assert_eq!(again["spec"]["clusterIP"], given["spec"]["clusterIP"]);
    server
        .must(&format!("DELETE {SERVICES}/a"), Value::Null)
        .await;
    server.must(&create, service("c", Some("10.43.7.7"))).await;
    assert_eq!(claims(&server), 3);
    server.raft.close().await;
}

#[tokio::test]
async fn the_type_decides_about_the_address() {
    let server = server().await;
    server
        .must(&format!("POST {SERVICES}"), service("a", None))
        .await;
    let away = json!({"spec": {"type": "ExternalName", "externalName": "example.com", "clusterIP": null, "clusterIPs": null, "ipFamilies": null, "ipFamilyPolicy": null, "internalTrafficPolicy": null}});
    let outside = server.must(&format!("PATCH {SERVICES}/a"), away).await;
    assert_eq!(outside["spec"].get("clusterIP"), None);
    assert_eq!(claims(&server), 1);
    let back = json!({"spec": {"type": "ClusterIP", "externalName": null}});
    let inside = server.must(&format!("PATCH {SERVICES}/a"), back).await;
    assert!(
        inside["spec"]["clusterIP"]
            .as_str()
            .unwrap()
            .starts_with("10.43.")
    );
    assert_eq!(claims(&server), 2);
    server.raft.close().await;
}
