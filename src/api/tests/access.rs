//! Who is let in, and how far.

use super::{MAPS, PODS, Server, config_map, pod, server};
use crate::api::User;
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

fn user(name: &str, groups: &[&str]) -> User {
    User {
        name: name.into(),
        groups: groups.iter().map(|&group| group.into()).collect(),
        ..User::default()
    }
}

fn node(name: &str) -> User {
    user(&format!("system:node:{name}"), &["system:nodes"])
}

impl Server {
    /// The answer's code and body for a request of `user` (`None`: anonymous).
    async fn as_user(&self, user: Option<User>, text: &str, body: Value) -> (u16, Value) {
        let (method, path) = text.split_once(' ').unwrap();
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let media = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media)
            .body(body)
            .unwrap();
        let response = self.api.handle(user, request).await;
        let code = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        (code, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Whom a bearer token names; `Err`: the code of the refusal.
    fn bearer(&self, token: &str) -> Result<Option<User>, u16> {
        let mut request = Request::get("/api")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        let user = self.api.authenticate(None, &mut request);
        assert!(request.headers().get("authorization").is_none());
        user.map_err(|error| error.code)
    }
}

#[tokio::test]
async fn a_token_is_good_as_long_as_its_account_is() {
    let server = server().await;
    let asked = server
        .must(
            &format!("POST {ACCOUNTS}/default/token"),
            json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {}}),
        )
        .await;
    let token = asked["status"]["token"].as_str().unwrap();
    assert_eq!(asked["spec"]["expirationSeconds"], 3600);
    let named = server.bearer(token).unwrap().unwrap();
    assert_eq!(named.name, "system:serviceaccount:default:default");
    for stranger in ["", "x", "a.b.c"] {
        assert_eq!(server.bearer(stranger), Err(401), "{stranger}");
    }
    // A certificate counts before a token, whatever that is.
    let mut request = Request::get("/api")
        .header("authorization", "Bearer x")
        .body(Body::empty())
        .unwrap();
    let jo = Some(user("jo", &[]));
    assert_eq!(server.api.authenticate(jo.clone(), &mut request), Ok(jo));
    let gone = format!("DELETE {ACCOUNTS}/default");
    server.must(&gone, Value::Null).await;
    assert_eq!(server.bearer(token), Err(401));
    let again = json!({"metadata": {"name": "default"}});
    server.must(&format!("POST {ACCOUNTS}"), again).await;
    assert_eq!(
        server.bearer(token),
        Err(401),
        "another account of the name"
    );
    server.raft.close().await;
}

#[tokio::test]
async fn the_anonymous_see_health_and_version_only() {
    let server = server().await;
    for (path, code) in [
        ("/version", 200),
        ("/readyz", 200),
        ("/apis", 401),
        ("/openid/v1/jwks", 401),
        ("/api/v1/pods", 401),
        ("/nothing", 401),
    ] {
        let (found, _) = server
            .as_user(None, &format!("GET {path}"), Value::Null)
            .await;
        assert_eq!(found, code, "{path}");
    }
    server.raft.close().await;
}

#[tokio::test]
async fn a_new_binding_counts_at_once_also_past_the_history() {
    let server = server().await;
    let jo = || Some(user("jo", &["system:authenticated"]));
    let binding = json!({
        "metadata": {"name": "jo"}, "subjects": [{"kind": "User", "name": "jo"}],
        "roleRef": {"kind": "ClusterRole", "name": "view"},
    });
    let first = server
        .as_user(jo(), &format!("GET {MAPS}"), Value::Null)
        .await;
    assert_eq!(first.0, 403);
    server
        .must(&format!("POST {BINDINGS}"), binding.clone())
        .await;
    let second = server
        .as_user(jo(), &format!("GET {MAPS}"), Value::Null)
        .await;
    assert_eq!(second.0, 200);
    server
        .must(&format!("DELETE {BINDINGS}/jo"), Value::Null)
        .await;
    // History is gone before the policy is asked again.
    server.must(&format!("POST {MAPS}"), config_map("a")).await;
    server.raft.store.compact(server.raft.store.revision());
    let third = server
        .as_user(jo(), &format!("GET {MAPS}"), Value::Null)
        .await;
    assert_eq!(third.0, 403);
    server.must(&format!("POST {BINDINGS}"), binding).await;
    server.raft.store.compact(server.raft.store.revision());
    let fourth = server
        .as_user(jo(), &format!("GET {MAPS}"), Value::Null)
        .await;
    assert_eq!(fourth.0, 200);
    server.raft.close().await;
}

#[tokio::test]
async fn a_node_has_what_its_pods_need() {
    let server = server().await;
    for name in ["used", "other"] {
        let secret = json!({"metadata": {"name": name}});
        server.must(&format!("POST {SECRETS}"), secret).await;
    }
    let mut web = pod("web");
    web["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "used"}}]);
    server.must(&format!("POST {PODS}"), web).await;
    let code = |name: &str, text: String, body: Value| {
        let (server, name) = (&server, name.to_owned());
        async move { server.as_user(Some(node(&name)), &text, body).await.0 }
    };
    let used = format!("GET {SECRETS}/used");
    assert_eq!(code("n", used.clone(), Value::Null).await, 403);
    let binding = json!({"target": {"kind": "Node", "name": "n"}});
    server
        .must(&format!("POST {PODS}/web/binding"), binding)
        .await;
    let token =
        json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "web"}}});
    let status = json!({"status": {"phase": "Running"}});
    let mirror = json!({
        "metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}},
        "spec": {"nodeName": "n", "containers": [{"name": "one", "image": "example.local/one:1"}]},
    });
    for (name, text, body, expected) in [
        ("n", used.clone(), Value::Null, 200),
        ("m", used, Value::Null, 403),
        ("n", format!("GET {SECRETS}/other"), Value::Null, 403),
        ("n", format!("GET {SECRETS}"), Value::Null, 403),
        ("n", format!("PATCH {PODS}/web/status"), status.clone(), 200),
        ("m", format!("PATCH {PODS}/web/status"), status, 403),
        ("n", "PATCH /api/v1/nodes/m".to_owned(), json!({}), 403),
        ("n", "PATCH /api/v1/nodes/n".to_owned(), json!({}), 404),
        (
            "n",
            format!("POST {ACCOUNTS}/default/token"),
            token.clone(),
            201,
        ),
        ("m", format!("POST {ACCOUNTS}/default/token"), token, 403),
        (
            "n",
            format!("POST {ACCOUNTS}/default/token"),
            json!({"spec": {}}),
            403,
        ),
        ("n", format!("POST {PODS}"), pod("own"), 403),
        ("m", format!("POST {PODS}"), mirror.clone(), 403),
        ("n", format!("POST {PODS}"), mirror, 201),
    ] {
        let found = code(name, text.clone(), body).await;
        assert_eq!(found, expected, "{name} {text}");
    }
    server.raft.close().await;
}

#[tokio::test]
async fn a_second_start_writes_nothing() {
    let server = server().await;
    let before = server.raft.store.revision();
    crate::api::bootstrap::bootstrap(&server.api).await.unwrap();
    assert_eq!(server.raft.store.revision(), before);
    server.raft.close().await;
}
