//! The loop itself, against an API server in memory.
#![allow(clippy::unwrap_used)]

use super::act::Outcome;
use super::action::{Action, Plan, Target};
use super::fake_door;
use super::runner::{Controller, Next, Runner};
use super::world::{Change, Key, World};
use crate::client::ClientError;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Wants the same of every namespace, for ever.
struct Stubborn;

impl Controller for Stubborn {
    fn name(&self) -> &'static str {
        "stubborn"
    }

    fn keys(&self, _: &World, _: &Change) -> Vec<Key> {
        vec![("a".into(), "one".into())]
    }

    fn reconcile(&self, _: &World, key: &Key, _: Timestamp) -> Plan {
        let target = Target::named::<Namespace>("", &key.1);
        Plan::of(vec![Action::Confirm(target)])
    }
}

#[test]
fn what_always_fails_is_tried_seldom() {
    for outdated in [false, true] {
        let mut runner = Runner::new(vec![Box::new(Stubborn)]);
        let mut now = Instant::now();
        let end = now + Duration::from_hours(1);
        runner.on_changes([Change::Population(Arc::from("a"))], now);
        let mut tries = 0;
        while now < end {
            if let Next::Do(key, _) = runner.next(now, Timestamp::UNIX_EPOCH) {
                tries += 1;
                let outcome = Outcome {
                    failure: (!outdated).then(|| ClientError::Decode("no".into())),
                    outdated,
                    ..Outcome::default()
                };
                runner.finish(&key, outcome, now);
            }
            now = runner.wake().unwrap();
        }
        // Twice a minute, after the first few.
        assert!((100..=130).contains(&tries), "{tries}");
    }
}

#[tokio::test]
async fn accounts_and_certificates_are_made_and_an_empty_ending_namespace_is_finalized() {
    let namespaces = json!({"items": [
        {"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {"finalizers": ["kubernetes"]}},
        {"metadata": {"name": "b", "resourceVersion": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"},
         "spec": {"finalizers": ["kubernetes"]}}
    ]});
    let discovery = json!({"resources": [
        {"name": "secrets", "namespaced": true, "verbs": ["list", "delete"]}
    ]});
    let (client, mut told) = fake_door::client(&[
        ("/api/v1/namespaces", namespaces),
        ("/api/v1/serviceaccounts", json!({"items": []})),
        ("/api/v1/configmaps", json!({"items": []})),
        ("/api/v1/pods", json!({"items": []})),
        ("/api/v1/nodes", json!({"items": []})),
        ("/api/v1/secrets", json!({"items": []})),
        ("/api/v1/persistentvolumes", json!({"items": []})),
        ("/api/v1/persistentvolumeclaims", json!({"items": []})),
        (
            "/apis/storage.k8s.io/v1/storageclasses",
            json!({"items": []}),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            json!({"items": []}),
        ),
        ("/api/v1/replicationcontrollers", json!({"items": []})),
        ("/apis/apps/v1/deployments", json!({"items": []})),
        ("/apis/apps/v1/replicasets", json!({"items": []})),
        ("/apis/apps/v1/daemonsets", json!({"items": []})),
        ("/apis/apps/v1/statefulsets", json!({"items": []})),
        ("/apis/apps/v1/controllerrevisions", json!({"items": []})),
        ("/apis/batch/v1/jobs", json!({"items": []})),
        ("/apis/batch/v1/cronjobs", json!({"items": []})),
        ("/apis/apps/v1/statefulsets", json!({"items": []})),
        ("/api/v1/services", json!({"items": []})),
        ("/api/v1/endpoints", json!({"items": []})),
        (
            "/apis/discovery.k8s.io/v1/endpointslices",
            json!({"items": []}),
        ),
        ("/apis/policy/v1/poddisruptionbudgets", json!({"items": []})),
        (
            "/apis/autoscaling/v2/horizontalpodautoscalers",
            json!({"items": []}),
        ),
        ("/api/v1/resourcequotas", json!({"items": []})),
        ("/api/v1", discovery),
    ]);
    let stop = CancellationToken::new();
    let running = tokio::spawn(super::run(client, super::Settings::test(), stop.clone()));
    let mut writes = Vec::new();
    for _ in 0..3 {
        writes.push(told.recv().await.unwrap());
    }
    writes.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(writes[0].0, "POST /api/v1/namespaces/a/configmaps");
    assert_eq!(writes[0].1["data"]["ca.crt"], "certificate");
    assert_eq!(writes[1].0, "POST /api/v1/namespaces/a/serviceaccounts");
    assert_eq!(writes[1].1["metadata"]["name"], "default");
    assert_eq!(writes[2].0, "PUT /api/v1/namespaces/b/finalize");
    assert_eq!(writes[2].1["spec"]["finalizers"], json!([]));
    stop.cancel();
    running.await.unwrap();
}
