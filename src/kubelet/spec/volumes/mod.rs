//! What a pod's volumes are made from, and what is in those that hold files.
//! <https://kubernetes.io/docs/concepts/storage/volumes/>
//!
//! What comes in: the pod, and what its volumes mention as far as it was found (objects, tokens, bound claims).
//! What goes out: one [`Plan`] per volume. Pure; never knows how a plan is carried out, nor about the API client.

mod empty_dir;
mod files;
mod mentioned;

pub use files::{TokenKey, TokenWish, token_wishes};
pub use mentioned::{mentioned, mentioned_in_files, volume_images};

use super::{ConfigError, NodeFacts, Sources};
use k8s_openapi::api::core::v1::{PersistentVolume, Pod, Volume};
use std::collections::BTreeMap;

/// One file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub bytes: Vec<u8>,
    pub mode: u32,
    /// Owner; `None`: root.
    pub user: Option<u32>,
}

/// How one volume comes to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    EmptyDir {
        mode: u32,
    },
    /// A tmpfs of its own.
    Memory {
        size_bytes: u64,
        mode: u32,
    },
    /// A hugetlbfs of its own.
    HugePages {
        page_bytes: u64,
        mode: u32,
    },
    HostPath {
        path: String,
        kind: String,
        read_only: bool,
    },
    /// A directory that is there and is given to the pod as its own (`fsGroup`).
    Local {
        path: String,
        read_only: bool,
    },
    /// Files by path below the volume; kept on tmpfs.
    Files {
        files: BTreeMap<String, File>,
    },
    Image {
        reference: String,
        pull_policy: Option<String>,
    },
}

/// What was found of all that a pod's volumes mention.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    pub sources: &'a Sources,
    pub tokens: &'a BTreeMap<TokenKey, String>,
    /// By volume: the persistent volume, or why there is none yet.
    pub claims: &'a BTreeMap<String, Result<PersistentVolume, String>>,
    pub node: &'a NodeFacts,
}

pub fn plan(pod: &Pod, volume: &Volume, found: &Found) -> Result<Plan, ConfigError> {
    if let Some(empty) = &volume.empty_dir {
        return empty_dir::plan(pod, empty, found.node);
    }
    if let Some(host) = &volume.host_path {
        return Ok(Plan::HostPath {
            path: host.path.clone(),
            kind: host.type_.clone().unwrap_or_default(),
            read_only: false,
        });
    }
    if let Some(image) = &volume.image {
        return Ok(Plan::Image {
            reference: image.reference.clone().unwrap_or_default(),
            pull_policy: image.pull_policy.clone(),
        });
    }
    if volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some() {
        let read_only = volume
            .persistent_volume_claim
            .as_ref()
            .is_some_and(|claim| claim.read_only == Some(true));
        return match found.claims.get(&volume.name) {
            Some(Ok(persistent)) => persistent_plan(persistent, read_only),
            Some(Err(why)) => Err(ConfigError(why.clone())),
            None => Err(ConfigError("its claim has not been looked up".to_string())),
        };
    }
    match files::plan(pod, volume, found)? {
        Some(files) => Ok(Plan::Files { files }),
        None => Err(ConfigError(format!(
            "volume {:?} is of a type this node does not support; use emptyDir, hostPath, configMap, secret, downwardAPI, projected, image or a claim of a local volume",
            volume.name
        ))),
    }
}

/// Volumes made of files of the API's, which are kept up to date.
pub fn holds_files(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}

fn persistent_plan(persistent: &PersistentVolume, read_only: bool) -> Result<Plan, ConfigError> {
    let spec = persistent.spec.clone().unwrap_or_default();
    if let Some(host) = spec.host_path {
        return Ok(Plan::HostPath {
            path: host.path,
            kind: host.type_.unwrap_or_default(),
            read_only,
        });
    }
    if let Some(local) = spec.local {
        return Ok(Plan::Local {
            path: local.path,
            read_only,
        });
    }
    Err(ConfigError(format!(
        "persistent volume {:?} is of a type this node does not support; use hostPath or local",
        persistent.metadata.name.as_deref().unwrap_or_default()
    )))
}

#[cfg(test)]
mod tests;
