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
#[derive(Debug, Clone)]
pub struct NodeFacts {
    pub name: String,
    pub ip: String,
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub ephemeral_storage_bytes: i64,
}

/// The container cannot be configured as its spec asks (`CreateContainerConfigError`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);
