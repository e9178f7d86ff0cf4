//! Manifests of pods as text.

use crate::busybox::IMAGE;

/// `spec` is the lines of the pod's spec behind its grace.
pub fn pod(name: &str, grace: u32, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: {grace}\n{spec}"
    )
}

/// A container's line in a list.
pub fn container(name: &str, script: &str, more: &str) -> String {
    format!(
        "  - {{name: {name}, image: {IMAGE}, command: [sh, -c, {}]{more}}}\n",
        serde_json::Value::from(script)
    )
}
