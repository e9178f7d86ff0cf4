#![allow(clippy::unwrap_used)]
use super::*;
use serde_json::json;

fn made(volume: serde_json::Value) -> Result<Plan, ConfigError> {
    let sources = Sources {
        config_maps: BTreeMap::from([(
            "cm".to_string(),
            serde_json::from_value(
                json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AP8="}}),
            )
            .unwrap(),
        )]),
        secrets: BTreeMap::from([(
            "sec".to_string(),
            serde_json::from_value(json!({"data": {"pw": "eA=="}})).unwrap(),
        )]),
        ..Sources::default()
    };
    let node = NodeFacts {
        name: "n".to_string(),
        ip: String::new(),
        cpu_milli: 1000,
        memory_bytes: 1,
        ephemeral_storage_bytes: 1,
    };
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "labels": {"x": "y"}},
            "spec": {"containers": [{"name": "a", "securityContext": {"runAsUser": 7}}]}}))
    .unwrap();
    let tokens = BTreeMap::from([(("v".to_string(), 0), "t0k".to_string())]);
    let claims = BTreeMap::from([
        (
            "bound".to_string(),
            Ok(serde_json::from_value(json!({"spec": {"local": {"path": "/disk"}}})).unwrap()),
        ),
        ("waits".to_string(), Err("not bound".to_string())),
    ]);
    let found = Found {
        sources: &sources,
        tokens: &tokens,
        claims: &claims,
        node: &node,
    };
    plan(&pod, &serde_json::from_value(volume).unwrap(), &found)
}

fn listing(plan: Plan) -> Vec<(String, Vec<u8>, u32)> {
    match plan {
        Plan::Files { files } => files
            .into_iter()
            .map(|(p, f)| (p, f.bytes, f.mode))
            .collect(),
        other => panic!("not files: {other:?}"),
    }
}

#[test]
fn keys_items_and_modes() {
    let all = listing(
        made(json!({"name": "v", "configMap": {"name": "cm", "defaultMode": 0o400}})).unwrap(),
    );
    assert_eq!(
        all,
        [
            ("a".into(), b"1".to_vec(), 0o400),
            ("b".into(), b"2".to_vec(), 0o400),
            ("c".into(), vec![0, 255], 0o400)
        ]
    );
    let items = json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "a", "path": "d/x", "mode": 0o600}]}});
    assert_eq!(
        listing(made(items).unwrap()),
        [("d/x".into(), b"1".to_vec(), 0o600)]
    );
    let projected = json!({"name": "v", "projected": {"sources": [
        {"secret": {"name": "sec"}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}});
    assert_eq!(
        listing(made(projected).unwrap()),
        [
            ("labels".into(), b"x=\"y\"".to_vec(), 0o644),
            ("pw".into(), b"x".to_vec(), 0o644)
        ]
    );
}

#[test]
fn what_is_missing_or_wrong() {
    for (volume, text) in [
        (
            json!({"name": "v", "configMap": {"name": "no"}}),
            "configmap \"no\" not found",
        ),
        (
            json!({"name": "v", "secret": {"secretName": "no"}}),
            "secret \"no\" not found",
        ),
        (
            json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}}),
            "non-existent config key",
        ),
        (
            json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "a", "path": "../z"}]}}),
            "invalid path",
        ),
        (
            json!({"name": "v", "nfs": {"server": "s", "path": "/"}}),
            "does not support",
        ),
    ] {
        assert!(
            made(volume.clone()).unwrap_err().0.contains(text),
            "{volume}"
        );
    }
    let optional = json!({"name": "v", "secret": {"secretName": "no", "optional": true}});
    assert!(listing(made(optional).unwrap()).is_empty());
}

#[test]
fn tokens_claims_and_owners() {
    let token = json!({"name": "v", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token"}}]}});
    assert_eq!(
        listing(made(token).unwrap()),
        [("token".into(), b"t0k".to_vec(), 0o600)]
    );
    let owned = json!({"name": "v", "configMap": {"name": "cm", "defaultUser": 9, "items": [
        {"key": "a", "path": "a"}, {"key": "b", "path": "b", "user": 10}]}});
    let Plan::Files { files } = made(owned).unwrap() else {
        panic!("not files");
    };
    let users: Vec<_> = files.values().map(|f| f.user).collect();
    assert_eq!(users, [Some(9), Some(10)]);
    let claim = |name: &str| json!({"name": name, "persistentVolumeClaim": {"claimName": "c", "readOnly": true}});
    assert_eq!(
        made(claim("bound")).unwrap(),
        Plan::Local {
            path: "/disk".to_string(),
            read_only: true
        }
    );
    assert_eq!(made(claim("waits")).unwrap_err().0, "not bound");
}
