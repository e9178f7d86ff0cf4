//! What other parts see of an image: its configuration, its record, progress and overlay directories.

use std::path::PathBuf;

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
///
/// The paths of `lower` are short symbolic links, because all mount options together must fit one
/// page (mount(2)); they hold no character that overlayfs would want escaped.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RootFs {
    /// Lowest layer last, as overlayfs' `lowerdir` wants it.
    pub lower: Vec<PathBuf>,
    pub upper: PathBuf,
    pub work: PathBuf,
    /// Empty directory to mount on.
    pub merged: PathBuf,
}
