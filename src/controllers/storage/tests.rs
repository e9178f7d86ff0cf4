//! Plans, from snapshots.
#![allow(clippy::unwrap_used)]

use super::{Claims, Ephemeral, Volumes};
use crate::controllers::action::Action;
use crate::controllers::runner::Controller;
use crate::controllers::world::{World, controller, key};
use crate::object::storage::{
    BIND_COMPLETED, DEFAULT_CLASS, LOCAL_PATH_PROVISIONER, PROVISIONED_BY, SELECTED_NODE,
};
use jiff::Timestamp;
use serde_json::{Value, json};

fn world(volumes: &[Value], claims: &[Value], classes: &[Value], pods: &[Value]) -> World {
    let all = [
        ("v1", "PersistentVolume", volumes),
        ("v1", "PersistentVolumeClaim", claims),
        ("storage.k8s.io/v1", "StorageClass", classes),
        ("v1", "Pod", pods),
    ];
    let typed = all.into_iter().flat_map(|(version, kind, list)| {
        list.iter().map(move |object| {
            let mut object = object.clone();
            object["apiVersion"] = version.into();
            object["kind"] = kind.into();
            object
        })
    });
    World::of(&typed.collect::<Vec<_>>())
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

/// All plans in short.
fn steps(world: &World) -> Vec<String> {
    let now = Timestamp::UNIX_EPOCH;
    let mut pods: Vec<_> = world.pods.iter().map(|p| key(&p.metadata)).collect();
    for claim in world.claims.iter() {
        let namespace = claim.metadata.namespace.clone().unwrap();
        pods.extend(controller(&claim.metadata).map(|o| (namespace, o.name.clone())));
    }
    pods.sort();
    pods.dedup();
    let mut actions = Vec::new();
    for pod in pods {
        actions.extend(Ephemeral.reconcile(world, &pod, now).actions);
    }
    for claim in world.claims.iter() {
        actions.extend(Claims.reconcile(world, &key(&claim.metadata), now).actions);
    }
    for volume in world.volumes.iter() {
        actions.extend(
            Volumes
                .reconcile(world, &key(&volume.metadata), now)
                .actions,
        );
    }
    let on = |part: Option<&str>| part.map_or(String::new(), |part| format!("/{part}"));
    let shown = actions.into_iter().filter_map(|action| {
        Some(match action {
            Action::Patch {
                target,
                part,
                patch,
                ..
            } => {
                let kind = if target.kind == "PersistentVolume" {
                    "volume"
                } else {
                    "claim"
                };
                let name = target.name;
                match patch["status"]["phase"].as_str() {
                    Some(phase) => format!("{kind} {name} {phase}"),
                    None => match patch["spec"]["storageClassName"].as_str() {
                        Some(class) => format!("{kind} {name} of {class}"),
                        None => format!("{kind} {name}{}", on(part)),
                    },
                }
            }
            Action::ConfirmGone(target) => format!("gone {} {}", target.kind, target.name),
            Action::Create { target, .. } => format!("create {}", target.name),
            Action::Delete { target, .. } => format!("delete {}", target.name),
            Action::Tell { reason, .. } => format!("tell {reason}"),
            _ => return None,
        })
    });
    shown.collect()
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
        steps(&world(&volumes, &[claim(&json!({}))], &[], &[])),
        [
            "volume fits",
            "volume fits Bound",
            "claim c",
            "claim c Bound"
        ]
    );
    let picky = claim(&json!({"spec": {"selector": {"matchLabels": {"disk": "ssd"}}}}));
    assert_eq!(
        steps(&world(&volumes, &[picky], &[], &[])),
        ["tell FailedBinding"]
    );
    let named = claim(&json!({"spec": {"volumeName": "large"}}));
    assert_eq!(
        steps(&world(&volumes, &[named], &[], &[])),
        [
            "volume large",
            "volume large Bound",
            "claim c",
            "claim c Bound"
        ]
    );
    let too_small = claim(&json!({"spec": {"volumeName": "small"}}));
    assert_eq!(
        steps(&world(&volumes, &[too_small], &[], &[])),
        ["tell VolumeMismatch"]
    );
}

