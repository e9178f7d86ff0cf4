//! From a pod's spec to what the runtime is told.
//!
//! What comes in: the pod, the image's configuration, the ConfigMaps and Secrets it mentions, the node's facts.
//! What goes out: [`crate::runtime::ContainerSpec`] and [`crate::runtime::SandboxSpec`], and a plan of volumes.
//!
//! Invariants: pure; a spec that cannot be honoured is an error with upstream's wording, never a silent default.
//! It never knows about the API client or whether a directory exists.

pub mod build;
pub mod command;
pub mod dns;
pub mod env;
pub mod env_file;
pub mod fields;
pub mod pod_resources;
pub mod resources;
pub mod security;
pub mod service_env;
pub mod volumes;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use std::collections::BTreeMap;

/// ConfigMaps and Secrets of the pod's namespace that it mentions and that exist.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub config_maps: BTreeMap<String, ConfigMap>,
    pub secrets: BTreeMap<String, Secret>,
    /// Texts of files that variables come from, by volume and path; of one container at a time.
    pub env_files: BTreeMap<(String, String), String>,
}

/// What specs may ask of the node.
#[derive(Debug, Clone, Default)]
pub struct NodeFacts {
    pub name: String,
    pub ip: String,
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub ephemeral_storage_bytes: i64,
    /// All the memory there is; the others are what is left for pods.
    pub memory_capacity_bytes: i64,
    /// Bytes by resource name (`hugepages-2Mi`).
    pub huge_pages: BTreeMap<String, i64>,
}

impl NodeFacts {
    /// What pods may ask for of `resource` together. `None`: a device plugin's or nobody's, which the scheduler
    /// alone decides over (upstream's kubelet leaves out what the node does not know).
    pub fn capacity(&self, resource: &str) -> Option<i64> {
        match resource {
            "cpu" => Some(self.cpu_milli),
            "memory" => Some(self.memory_bytes),
            "ephemeral-storage" => Some(self.ephemeral_storage_bytes),
            name if name.starts_with("hugepages-") => {
                Some(self.huge_pages.get(name).copied().unwrap_or(0))
            }
            _ => None,
        }
    }
}

/// The container cannot be configured as its spec asks (`CreateContainerConfigError`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);
