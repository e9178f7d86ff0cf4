//! What is not taken, and in what words.

use super::{MAPS, PODS, admin, config_map, pod, server};
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

#[tokio::test]
async fn errors_are_worded_as_upstream_words_them() {
    let server = server().await;
    let create = format!("POST {MAPS}");
    server.must(&create, config_map("a")).await;
    server.must(&format!("POST {PODS}"), pod("web")).await;
    for (text, body, code, message) in [
        (
            &*create,
            config_map("a"),
            409,
            "configmaps \"a\" already exists",
        ),
        (
            "GET /api/v1/namespaces/default/configmaps/none",
            Value::Null,
            404,
            "configmaps \"none\" not found",
        ),
        (
            "POST /api/v1/namespaces/none/configmaps",
            config_map("a"),
            404,
            "namespaces \"none\" not found",
        ),
        (
            "GET /api/v1/trees",
            Value::Null,
            404,
            "the server could not find the requested resource",
        ),
        (
            "GET /api/v1/namespaces/default/configmaps/a/status/x",
            Value::Null,
            404,
            "the server could not find the requested resource",
        ),
        (
            "PUT /api/v1/namespaces/default/configmaps",
            config_map("a"),
            405,
            "the server does not allow this method on the requested resource",
        ),
        (
            "DELETE /api/v1/namespaces/default/pods/web/log",
            Value::Null,
            405,
            "the server does not allow this method on the requested resource",
        ),
        (
            "PUT /api/v1/namespaces/default/configmaps/a",
            json!({"metadata": {"name": "a", "resourceVersion": "1"}}),
            409,
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again",
        ),
        (
            "POST /api/v1/namespaces/default/configmaps?fieldValidation=Strict",
            json!({"metadata": {"name": "b"}, "dta": {}}),
            400,
            "strict decoding error: unknown field \"dta\"",
        ),
        (
            &*create,
            json!({"metadata": {"name": "A"}}),
            422,
            "ConfigMap \"A\" is invalid: metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        (
            "GET /api/v1/namespaces/default/pods/web/log",
            Value::Null,
            400,
            "pod web does not have a host assigned",
        ),
    ] {
        assert_eq!(server.refused(text, body, code).await, message, "{text}");
    }
    server.raft.close().await;
}

#[tokio::test]
async fn what_no_client_could_read_is_not_written() {
    let server = server().await;
    let blind = Request::post(MAPS)
        .header("accept", "application/vnd.kubernetes.protobuf")
        .body(Body::from(config_map("blind").to_string()))
        .unwrap();
    assert_eq!(server.send(blind).await.0, 406);
    assert_eq!(server.get(&format!("{MAPS}/blind")).await.0, 404);

    server
        .must(&format!("POST {MAPS}"), config_map("deep"))
        .await;
    let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let patch = json!({"unknown": deep(121)});
    let refused = server
        .refused(&format!("PATCH {MAPS}/deep"), patch, 400)
        .await;
    assert!(refused.contains("nested"), "{refused}");
    for (media, text) in [
        ("application/json", "[".repeat(1 << 20)),
        ("application/yaml", "[".repeat(1 << 20)),
        ("application/json", "{\"a\":".repeat(1 << 18)),
    ] {
        let request = Request::post(MAPS)
            .header("content-type", media)
            .body(Body::from(text))
            .unwrap();
        assert_eq!(server.send(request).await.0, 400, "{media}");
    }
    let huge = Request::post(MAPS)
        .body(Body::from(
            " ".repeat(super::super::body::BODY_BYTES_MAX + 1),
        ))
        .unwrap();
    assert_eq!(server.send(huge).await.0, 413);
    server.raft.close().await;
}

#[tokio::test]
async fn nobody_borrows_the_rights_of_another() {
    let server = server().await;
    let request = Request::get("/api/v1/secrets")
        .header("Impersonate-User", "eve")
        .body(Body::empty())
        .unwrap();
    assert_eq!(server.send(request).await.0, 403);
    let anonymous = Request::get("/api/v1/secrets").body(Body::empty()).unwrap();
    assert_eq!(server.api.handle(None, anonymous).await.status(), 401);
    let own = Request::get("/api/v1/secrets").body(Body::empty()).unwrap();
    assert_eq!(server.api.handle(Some(admin()), own).await.status(), 200);
    server.raft.close().await;
}