#[test]
fn one_volume_serves_one_claim() {
    let second = claim(&json!({"metadata": {"name": "d", "uid": "w"}}));
    let both = [claim(&json!({})), second];
    let chosen = json!({"spec": {"claimRef": {"namespace": "n", "name": "c", "uid": "u"}}});
    let planned = steps(&world(&[volume("v", "1Gi", &chosen)], &both, &[], &[]));
    assert_eq!(
        planned,
        [
            "volume v Bound",
            "claim c",
            "claim c Bound",
            "tell FailedBinding"
        ]
    );
    // Both may choose it at once: the second meets another version.
    let world = world(&[volume("v", "1Gi", &json!({}))], &both, &[], &[]);
    for name in ["c", "d"] {
        let key = ("n".to_owned(), name.to_owned());
        let plan = Claims.reconcile(&world, &key, Timestamp::UNIX_EPOCH);
        assert!(matches!(
            plan.actions.first(),
            Some(Action::Patch {
                resource_version: Some(_),
                ..
            })
        ));
    }
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
        steps(&world(&[], &[open], &late, &[])),
        ["claim c of local-path"]
    );
    let of_class = |annotations: Value| {
        claim(
            &json!({"metadata": {"annotations": annotations}, "spec": {"storageClassName": "local-path"}}),
        )
    };
    assert_eq!(
        steps(&world(&[], &[of_class(json!({}))], &late, &[])),
        ["tell WaitForFirstConsumer"]
    );
    let selected = of_class(json!({SELECTED_NODE: "here"}));
    assert_eq!(
        steps(&world(&[], std::slice::from_ref(&selected), &late, &[])),
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
        steps(&world(&[made], &[selected], &late, &[])),
        ["volume pvc-u Bound", "claim c", "claim c Bound"]
    );
    let nowhere = claim(&json!({"spec": {"storageClassName": "nowhere"}}));
    assert_eq!(
        steps(&world(&[], &[nowhere], &late, &[])),
        ["tell ProvisioningFailed"]
    );
}

#[test]
fn what_ends() {
    let bound = json!({"spec": {"claimRef": {"namespace": "n", "name": "c", "uid": "u"}}, "status": {"phase": "Bound"}});
    assert_eq!(
        steps(&world(&[volume("v", "1Gi", &bound)], &[], &[], &[])),
        ["gone PersistentVolumeClaim c", "volume v Released"]
    );
    let mut released = bound.clone();
    released["status"]["phase"] = json!("Released");
    released["spec"]["persistentVolumeReclaimPolicy"] = json!("Delete");
    assert_eq!(
        steps(&world(&[volume("v", "1Gi", &released)], &[], &[], &[])),
        ["volume v Failed"]
    );
    released["metadata"] = json!({"annotations": {PROVISIONED_BY: LOCAL_PATH_PROVISIONER}});
    assert!(steps(&world(&[volume("v", "1Gi", &released)], &[], &[], &[])).is_empty());
    let lost = claim(
        &json!({"metadata": {"annotations": {BIND_COMPLETED: "yes"}}, "spec": {"volumeName": "v"}}),
    );
    assert_eq!(
        steps(&world(&[], &[lost], &[], &[])),
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
    assert!(steps(&world(&[], &claims, &[], &[pod("Running")])).is_empty());
    assert_eq!(
        steps(&world(&[], &claims, &[], &[pod("Succeeded")])),
        ["claim c"]
    );
    let mut bound = ending.clone();
    bound["spec"]["claimRef"] = json!({"namespace": "n", "name": "c", "uid": "u"});
    let volumes = [volume("v", "1Gi", &bound)];
    assert!(steps(&world(&volumes, &claims, &[], &[pod("Running")])).is_empty());
    assert_eq!(steps(&world(&volumes, &[], &[], &[])), ["volume v"]);
}

#[test]
fn ephemeral_claims_come_and_go_with_their_pod() {
    let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "1"}, "spec": {"containers": [],
        "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}]}});
    assert_eq!(
        steps(&world(&[], &[], &[], std::slice::from_ref(&pod))),
        ["create p-v"]
    );
    let owned = claim(&json!({"metadata": {"name": "p-v", "ownerReferences": [
        {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", "controller": true}]}}));
    assert_eq!(
        steps(&world(&[], std::slice::from_ref(&owned), &[], &[pod])),
        ["tell FailedBinding"]
    );
    assert_eq!(
        steps(&world(&[], &[owned], &[], &[])),
        ["gone Pod p", "delete p-v", "tell FailedBinding"]
    );
}
