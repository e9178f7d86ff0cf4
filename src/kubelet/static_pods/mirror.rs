//! A static pod's picture in the API: pure.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use std::sync::Arc;

pub const SOURCE: &str = "kubernetes.io/config.source";
pub const HASH: &str = "kubernetes.io/config.hash";
pub const SEEN: &str = "kubernetes.io/config.seen";
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// What a static pod's worker knows of the API's side.
#[derive(Debug, Clone, Default)]
pub struct Mirror {
    /// The pod of its name in the API, if there is one.
    pub pod: Option<Arc<Pod>>,
    /// The API has been heard: no mirror means that there is none.
    pub listed: bool,
}

/// The mirror to create for `pod`, owned by its node.
pub fn of(pod: &Pod, node_name: &str, node_uid: &str) -> Pod {
    let meta = &pod.metadata;
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    let hash = annotations.get(HASH).cloned().unwrap_or_default();
    annotations.insert(MIRROR.to_string(), hash);
    Pod {
        metadata: ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            labels: meta.labels.clone(),
            annotations: Some(annotations),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_string(),
                kind: "Node".to_string(),
                name: node_name.to_string(),
                uid: node_uid.to_string(),
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        spec: pod.spec.clone(),
        status: None,
    }
}

/// Whether an object of the API is a mirror.
pub fn is_mirror(pod: &Pod) -> bool {
    hash(pod).is_some()
}

fn hash(mirror: &Pod) -> Option<&str> {
    let annotations = mirror.metadata.annotations.as_ref()?;
    annotations.get(MIRROR).map(String::as_str)
}

/// Whether `mirror` shows `pod` as it is now, and is to stay.
pub fn shows(mirror: &Pod, pod: &Pod) -> bool {
    mirror.metadata.deletion_timestamp.is_none() && hash(mirror) == pod.metadata.uid.as_deref()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn mirrors_and_their_pods() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a-n", "namespace": "x", "uid": "h", "annotations": {HASH: "h", SOURCE: "file"}},
            "spec": {"containers": [{"name": "c"}]}
        }))
        .unwrap();
        let mut mirror = of(&pod, "n", "node-uid");
        assert!(is_mirror(&mirror) && !is_mirror(&pod));
        assert!(shows(&mirror, &pod));
        assert_eq!(mirror.metadata.uid, None);
        let owner = &mirror.metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!(
            (owner.kind.as_str(), owner.uid.as_str()),
            ("Node", "node-uid")
        );
        let mut changed = pod.clone();
        changed.metadata.uid = Some("other".to_string());
        assert!(!shows(&mirror, &changed));
        mirror.metadata.deletion_timestamp = Some(crate::kubelet::pod::status::time(0));
        assert!(!shows(&mirror, &pod));
    }
}
