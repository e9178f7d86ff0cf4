//! Mirror pods: a node's account of a pod it was told of by a file. Pure.
//! <https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/>
//!
//! A node may make these only, and only of itself; and they get nothing from the API, for else a node could have any
//! secret by making a pod that mentions it (upstream's NodeRestriction and ServiceAccount admission).

use crate::object::access::{list, text};
use serde_json::Value;

const MIRROR: &str = "kubernetes.io/config.mirror";

pub fn is_mirror(pod: &Value) -> bool {
    !pod["metadata"]["annotations"][MIRROR].is_null()
}

/// Whether the agent of `node` may make `pod`.
pub fn from_node(pod: &Value, node: &str) -> Result<(), String> {
    if !is_mirror(pod) {
        return Err(format!(
            "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
        ));
    }
    if text(pod, "/spec/nodeName") != node {
        return Err(format!(
            "node {node:?} can only create pods with spec.nodeName set to itself"
        ));
    }
    Ok(())
}

/// Whether a mirror pod asks for nothing that the API would have to give.
pub fn check(pod: &Value) -> Result<(), String> {
    // The default's name is filled in for every pod; it gives a mirror pod nothing.
    if !matches!(text(pod, "/spec/serviceAccountName"), "" | "default") {
        return Err("a mirror pod may not reference service accounts".to_owned());
    }
    let containers = ["containers", "initContainers"]
        .iter()
        .flat_map(|group| list(pod, &format!("/spec/{group}")));
    for container in containers {
        let env = list(container, "/env")
            .iter()
            .any(|variable| !variable["valueFrom"]["secretKeyRef"].is_null());
        let from = list(container, "/envFrom")
            .iter()
            .any(|source| !source["secretRef"].is_null());
        if env || from {
            return Err("a mirror pod may not reference secrets".to_owned());
        }
    }
    for volume in list(pod, "/spec/volumes") {
        let sources = list(volume, "/projected/sources");
        if !volume["secret"].is_null() || sources.iter().any(|one| !one["secret"].is_null()) {
            return Err("a mirror pod may not reference secrets".to_owned());
        }
        if sources
            .iter()
            .any(|one| !one["serviceAccountToken"].is_null())
        {
            return Err(
                "a mirror pod may not use ServiceAccountToken volume projections".to_owned(),
            );
        }
        if !volume["persistentVolumeClaim"].is_null() {
            return Err("a mirror pod may not reference persistentvolumeclaims".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_mirror_pod_asks_for_nothing() {
        let pod = |spec: Value| json!({"metadata": {"annotations": {MIRROR: "x"}}, "spec": spec});
        assert!(is_mirror(&pod(json!({}))) && !is_mirror(&json!({})));
        for (spec, fits) in [
            (
                json!({"nodeName": "n", "serviceAccountName": "default", "volumes": [{"emptyDir": {}}]}),
                true,
            ),
            (json!({"serviceAccountName": "x"}), false),
            (json!({"volumes": [{"secret": {"secretName": "s"}}]}), false),
            (
                json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {}}]}}]}),
                false,
            ),
            (
                json!({"volumes": [{"projected": {"sources": [{"secret": {}}]}}]}),
                false,
            ),
            (
                json!({"volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]}),
                false,
            ),
            (
                json!({"containers": [{"env": [{"valueFrom": {"secretKeyRef": {}}}]}]}),
                false,
            ),
            (
                json!({"initContainers": [{"envFrom": [{"secretRef": {}}]}]}),
                false,
            ),
        ] {
            assert_eq!(check(&pod(spec.clone())).is_ok(), fits, "{spec}");
        }
        assert!(from_node(&pod(json!({"nodeName": "n"})), "n").is_ok());
        assert!(from_node(&pod(json!({"nodeName": "m"})), "n").is_err());
        assert!(from_node(&json!({"spec": {"nodeName": "n"}}), "n").is_err());
    }
}
