//! Claims: made once, waited for, and owned according to the retention policy.

use super::*;

fn with(more: &Value) -> Value {
    let mut spec = json!({"replicas": 1,
        "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]});
    json_patch::merge(&mut spec, more);
    spec
}

fn retention(when_deleted: &str, when_scaled: &str) -> Value {
    with(
        &json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": when_deleted, "whenScaled": when_scaled}}),
    )
}

fn claim(ordinal: i32, more: &Value) -> Value {
    let name = format!("v-web-{ordinal}");
    let mut claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"namespace": "a", "name": name, "uid": name}, "spec": {}});
    json_patch::merge(&mut claim, more);
    claim
}

fn owned(kind: &str, name: &str, uid: &str) -> Value {
    let version = if kind == "Pod" { "v1" } else { "apps/v1" };
    json!({"metadata": {"ownerReferences": [
        {"apiVersion": version, "kind": kind, "name": name, "uid": uid}]}})
}

#[test]
fn a_pod_waits_for_its_claims() {
    let ending = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:59:00Z"}});
    let pending = pod(0, "two", "pending");
    hold(vec![
        (
            "made before the pod",
            with(&json!({})),
            vec![],
            &["create v-web-0", "create web-0 two"],
        ),
        (
            "found again",
            with(&json!({})),
            vec![claim(0, &json!({}))],
            &["create web-0 two"],
        ),
        (
            "not while the last one goes",
            with(&json!({})),
            vec![claim(0, &ending)],
            &[],
        ),
        (
            "nor while it belongs to the pod before",
            with(&json!({})),
            vec![claim(0, &owned("Pod", "web-0", "before"))],
            &[],
        ),
        (
            "made again for a pod that waits for it",
            with(&json!({})),
            vec![pending],
            &["create v-web-0"],
        ),
    ]);
}

#[test]
fn claims_are_owned_by_the_policy() {
    let ready = || pods("two", &["ready", "ready"]);
    let and = |mut pods: Vec<Value>, claims: Vec<Value>| {
        pods.extend(claims);
        pods
    };
    let of_set = owned("StatefulSet", "web", "1");
    let of_pod = |ordinal: i32| {
        let name = format!("web-{ordinal}");
        owned("Pod", &name, &name)
    };
    let foreign = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x", "controller": true}]}});
    let first = vec![pod(0, "two", "ready")];
    let free = json!({});
    hold(vec![
        (
            "kept: nobody's",
            retention("Retain", "Retain"),
            and(first.clone(), vec![claim(0, &free)]),
            &[],
        ),
        (
            "kept after all: nobody's again",
            retention("Retain", "Retain"),
            and(first.clone(), vec![claim(0, &of_set)]),
            &["patch v-web-0"],
        ),
        (
            "gone with the set: the set's",
            retention("Delete", "Retain"),
            and(first.clone(), vec![claim(0, &free)]),
            &["patch v-web-0 StatefulSet"],
        ),
        (
            "it is so",
            retention("Delete", "Retain"),
            and(first.clone(), vec![claim(0, &of_set)]),
            &[],
        ),
        (
            "managed by another",
            retention("Delete", "Delete"),
            and(first.clone(), vec![claim(0, &foreign)]),
            &[],
        ),
        (
            "gone with the pod that is too many: the pod's",
            retention("Retain", "Delete"),
            and(ready(), vec![claim(0, &free), claim(1, &free)]),
            &["patch v-web-1 Pod", "delete web-1"],
        ),
        (
            "kept when scaled, gone with the set",
            retention("Delete", "Retain"),
            and(ready(), vec![claim(0, &of_set), claim(1, &of_set)]),
            &["delete web-1"],
        ),
        (
            "wanted again before the pod went",
            retention("Retain", "Delete"),
            and(first, vec![claim(0, &of_pod(0))]),
            &["patch v-web-0"],
        ),
    ]);
}

#[test]
fn a_new_claim_has_the_templates_and_selectors_labels() {
    let mut spec = retention("Delete", "Retain");
    spec["volumeClaimTemplates"][0]["metadata"]["labels"] = json!({"x": "y"});
    let plan = look(set(&spec), &[]);
    let created = plan.actions.iter().find_map(|action| match action {
        Action::Report { action, .. } => match action.as_ref() {
            Action::Create { target, object } if target.kind == "PersistentVolumeClaim" => {
                Some(object)
            }
            _ => None,
        },
        _ => None,
    });
    let metadata = &created.unwrap()["metadata"];
    assert_eq!(metadata["labels"], json!({"app": "web", "x": "y"}));
    assert_eq!(metadata["ownerReferences"], json!([owner()]));
}
