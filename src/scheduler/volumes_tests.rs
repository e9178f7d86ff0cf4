//! Claims in every state, and what they say about nodes.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::scheduler::snapshot::ClaimName;
use serde_json::Value;

fn storage(volumes: &[Value], claims: &[Value]) -> Storage {
    fn typed<K: serde::de::DeserializeOwned>(list: &[Value]) -> Event<K> {
        let all = list
            .iter()
            .map(|v| serde_json::from_value(v.clone()).unwrap());
        Event::Restarted(all.collect())
    }
    let mut storage = Storage::default();
    storage.on_volume(typed(volumes));
    storage.on_claim(typed(claims));
    storage.on_class(typed(&[
        json!({"metadata": {"name": "late"}, "provisioner": "p", "volumeBindingMode": "WaitForFirstConsumer"}),
        json!({"metadata": {"name": "fixed"}, "provisioner": NO_PROVISIONER, "volumeBindingMode": "WaitForFirstConsumer"}),
        json!({"metadata": {"name": "now"}, "provisioner": "p", "volumeBindingMode": "Immediate"}),
    ]));
    storage
}

fn claim_of(class: &str, change: &Value) -> Value {
    let mut claim = json!({"metadata": {"name": "c", "namespace": "n", "uid": "u"}, "spec": {"storageClassName": class,
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    json_patch::merge(&mut claim, change);
    claim
}

fn volume_on(node: &str, class: &str) -> Value {
    json!({"metadata": {"name": "v", "resourceVersion": "5"}, "spec": {"storageClassName": class, "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}}})
}

fn pod() -> PodInfo {
    PodInfo {
        namespace: "n".to_owned(),
        claims: vec![ClaimName {
            name: "c".to_owned(),
            ephemeral: false,
        }],
        ..PodInfo::default()
    }
}

fn node(name: &str) -> NodeInfo {
    NodeInfo {
        name: name.to_owned(),
        labels: std::sync::Arc::new(
            [("kubernetes.io/hostname".to_owned(), name.to_owned())].into(),
        ),
        ..NodeInfo::default()
    }
}

#[test]
fn claims_that_no_node_can_serve_now() {
    let bound = json!({"metadata": {"annotations": {BIND_COMPLETED: "yes"}}, "spec": {"volumeName": "v", "accessModes": ["ReadWriteOncePod"]}});
    let ending = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    for (claims, want) in [
        (vec![], "persistentvolumeclaim \"c\" not found"),
        (
            vec![claim_of("now", &ending)],
            "persistentvolumeclaim \"c\" is being deleted",
        ),
        (
            vec![claim_of("now", &json!({}))],
            "pod has unbound immediate PersistentVolumeClaims",
        ),
        (
            vec![claim_of("none", &json!({}))],
            "pod has unbound immediate PersistentVolumeClaims",
        ),
        (
            vec![claim_of("now", &bound)],
            "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
        ),
    ] {
        let storage = storage(&[], &claims);
        assert_eq!(storage.needs(&pod(), |_| true).unwrap_err(), want);
    }
    let gone = storage(&[], &[claim_of("now", &bound)]);
    assert_eq!(
        gone.needs(&pod(), |_| false).unwrap_err(),
        "persistentvolumeclaim \"c\" bound to non-existent persistentvolume \"v\""
    );
}

#[test]
fn a_bound_volume_pins_its_node() {
    let bound =
        json!({"metadata": {"annotations": {BIND_COMPLETED: "yes"}}, "spec": {"volumeName": "v"}});
    let storage = storage(&[volume_on("a", "late")], &[claim_of("late", &bound)]);
    let needs = storage.needs(&pod(), |_| false).unwrap();
    assert_eq!(storage.steps(&needs, &node("a")), Ok(vec![]));
    assert_eq!(
        storage.steps(&needs, &node("b")).unwrap_err(),
        "node(s) didn't match PersistentVolume's node affinity"
    );
}

#[test]
fn the_first_consumer_chooses() {
    let fixed = storage(&[volume_on("a", "fixed")], &[claim_of("fixed", &json!({}))]);
    let needs = fixed.needs(&pod(), |_| false).unwrap();
    let keep = vec![Step::Keep {
        volume: "v".to_owned(),
        version: Some("5".to_owned()),
        claim: "c".to_owned(),
        uid: Some("u".to_owned()),
    }];
    assert_eq!(fixed.steps(&needs, &node("a")), Ok(keep.clone()));
    assert!(!fixed.is_under_way(&needs, &keep, &node("a")));
    assert_eq!(
        fixed.steps(&needs, &node("b")).unwrap_err(),
        "node(s) didn't find available persistent volumes to bind"
    );
    let select = vec![Step::Select {
        claim: "c".to_owned(),
    }];
    let made = storage(&[], &[claim_of("late", &json!({}))]);
    let needs = made.needs(&pod(), |_| false).unwrap();
    assert_eq!(made.steps(&needs, &node("b")), Ok(select.clone()));
    assert!(!made.is_under_way(&needs, &select, &node("b")));
    let chosen = json!({"metadata": {"annotations": {SELECTED_NODE: "b"}}});
    let waiting = storage(&[], &[claim_of("late", &chosen)]);
    let needs = waiting.needs(&pod(), |_| false).unwrap();
    assert!(waiting.is_under_way(&needs, &select, &node("b")));
    assert!(is_chosen(&needs, &node("b")) && !is_chosen(&needs, &node("a")));
}
