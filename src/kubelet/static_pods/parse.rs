//! A file as a static pod: pure.
//!
//! Names, annotations, uid and toleration are upstream's (`pkg/kubelet/config/common.go`).

use super::Complete;
use super::mirror::{HASH, SEEN, SOURCE};
use k8s_openapi::api::core::v1::{Pod, Toleration};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::Path;

/// Of the digest: upstream's uid has as many (an MD5).
const UID_BYTES: usize = 16;

/// The pod of `text`; the error says what is wrong with it.
pub fn parse(text: &[u8], path: &Path, node: &str, complete: Complete) -> Result<Pod, String> {
    let text = std::str::from_utf8(text).map_err(|_| "this is no UTF-8 text".to_string())?;
    let value: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|e| e.to_string())?
    } else {
        serde_saphyr::from_str(text).map_err(|e| e.to_string())?
    };
    if value["apiVersion"] != "v1" || value["kind"] != "Pod" {
        return Err("apiVersion must be v1 and kind Pod: one pod in a file".to_string());
    }
    if let Some(object) = references(&value) {
        return Err(format!(
            "a static pod may not refer to {object}: it runs without the API"
        ));
    }
    let digest = Sha256::digest(format!("{value}\nhost:{node}\nfile:{}", path.display()));
    let uid = digest[..UID_BYTES]
        .iter()
        .fold(String::new(), |mut uid, byte| {
            let _ = write!(uid, "{byte:02x}");
            uid
        });
    let mut value = value;
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        return Err("metadata.name: Required value".to_string());
    }
    let name = format!("{name}-{}", node.to_lowercase());
    let metadata = value
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .ok_or("metadata must be an object")?;
    metadata.insert("name".to_string(), name.into());
    metadata
        .entry("namespace")
        .or_insert_with(|| "default".into());
    for foreign in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "ownerReferences",
        "generateName",
    ] {
        metadata.shift_remove(foreign);
    }
    let spec = value
        .get_mut("spec")
        .and_then(Value::as_object_mut)
        .ok_or("spec: Required value")?;
    spec.insert("nodeName".to_string(), node.into());
    let mut pod: Pod = serde_json::from_value(complete(value)?).map_err(|e| e.to_string())?;
    pod.status = None;
    pod.metadata.uid = Some(uid.clone());
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(SOURCE.to_string(), "file".to_string());
    annotations.insert(HASH.to_string(), uid);
    annotations.insert(SEEN.to_string(), jiff::Timestamp::now().to_string());
    if let Some(spec) = &mut pod.spec {
        // It stays whatever is wrong with the node.
        spec.tolerations.get_or_insert_default().push(Toleration {
            operator: Some("Exists".to_string()),
            effect: Some("NoExecute".to_string()),
            ..Toleration::default()
        });
    }
    Ok(pod)
}

/// An object of the API that the pod needs, if it needs one.
fn references(pod: &Value) -> Option<&'static str> {
    let spec = &pod["spec"];
    let filled = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    for (field, object) in [
        ("serviceAccountName", "a ServiceAccount"),
        ("serviceAccount", "a ServiceAccount"),
        ("imagePullSecrets", "Secrets"),
        ("resourceClaims", "ResourceClaims"),
    ] {
        if filled(&spec[field]) {
            return Some(object);
        }
    }
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for volume in items(&spec["volumes"]) {
        let mut sources = items(&volume["projected"]["sources"]);
        sources.push(volume);
        for source in sources {
            for (field, object) in [
                ("secret", "a Secret"),
                ("configMap", "a ConfigMap"),
                ("persistentVolumeClaim", "a PersistentVolumeClaim"),
                ("ephemeral", "a PersistentVolumeClaim"),
                ("serviceAccountToken", "a ServiceAccount"),
                ("clusterTrustBundle", "a ClusterTrustBundle"),
                ("podCertificate", "a PodCertificateRequest"),
            ] {
                if filled(&source[field]) {
                    return Some(object);
                }
            }
        }
    }
    for group in ["initContainers", "containers"] {
        for container in items(&spec[group]) {
            for from in items(&container["envFrom"]) {
                if filled(&from["configMapRef"]) || filled(&from["secretRef"]) {
                    return Some("ConfigMaps or Secrets");
                }
            }
            for variable in items(&container["env"]) {
                let from = &variable["valueFrom"];
                if filled(&from["configMapKeyRef"]) || filled(&from["secretKeyRef"]) {
                    return Some("ConfigMaps or Secrets");
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_file_becomes_a_pod_of_this_node() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, uid: x}\nspec: {containers: [{name: c}]}\n";
        let pod = parse(text.as_bytes(), Path::new("/m/web.yaml"), "Node-A", Ok).unwrap();
        let meta = &pod.metadata;
        assert_eq!(meta.name.as_deref(), Some("web-node-a"));
        assert_eq!(meta.namespace.as_deref(), Some("default"));
        assert_eq!(meta.uid.as_ref().map(String::len), Some(32));
        let annotations = meta.annotations.as_ref().unwrap();
        assert_eq!(annotations[SOURCE], "file");
        assert_eq!(Some(&annotations[HASH]), meta.uid.as_ref());
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(spec.node_name.as_deref(), Some("Node-A"));
        assert_eq!(spec.tolerations.as_ref().unwrap().len(), 1);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let parse = |value: Value| {
            parse(value.to_string().as_bytes(), Path::new("/m/a"), "n", Ok).unwrap_err()
        };
        let pod = |spec: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec});
        for (value, said) in [
            (json!({"apiVersion": "v1", "kind": "List"}), "kind Pod"),
            (json!({"apiVersion": "v1", "kind": "Pod"}), "metadata.name"),
            (
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}),
                "spec",
            ),
            (
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": "a", "spec": 3}),
                "metadata.name",
            ),
            (pod(json!({"serviceAccountName": "x"})), "ServiceAccount"),
            (
                pod(json!({"volumes": [{"secret": {"secretName": "x"}}]})),
                "Secret",
            ),
            (
                pod(
                    json!({"volumes": [{"projected": {"sources": [{"configMap": {"name": "x"}}]}}]}),
                ),
                "ConfigMap",
            ),
            (
                pod(json!({"containers": [{"envFrom": [{"secretRef": {"name": "x"}}]}]})),
                "Secrets",
            ),
            (pod(json!({"containers": "x"})), "invalid type"),
        ] {
            let error = parse(value.clone());
            assert!(error.contains(said), "{value}: {error}");
        }
        let unread = super::parse(b"kind: [", Path::new("/m/a"), "n", Ok);
        assert!(unread.is_err());
    }
}
