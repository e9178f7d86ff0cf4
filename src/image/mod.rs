//! Images: pulled or imported, verified by digest, unpacked once, stacked as overlayfs root filesystems.

use crate::profile::ImageProfile;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What an image's configuration says about running it (OCI image-spec, `config`).
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageConfig {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Empty: `/`.
    pub working_dir: String,
    /// `user`, `uid`, `user:group` or `uid:gid`; empty: root.
    pub user: String,
    /// `SIGTERM` where empty.
    pub stop_signal: String,
}

/// An image present on this node.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Image {
    /// Digest of the image's configuration: `sha256:…` (Kubernetes' image id).
    pub id: String,
    /// Full names that point here, tag form: `docker.io/library/busybox:1.36`.
    pub tags: Vec<String>,
    /// Full names by manifest digest: `docker.io/library/busybox@sha256:…`.
    pub digests: Vec<String>,
    /// Layers by diff id, lowest first.
    pub layers: Vec<String>,
    /// Bytes of all layers, unpacked.
    pub size_bytes: u64,
    pub config: ImageConfig,
}

/// Basic credentials for a registry.
#[derive(Clone)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

/// Told while an image arrives.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "phase", rename_all = "camelCase")]
pub enum Progress {
    Resolving {
        reference: String,
    },
    /// `total_bytes` is 0 where the source does not say.
    Layer {
        digest: String,
        done_bytes: u64,
        total_bytes: u64,
    },
    /// This layer was here already.
    Present {
        digest: String,
    },
    Done {
        image: Box<Image>,
    },
}

/// Directories for one overlayfs mount; whoever mounts it needs nothing else.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RootFs {
    /// Lowest layer last, as overlayfs' `lowerdir` wants it.
    pub lower: Vec<PathBuf>,
    pub upper: PathBuf,
    pub work: PathBuf,
    /// Empty directory to mount on.
    pub merged: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("image reference {reference:?} cannot be read: {why}")]
    Reference { reference: String, why: String },
    #[error("{0}")]
    Other(String),
}

/// This node's images. Shared; all methods take `&self`.
#[derive(Debug)]
pub struct Images {}

impl Images {
    /// Opens `dir`, removes what an interrupted pull or import left behind, and adds the built-in
    /// `coracle.local/hello` made from `executable`.
    pub fn open(
        _dir: &Path,
        _profile: &ImageProfile,
        _executable: &Path,
    ) -> Result<Arc<Images>, ImageError> {
        todo!()
    }
    /// The image a pod spec's `image` means, if it is here.
    pub fn find(&self, _reference: &str) -> Result<Option<Image>, ImageError> {
        todo!()
    }
    pub fn list(&self) -> Vec<Image> {
        todo!()
    }
    /// Fetches what is missing. `progress` is called often and must be quick.
    pub async fn pull(
        &self,
        _reference: &str,
        _credentials: Option<&Credentials>,
        _progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Image, ImageError> {
        todo!()
    }
    /// Reads an OCI or docker archive (tar, also gzip) from `reader` (streamed; blocking: call from a blocking thread).
    pub fn import(
        &self,
        _reader: &mut dyn std::io::Read,
        _progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Vec<Image>, ImageError> {
        todo!()
    }
    /// Removes a tag, and the image with its last tag; `in_use` images (by id) are kept with an error.
    pub fn remove(
        &self,
        _reference: &str,
        _in_use: &dyn Fn(&str) -> bool,
    ) -> Result<(), ImageError> {
        todo!()
    }
    /// Directories for a container's root filesystem, its writable part under `dir` (created).
    pub fn root_fs(&self, _image: &Image, _dir: &Path) -> Result<RootFs, ImageError> {
        todo!()
    }
}
