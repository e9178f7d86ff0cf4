//! Which pods are the set's, and what they look like.

use super::*;

#[test]
fn pods_of_its_names_are_adopted_and_others_let_go() {
    let change = |pod: Value, change: Value| {
        let mut pod = pod;
        json_patch::merge(&mut pod, &change);
        pod
    };
    let alone = json!({"metadata": {"ownerReferences": null}});
    let first = || pod(0, "two", "ready");
    let stray = change(first(), alone.clone());
    let foreign = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "o", "uid": "2", "controller": true}]}});
    let one = json!({"replicas": 1});
    hold(vec![
        (
            "a stray one",
            one.clone(),
            vec![stray.clone()],
            &["confirm web", "patch web-0 StatefulSet"],
        ),
        (
            "not by another name",
            one.clone(),
            vec![change(
                stray.clone(),
                json!({"metadata": {"name": "else-0"}}),
            )],
            &["create web-0 two"],
        ),
        (
            "not with other labels: it is in the way",
            one.clone(),
            vec![change(stray, json!({"metadata": {"labels": {"app": "x"}}}))],
            &[],
        ),
        (
            "another's is in the way",
            one.clone(),
            vec![change(first(), foreign)],
            &[],
        ),
        (
            "of other labels by now",
            one.clone(),
            vec![change(
                first(),
                json!({"metadata": {"labels": {"app": "x"}}}),
            )],
            &["patch web-0"],
        ),
        (
            "of another name",
            one.clone(),
            vec![change(first(), json!({"metadata": {"name": "else-0"}}))],
            &["patch else-0"],
        ),
        (
            "adopted ones get the labels of their name",
            one,
            vec![change(
                first(),
                json!({"metadata": {"labels": {identity::POD_NAME: null}}}),
            )],
            &["patch web-0"],
        ),
    ]);
    let nothing = set(&json!({"selector": {"matchLabels": null}}));
    assert!(
        !steps(nothing, &[pod(0, "two", "ready")]).contains(&"create web-0 two".to_owned()),
        "a selector of nothing owns nothing"
    );
}

#[test]
fn a_pod_bears_its_name() {
    let spec = json!({"volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {}}]});
    let plan = look(set(&spec), &[]);
    let created = |action: &Action| match action {
        Action::Report { action, .. } => match action.as_ref() {
            Action::Create { target, object } if target.kind == "Pod" => Some(object.clone()),
            _ => None,
        },
        _ => None,
    };
    let pod = plan.actions.iter().find_map(created).unwrap();
    assert_eq!(
        pod["metadata"]["labels"],
        json!({"app": "web", LABEL: "two", identity::POD_NAME: "web-0", identity::POD_INDEX: "0"})
    );
    assert_eq!(pod["metadata"]["ownerReferences"], json!([owner()]));
    assert_eq!(pod["spec"]["hostname"], "web-0");
    assert_eq!(pod["spec"]["subdomain"], "svc");
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "v", "persistentVolumeClaim": {"claimName": "v-web-0"}}])
    );
}
