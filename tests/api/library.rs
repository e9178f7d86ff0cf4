//! The `kube` crate as a client: create, watch from a revision, 410 after compaction.

use crate::common::TestNode;
use crate::namespace;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::{Api, Client, Config, ResourceExt};

pub const TESTS: &[(&str, fn())] = &[
    ("create_get_patch_delete", create_get_patch_delete),
    (
        "watch_resumes_from_a_revision",
        watch_resumes_from_a_revision,
    ),
    (
        "old_revisions_are_gone_after_compaction",
        old_revisions_are_gone_after_compaction,
    ),
    (
        "watch_sees_objects_enter_and_leave_a_selector",
        watch_sees_objects_enter_and_leave_a_selector,
    ),
];

fn with_client<F: Future<Output = ()>>(node: &TestNode, work: impl FnOnce(Client) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime.block_on(async {
        let kubeconfig =
            kube::config::Kubeconfig::read_from(node.kubeconfig()).expect("kubeconfig");
        let config = Config::from_custom_kubeconfig(kubeconfig, &Default::default())
            .await
            .expect("config");
        work(Client::try_from(config).expect("client")).await;
    });
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: kube::api::ObjectMeta {
            name: Some(name.into()),
            ..Default::default()
        },
        data: Some([("value".to_owned(), value.to_owned())].into()),
        ..Default::default()
    }
}

fn create_get_patch_delete() {
    let node = namespace("library");
    with_client(&node, |client| async move {
        let maps: Api<ConfigMap> = Api::namespaced(client, "library");
        let made = maps
            .create(&PostParams::default(), &config_map("one", "1"))
            .await
            .expect("create");
        assert!(made.uid().is_some() && made.resource_version().is_some());
        let twice = maps
            .create(&PostParams::default(), &config_map("one", "1"))
            .await
            .expect_err("already there");
        assert!(
            matches!(&twice, kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists"),
            "{twice:?}"
        );
        let patch = serde_json::json!({"data": {"value": "2"}});
        let patched = maps
            .patch("one", &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .expect("patch");
        assert_eq!(patched.data.as_ref().expect("data")["value"], "2");
        let mut stale = made.clone();
        stale.data = Some([("value".to_owned(), "3".to_owned())].into());
        let conflict = maps
            .replace("one", &PostParams::default(), &stale)
            .await
            .expect_err("stale");
        assert!(
            matches!(&conflict, kube::Error::Api(status) if status.code == 409 && status.reason == "Conflict"),
            "{conflict:?}"
        );
        maps.delete("one", &DeleteParams::default())
            .await
            .expect("delete");
        let gone = maps.get("one").await.expect_err("gone");
        assert!(
            matches!(&gone, kube::Error::Api(status) if status.code == 404),
            "{gone:?}"
        );
    });
}

fn watch_resumes_from_a_revision() {
    let node = namespace("resumes");
    with_client(&node, |client| async move {
        let maps: Api<ConfigMap> = Api::namespaced(client, "resumes");
        let first = maps
            .create(&PostParams::default(), &config_map("first", "1"))
            .await
            .expect("create");
        for name in ["second", "third"] {
            maps.create(&PostParams::default(), &config_map(name, "1"))
                .await
                .expect("create");
        }
        maps.delete("second", &DeleteParams::default())
            .await
            .expect("delete");
        let from = first.resource_version().expect("resourceVersion");
        let events = maps
            .watch(&WatchParams::default().timeout(20), &from)
            .await
            .expect("watch")
            .boxed();
        let seen: Vec<String> = events
            .try_filter_map(|event| async move {
                Ok(match event {
                    WatchEvent::Added(map) => Some(format!("+{}", map.name_any())),
                    WatchEvent::Deleted(map) => Some(format!("-{}", map.name_any())),
                    _ => None,
                })
            })
            .take(3)
            .try_collect()
            .await
            .expect("events");
        assert_eq!(seen, ["+second", "+third", "-second"]);
    });
}

fn watch_sees_objects_enter_and_leave_a_selector() {
    let node = namespace("selected");
    with_client(&node, |client| async move {
        let maps: Api<ConfigMap> = Api::namespaced(client, "selected");
        let start = maps
            .list(&ListParams::default())
            .await
            .expect("list")
            .metadata
            .resource_version
            .expect("revision");
        maps.create(&PostParams::default(), &config_map("mover", "1"))
            .await
            .expect("create");
        for colour in ["red", "blue"] {
            let patch = serde_json::json!({"metadata": {"labels": {"colour": colour}}});
            maps.patch("mover", &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .expect("patch");
        }
        let parameters = WatchParams::default().labels("colour=red").timeout(20);
        let events = maps
            .watch(&parameters, &start)
            .await
            .expect("watch")
            .boxed();
        let seen: Vec<&str> = events
            .try_filter_map(|event| async move {
                Ok(match event {
                    WatchEvent::Added(_) => Some("added"),
                    WatchEvent::Modified(_) => Some("modified"),
                    WatchEvent::Deleted(_) => Some("deleted"),
                    _ => None,
                })
            })
            .take(2)
            .try_collect()
            .await
            .expect("events");
        assert_eq!(seen, ["added", "deleted"]);
    });
}

fn old_revisions_are_gone_after_compaction() {
    let node = namespace("compacted");
    with_client(&node, |client| async move {
        let maps: Api<ConfigMap> = Api::namespaced(client, "compacted");
        let first = maps
            .create(&PostParams::default(), &config_map("busy", "0"))
            .await
            .expect("create");
        let from = first.resource_version().expect("resourceVersion");
        // More changes than the smallest profile keeps.
        let profile: toml::Value =
            toml::from_str(include_str!("../../firmware-profiles/pi-zero-2-w.toml"))
                .expect("profile");
        let kept = profile["store"]["history_entries"]
            .as_integer()
            .expect("history_entries");
        let value = "x".repeat(64);
        for number in 0..=kept {
            let patch = serde_json::json!({"data": {"value": format!("{number}-{value}")}});
            maps.patch("busy", &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .expect("patch");
        }
        let gone = match maps.watch(&WatchParams::default().timeout(20), &from).await {
            Err(error) => format!("{error:?}"),
            Ok(events) => format!("{:?}", events.boxed().next().await),
        };
        assert!(gone.contains("410"), "{gone}");
        // And from the newest, watching goes on.
        let now = maps
            .get("busy")
            .await
            .expect("get")
            .resource_version()
            .expect("resourceVersion");
        maps.delete("busy", &DeleteParams::default())
            .await
            .expect("delete");
        let mut events = maps
            .watch(&WatchParams::default().timeout(20), &now)
            .await
            .expect("watch")
            .boxed();
        let next = events.next().await.expect("an event").expect("no error");
        assert!(matches!(next, WatchEvent::Deleted(_)), "{next:?}");
    });
}
