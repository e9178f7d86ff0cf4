//! Plans, from snapshots.
#![allow(clippy::unwrap_used)]

use super::Action;
use super::plan::plan;
use super::snapshot::Snapshot;
use crate::client::informer::Event;
use crate::object::storage::{
    BIND_COMPLETED, DEFAULT_CLASS, LOCAL_PATH_PROVISIONER, PROVISIONED_BY, SELECTED_NODE,
};
use serde_json::{Value, json};

fn snapshot(volumes: &[Value], claims: &[Value], classes: &[Value], pods: &[Value]) -> Snapshot {
    fn typed<K: serde::de::DeserializeOwned>(list: &[Value]) -> Event<K> {
        Event::Restarted(
            list.iter()
                .map(|v| serde_json::from_value(v.clone()).unwrap())
                .collect(),
        )
    }
    let mut snapshot = Snapshot::default();
    snapshot.on_volume(typed(volumes));
    snapshot.on_claim(typed(claims));
    snapshot.on_class(typed(classes));
    snapshot.on_pod(typed(pods));
    assert!(snapshot.is_known());
    snapshot
}

fn volume(name: &str, size: &str, change: &Value) -> Value {
    let mut volume = json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}, "status": {"phase": "Available"}});
    json_patch::merge(&mut volume, change);
    volume
}

fn claim(change: &Value) -> Value {
    let mut claim = json!({"metadata": {"name": "c", "namespace": "n", "uid": "u"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""},
        "status": {"phase": "Pending"}});
    json_patch::merge(&mut claim, change);
    claim
}

/// The plan in short.
fn steps(snapshot: &Snapshot) -> Vec<String> {
    let on = |status: bool| if status { "/status" } else { "" };
    plan(snapshot)
        .into_iter()
        .flatten()
        .map(|action| match action {
            Action::PatchVolume {
                name,
                status,
                patch,
            } => match patch["status"]["phase"].as_str() {
                Some(phase) => format!("volume {name} {phase}"),
                None => format!("volume {name}{}", on(status)),
            },
            Action::PatchClaim {
                name,
                status,
                patch,
                ..
            } => match patch["status"]["phase"].as_str() {
                Some(phase) => format!("claim {name} {phase}"),
                None => match patch["spec"]["storageClassName"].as_str() {
                    Some(class) => format!("claim {name} of {class}"),
                    None => format!("claim {name}{}", on(status)),
                },
            },
            Action::Release { volume, .. } => format!("release {volume}"),
            Action::CreateClaim(claim) => format!("create {}", claim.metadata.name.unwrap()),
            Action::DeleteOrphan { name, .. } => format!("delete {name}"),
            Action::Tell { reason, .. } => format!("tell {reason}"),
        })
        .collect()
}

#[test]
fn the_smallest_that_fits_is_bound() {
    let volumes = [
        volume("large", "10Gi", &json!({})),
        volume("small", "512Mi", &json!({})),
        volume("fits", "2Gi", &json!({})),
        volume(
            "other-class",
            "1Gi",
            &json!({"spec": {"storageClassName": "x"}}),
        ),
        volume(
            "many",
            "1Gi",
            &json!({"spec": {"accessModes": ["ReadOnlyMany"]}}),
        ),
    ];
    assert_eq!(
        steps(&snapshot(&volumes, &[claim(&json!({}))], &[], &[])),
        [
            "volume fits",
            "volume fits Bound",
            "claim c",
            "claim c Bound"
        ]
    );
    let picky = claim(&json!({"spec": {"selector": {"matchLabels": {"disk": "ssd"}}}}));
    assert_eq!(
        steps(&snapshot(&volumes, &[picky], &[], &[])),
        ["tell FailedBinding"]
    );
    let named = claim(&json!({"spec": {"volumeName": "large"}}));
    assert_eq!(
        steps(&snapshot(&volumes, &[named], &[], &[])),
        [
            "volume large",
            "volume large Bound",
            "claim c",
            "claim c Bound"
        ]
    );
    let too_small = claim(&json!({"spec": {"volumeName": "small"}}));
    assert_eq!(
        steps(&snapshot(&volumes, &[too_small], &[], &[])),
        ["tell VolumeMismatch"]
    );
}

#[test]
fn one_volume_serves_one_claim() {
    let second = claim(&json!({"metadata": {"name": "d", "uid": "w"}}));
    let both = [claim(&json!({})), second];
    let planned = steps(&snapshot(
        &[volume("v", "1Gi", &json!({}))],
        &both,
        &[],
        &[],
    ));
    assert_eq!(
        planned,
        [
            "volume v",
            "volume v Bound",
            "claim c",
            "claim c Bound",
            "tell FailedBinding"
        ]
    );
}

