//! A pod acts as a service account: its token is mounted, its pull secrets are the pod's.
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#serviceaccount-admission-controller>

use crate::api::kinds::pod_field_is_refused;
use crate::api::metadata::random_suffix;
use crate::api::status::ApiResult;
use crate::api::token_request::SECONDS_OF_PODS;
use crate::object::access::{list, present, text};
use crate::store::{Key, Store};
use serde_json::{Value, json};

/// Where programs look for their token.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const VOLUME_PREFIX: &str = "kube-api-access-";

/// Readable by whoever the container runs as; upstream's `ProjectedVolumeSourceDefaultMode`.
const MODE: i64 = 0o644;

/// Completes `pod` with what its account gives; the inner error refuses it.
pub fn admit(store: &Store, pod: &mut Value) -> ApiResult<Result<(), String>> {
    let namespace = text(pod, "/metadata/namespace");
    let name = text(pod, "/spec/serviceAccountName");
    let key = Key(format!("serviceaccounts/{namespace}/{name}"));
    let Some(account) = store.get(&key)? else {
        return Ok(Err(format!(
            "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
        )));
    };
    let account = crate::api::stored_value(&account.json)?;
    let mounts = !pod_field_is_refused("spec.volumes[].projected");
    complete(pod, &account, mounts, &random_suffix());
    Ok(Ok(()))
}

fn complete(pod: &mut Value, account: &Value, mounts: bool, suffix: &str) {
    if list(pod, "/spec/imagePullSecrets").is_empty() && present(account, "/imagePullSecrets") {
        pod["spec"]["imagePullSecrets"] = account["imagePullSecrets"].clone();
    }
    if mounts && wants_token(pod, account) {
        mount_token(pod, suffix);
    }
}

/// The pod's word counts before the account's.
fn wants_token(pod: &Value, account: &Value) -> bool {
    pod.pointer("/spec/automountServiceAccountToken")
        .and_then(Value::as_bool)
        .or_else(|| account["automountServiceAccountToken"].as_bool())
        .unwrap_or(true)
}

/// Adds the volume, and a mount to every container that has nothing at its place.
fn mount_token(pod: &mut Value, suffix: &str) {
    let present = list(pod, "/spec/volumes")
        .iter()
        .map(|volume| text(volume, "/name"))
        .find(|name| name.starts_with(VOLUME_PREFIX))
        .map(str::to_owned);
    let is_new = present.is_none();
    let name = present.unwrap_or_else(|| format!("{VOLUME_PREFIX}{suffix}"));
    let mut used = false;
    for group in ["initContainers", "containers"] {
        let containers = pod["spec"].get_mut(group).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let taken = list(container, "/volumeMounts")
                .iter()
                .any(|mount| text(mount, "/mountPath").trim_end_matches('/') == MOUNT_PATH);
            let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
            if !taken && push(container, "volumeMounts", mount) {
                used = true;
            }
        }
    }
    if used && is_new {
        push(&mut pod["spec"], "volumes", volume(&name));
    }
}

/// What every program that speaks to the API expects to find.
fn volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": MODE, "sources": [
        {"serviceAccountToken": {"expirationSeconds": SECONDS_OF_PODS, "path": "token"}},
        {"configMap": {
            "name": super::newborn::ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}],
        }},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}

/// Appends to a list, made where it is missing; false where something else stands there: validation will say so.
fn push(object: &mut Value, field: &str, item: Value) -> bool {
    let Some(fields) = object.as_object_mut() else {
        return false;
    };
    let items = fields.entry(field).or_insert(Value::Null);
    if items.is_null() {
        *items = json!([]);
    }
    match items.as_array_mut() {
        Some(items) => {
            items.push(item);
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        json!({"metadata": {"name": "web"}, "spec": {
            "serviceAccountName": "sa",
            "initContainers": [{"name": "init"}],
            "containers": [{"name": "one", "volumeMounts": [{"name": "x", "mountPath": "/x"}]}, {"name": "two"}],
        }})
    }

    #[test]
    fn every_container_gets_the_token() {
        let mut with = pod();
        complete(
            &mut with,
            &json!({"imagePullSecrets": [{"name": "pull"}]}),
            true,
            "abcde",
        );
        assert_eq!(with["spec"]["imagePullSecrets"], json!([{"name": "pull"}]));
        assert_eq!(with["spec"]["volumes"][0]["name"], "kube-api-access-abcde");
        assert_eq!(
            with["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"],
            3607
        );
        for pointer in [
            "/initContainers/0/volumeMounts/0",
            "/containers/0/volumeMounts/1",
            "/containers/1/volumeMounts/0",
        ] {
            let mount = with.pointer(&format!("/spec{pointer}"));
            assert_eq!(
                mount,
                Some(
                    &json!({"name": "kube-api-access-abcde", "readOnly": true, "mountPath": MOUNT_PATH})
                ),
                "{pointer}"
            );
        }
        // A pod that was written from another one keeps its volume.
        let mut again = with.clone();
        complete(&mut again, &json!({}), true, "other");
        assert_eq!(again, with);
    }

    #[test]
    fn the_pods_word_counts_before_the_accounts() {
        for (of_pod, of_account, mounted) in [
            (Value::Null, Value::Null, true),
            (Value::Null, json!(false), false),
            (json!(true), json!(false), true),
            (json!(false), json!(true), false),
        ] {
            let mut pod = pod();
            if !of_pod.is_null() {
                pod["spec"]["automountServiceAccountToken"] = of_pod.clone();
            }
            let account = json!({"automountServiceAccountToken": of_account});
            complete(&mut pod, &account, true, "abcde");
            let found = !list(&pod, "/spec/volumes").is_empty();
            assert_eq!(found, mounted, "{of_pod} {of_account}");
        }
    }

    #[test]
    fn what_is_there_stays() {
        let mut own = pod();
        own["spec"]["imagePullSecrets"] = json!([{"name": "mine"}]);
        for container in 0..2 {
            own["spec"]["containers"][container]["volumeMounts"] =
                json!([{"name": "x", "mountPath": format!("{MOUNT_PATH}/")}]);
        }
        own["spec"]["initContainers"] = json!([]);
        let before = own.clone();
        complete(
            &mut own,
            &json!({"imagePullSecrets": [{"name": "pull"}]}),
            true,
            "abcde",
        );
        assert_eq!(own, before);
        let mut odd = json!({"spec": {"containers": [7, {"volumeMounts": "x"}], "volumes": 3}});
        complete(&mut odd, &json!({}), true, "abcde");
    }
}
