//! What the kubelet's events are about: pods, their containers, the node.

pub use crate::client::recorder::{Kind, Recorder};
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};

impl Recorder {
    /// About a pod, or one of its containers.
    pub fn pod(
        &self,
        pod: &Pod,
        container: Option<(bool, &str)>,
        kind: Kind,
        reason: &'static str,
        message: String,
    ) {
        self.note(reference(pod, container), kind, reason, message);
    }

    /// About this node, whose object need not be at hand (upstream's kubelet names itself in the uid's place as well).
    pub fn node_named(&self, name: &str, kind: Kind, reason: &'static str, message: String) {
        self.note(
            ObjectReference {
                kind: Some("Node".to_string()),
                name: Some(name.to_string()),
                uid: Some(name.to_string()),
                ..ObjectReference::default()
            },
            kind,
            reason,
            message,
        );
    }

    pub fn node(&self, node: &Node, kind: Kind, reason: &'static str, message: String) {
        self.note(
            ObjectReference {
                kind: Some("Node".to_string()),
                name: node.metadata.name.clone(),
                uid: node.metadata.uid.clone(),
                ..ObjectReference::default()
            },
            kind,
            reason,
            message,
        );
    }
}

/// A pod, or one of its containers (whether it is an init container, and its name), as events name it.
pub fn reference(pod: &Pod, container: Option<(bool, &str)>) -> ObjectReference {
    let meta = &pod.metadata;
    let field_path = container.map(|(init, name)| {
        let list = if init {
            "initContainers"
        } else if super::pod::ephemeral::list(pod).any(|e| e.name == name) {
            "ephemeralContainers"
        } else {
            "containers"
        };
        format!("spec.{list}{{{name}}}")
    });
    ObjectReference {
        api_version: Some("v1".to_string()),
        kind: Some("Pod".to_string()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path,
    }
}