#[test]
fn classes_and_their_provisioners() {
    let class = |mode: &str| {
        json!({"metadata": {"name": "local-path", "annotations": {DEFAULT_CLASS: "true"}},
        "provisioner": LOCAL_PATH_PROVISIONER, "volumeBindingMode": mode})
    };
    let late = [class("WaitForFirstConsumer")];
    let open = claim(&json!({"spec": {"storageClassName": null}}));
    assert_eq!(
        steps(&snapshot(&[], &[open], &late, &[])),
        ["claim c of local-path"]
    );
    let of_class = |annotations: Value| {
        claim(
            &json!({"metadata": {"annotations": annotations}, "spec": {"storageClassName": "local-path"}}),
        )
    };
    assert_eq!(
        steps(&snapshot(&[], &[of_class(json!({}))], &late, &[])),
        ["tell WaitForFirstConsumer"]
    );
    let selected = of_class(json!({SELECTED_NODE: "here"}));
    assert_eq!(
        steps(&snapshot(&[], std::slice::from_ref(&selected), &late, &[])),
        ["claim c", "tell ExternalProvisioning"]
    );
    // Made, and bound to the claim it was made for.
    let made = volume(
        "pvc-u",
        "1Gi",
        &json!({"spec": {"storageClassName": "local-path",
        "claimRef": {"namespace": "n", "name": "c", "uid": "u"}}, "status": {"phase": "Pending"}}),
    );
    assert_eq!(
        steps(&snapshot(&[made], &[selected], &late, &[])),
        ["volume pvc-u Bound", "claim c", "claim c Bound"]
    );
    let nowhere = claim(&json!({"spec": {"storageClassName": "nowhere"}}));
    assert_eq!(
        steps(&snapshot(&[], &[nowhere], &late, &[])),
        ["tell ProvisioningFailed"]
    );
}

#[test]
fn what_ends() {
    let bound = json!({"spec": {"claimRef": {"namespace": "n", "name": "c", "uid": "u"}}, "status": {"phase": "Bound"}});
    assert_eq!(
        steps(&snapshot(&[volume("v", "1Gi", &bound)], &[], &[], &[])),
        ["release v"]
    );
    let mut released = bound.clone();
    released["status"]["phase"] = json!("Released");
    released["spec"]["persistentVolumeReclaimPolicy"] = json!("Delete");
    assert_eq!(
        steps(&snapshot(&[volume("v", "1Gi", &released)], &[], &[], &[])),
        ["volume v Failed"]
    );
    released["metadata"] = json!({"annotations": {PROVISIONED_BY: LOCAL_PATH_PROVISIONER}});
    assert!(steps(&snapshot(&[volume("v", "1Gi", &released)], &[], &[], &[])).is_empty());
    let lost = claim(
        &json!({"metadata": {"annotations": {BIND_COMPLETED: "yes"}}, "spec": {"volumeName": "v"}}),
    );
    assert_eq!(
        steps(&snapshot(&[], &[lost], &[], &[])),
        ["claim c Lost", "tell ClaimLost"]
    );
}

#[test]
fn protection_lasts_while_used() {
    let ending = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": ["kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"]}});
    let pod = |phase: &str| {
        json!({"metadata": {"name": "p", "namespace": "n", "uid": "1"}, "status": {"phase": phase},
        "spec": {"nodeName": "a", "containers": [], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}})
    };
    let claims = [claim(&ending)];
    assert!(steps(&snapshot(&[], &claims, &[], &[pod("Running")])).is_empty());
    assert_eq!(
        steps(&snapshot(&[], &claims, &[], &[pod("Succeeded")])),
        ["claim c"]
    );
    let mut bound = ending.clone();
    bound["spec"]["claimRef"] = json!({"namespace": "n", "name": "c", "uid": "u"});
    let volumes = [volume("v", "1Gi", &bound)];
    assert!(steps(&snapshot(&volumes, &claims, &[], &[pod("Running")])).is_empty());
    assert_eq!(steps(&snapshot(&volumes, &[], &[], &[])), ["volume v"]);
}

#[test]
fn ephemeral_claims_come_and_go_with_their_pod() {
    let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "1"}, "spec": {"containers": [],
        "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}]}});
    assert_eq!(
        steps(&snapshot(&[], &[], &[], std::slice::from_ref(&pod))),
        ["create p-v"]
    );
    let owned = claim(&json!({"metadata": {"name": "p-v", "ownerReferences": [
        {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", "controller": true}]}}));
    assert_eq!(
        steps(&snapshot(&[], std::slice::from_ref(&owned), &[], &[pod])),
        ["tell FailedBinding"]
    );
    assert_eq!(
        steps(&snapshot(&[], &[owned], &[], &[])),
        ["delete p-v", "tell FailedBinding"]
    );
}
