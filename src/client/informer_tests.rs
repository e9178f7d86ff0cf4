//! The informer against a scripted door.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::client::Door;
use axum::body::Body;
use futures::StreamExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// Gives its answers in order and remembers what it was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Door for Script {
    fn call(
        &self,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, ClientError>> {
        let answer = self.answers.lock().unwrap().pop_front();
        self.asked.lock().unwrap().push(request.uri().to_string());
        Box::pin(async move {
            let Some((status, body)) = answer else {
                return std::future::pending().await;
            };
            Ok(Response::builder()
                .status(status)
                .body(Body::from(body))
                .unwrap())
        })
    }
}

fn item(name: &str, version: u32) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","namespace":"default","resourceVersion":"{version}"}}}}"#
    )
}

fn list(items: &[String], version: u32, next: &str) -> (u16, String) {
    let items = items.join(",");
    (
        200,
        format!(
            r#"{{"kind":"ConfigMapList","apiVersion":"v1","metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":[{items}]}}"#
        ),
    )
}

fn tell(event: &Event<ConfigMap>) -> String {
    let name = |object: &ConfigMap| object.metadata.name.clone().unwrap_or_default();
    match event {
        Event::Restarted(items) => {
            let names: Vec<_> = items.iter().map(name).collect();
            format!("restarted {}", names.join(","))
        }
        Event::Applied(object) => format!("applied {}", name(object)),
        Event::Deleted(object) => format!("deleted {}", name(object)),
    }
}

#[tokio::test]
async fn pages_events_bookmarks_and_lost_history() {
    let script = Script::default();
    let watch = [
        format!(r#"{{"type":"ADDED","object":{}}}"#, item("c", 8)),
        r#"{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"12"}}}"#.to_owned(),
        format!(r#"{{"type":"DELETED","object":{}}}"#, item("a", 13)),
    ]
    .join("\n");
    let gone = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}"#;
    script.answers.lock().unwrap().extend([
        list(&[item("a", 1)], 7, "more"),
        list(&[item("b", 2)], 7, ""),
        (200, watch),
        (200, gone.to_owned()),
        list(&[item("b", 2)], 20, ""),
        (410, "gone".to_owned()),
        list(&[], 21, ""),
    ]);
    let client = Client::new(script.clone());
    let scope = Scope {
        namespace: Some("default".to_owned()),
        label_selector: Some("a=b".to_owned()),
        field_selector: None,
    };
    let events: Vec<_> = informer::<ConfigMap>(&client, scope)
        .take(5)
        .map(|event| tell(&event))
        .collect()
        .await;
    assert_eq!(
        events,
        [
            "restarted a,b",
            "applied c",
            "deleted a",
            "restarted b",
            "restarted "
        ]
    );
    let asked = script.asked.lock().unwrap().clone();
    assert_eq!(
        asked[1],
        "/api/v1/namespaces/default/configmaps?limit=500&labelSelector=a%3Db&continue=more"
    );
    assert!(asked[2].contains("watch=1&allowWatchBookmarks=true&resourceVersion=7"));
    assert!(
        asked[3].contains("resourceVersion=13"),
        "goes on from the last event"
    );
}

#[tokio::test]
async fn failures_are_tried_again() {
    let script = Script::default();
    script.answers.lock().unwrap().extend([
        (503, "not ready".to_owned()),
        list(&[item("a", 1)], 1, ""),
        (200, "{broken\n".to_owned()),
        list(&[], 2, ""),
    ]);
    let events: Vec<_> = informer::<ConfigMap>(&Client::new(script), Scope::default())
        .take(2)
        .map(|event| tell(&event))
        .collect()
        .await;
    assert_eq!(events, ["restarted a", "restarted "]);
}
