//! Versions of one object from two sources, in any order.
#![allow(clippy::unwrap_used)]

use super::*;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

fn map(name: &str, version: u64, owner: Option<&str>) -> ConfigMap {
    let owners = owner.map(|uid| json!([{"apiVersion": "v1", "kind": "K", "name": "o", "uid": uid, "controller": true}]));
    serde_json::from_value(json!({"metadata": {
        "namespace": "a", "name": name, "uid": name, "resourceVersion": version.to_string(), "ownerReferences": owners,
    }}))
    .unwrap()
}

fn names(table: &Table<ConfigMap>) -> Vec<(String, u64)> {
    let name = |m: &Arc<ConfigMap>| (key(&m.metadata).1, revision(&m.metadata));
    table.iter().map(name).collect()
}

#[test]
fn the_newer_version_stays_whoever_told_of_it() {
    let mut table = Table::default();
    assert!(!table.is_known());
    table.take_in(Event::Restarted(vec![map("x", 5, None)]));
    assert!(table.is_known());
    assert!(table.learn(map("x", 9, None)).is_some());
    // The watch is behind.
    assert!(table.take_in(Event::Applied(map("x", 7, None))).is_empty());
    assert_eq!(names(&table), [("x".to_owned(), 9)]);
    assert!(table.take_in(Event::Applied(map("x", 9, None))).is_empty());
    // The end of an earlier life.
    table.take_in(Event::Deleted(map("x", 8, None)));
    assert_eq!(names(&table), [("x".to_owned(), 9)]);
    table.take_in(Event::Deleted(map("x", 12, None)));
    assert_eq!(names(&table), []);
    // An answer that comes after the news of the end.
    assert!(table.learn(map("x", 11, None)).is_none());
    assert_eq!(names(&table), []);
}

#[test]
fn a_list_removes_what_it_does_not_name() {
    let mut table = Table::default();
    table.take_in(Event::Restarted(vec![map("x", 1, None), map("y", 2, None)]));
    let diffs = table.take_in(Event::Restarted(vec![map("y", 2, None)]));
    assert_eq!(diffs.len(), 1);
    assert_eq!(diffs[0].key().unwrap().1, "x");
    assert!(diffs[0].new.is_none());
}

#[test]
fn owners_find_what_they_manage() {
    let mut table = Table::default();
    table.take_in(Event::Applied(map("x", 1, Some("u"))));
    table.take_in(Event::Applied(map("y", 2, Some("u"))));
    assert_eq!(table.owned_by("u").count(), 2);
    let diffs = table.take_in(Event::Applied(map("x", 3, Some("v"))));
    assert_eq!(
        diffs[0].controllers("K"),
        [("a".to_owned(), "o".to_owned())]
    );
    assert_eq!(
        (table.owned_by("u").count(), table.owned_by("v").count()),
        (1, 1)
    );
    assert!(table.unlearn(&("a".into(), "y".into()), "other").is_none());
    assert!(table.unlearn(&("a".into(), "y".into()), "y").is_some());
    assert_eq!(table.owned_by("u").count(), 0);
    assert_eq!(table.in_namespace("a").count(), 1);
    assert_eq!(table.in_namespace("b").count(), 0);
}
