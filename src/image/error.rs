//! What can go wrong with images, in sentences a user can act on.

use std::path::{Path, PathBuf};

/// Why an image could not be found, fetched, read, kept or removed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Worded as the kubelet words `InvalidImageName`.
    #[error("couldn't parse image name {reference:?}: {why}")]
    Reference { reference: String, why: String },
    #[error(
        "registry {registry} cannot be reached: {why}; check the name, the network and that the registry runs"
    )]
    Unreachable { registry: String, why: String },
    #[error(
        "registry {registry} refuses to give {reference}: unauthorized; check the image pull secret's user and password"
    )]
    Unauthorized { registry: String, reference: String },
    #[error(
        "{reference} not found: manifest unknown to the registry; check the repository name and the tag"
    )]
    NotFound { reference: String },
    #[error("registry {registry} answers with an error: {why}")]
    Registry { registry: String, why: String },
    #[error(
        "{what} is damaged: expected digest {expected}, found {found}; nothing of it was kept, fetch it again"
    )]
    DigestMismatch {
        what: String,
        expected: String,
        found: String,
    },
    #[error("{what} is not made for this machine ({platform}); it offers: {offered}")]
    Platform {
        what: String,
        platform: String,
        offered: String,
    },
    #[error("{what} cannot be read: {why}")]
    Malformed { what: String, why: String },
    #[error("{what} cannot be run: media type {media_type:?}: {why}")]
    MediaType {
        what: String,
        media_type: String,
        why: String,
    },
    #[error("{path} is wrong: {why}; correct it, the next pull reads it again")]
    Sources { path: PathBuf, why: String },
    #[error(
        "{path} leaves the password of {registry} to the credential helper docker-credential-{helper}, which a node does not run; write an `auth` entry for it into config.json in the data directory, or give the pod an image pull secret"
    )]
    CredentialHelper {
        path: PathBuf,
        registry: String,
        helper: String,
    },
    #[error("the archive cannot be read: {why}; nothing of it was kept, make or copy it again")]
    Archive { why: String },
    #[error(
        "the archive names no image; save it under a full name (`docker save NAME:TAG`, `skopeo copy … oci-archive:FILE:NAME:TAG`)"
    )]
    Unnamed,
    #[error("layer {layer} cannot be unpacked: {path}: {why}")]
    Layer {
        layer: String,
        path: String,
        why: String,
    },
    #[error("{what}: {value} is more than the limit of {limit}")]
    Limit {
        what: String,
        value: u64,
        limit: u64,
    },
    #[error(
        "no space left on device: the disk of {path} is full; remove images (`coracle image rm`) or files and try again"
    )]
    DiskFull { path: PathBuf },
    #[error(
        "no space left on device: {what} needs at least {needed_bytes} bytes and the disk of {path} has {free_bytes} free; remove images (`coracle image rm`) or files and try again"
    )]
    NoRoom {
        what: String,
        needed_bytes: u64,
        free_bytes: u64,
        path: PathBuf,
    },
    #[error("image {reference} is in use by a container; delete its pods first")]
    InUse { reference: String },
    #[error("image {reference} is pinned: garbage collection keeps it")]
    Pinned { reference: String },
    #[error("no image {reference} on this node; `coracle image ls` lists what there is")]
    Absent { reference: String },
    #[error("HTTPS is not ready: no default rustls crypto provider is installed in this process")]
    NoCryptoProvider,
    #[error("cannot {action} {path}: {source}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("image work stopped early: {0}")]
    Stopped(String),
}

impl ImageError {
    /// An error of the file system, told apart when the disk is full.
    pub(super) fn io(action: &'static str, path: &Path, source: std::io::Error) -> ImageError {
        if is_full(&source) {
            ImageError::DiskFull { path: path.into() }
        } else {
            ImageError::Io {
                action,
                path: path.into(),
                source,
            }
        }
    }

    /// The peer or the network failed, not the image: whole layers already here stay for the next try.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            ImageError::Unreachable { .. } | ImageError::Registry { .. }
        )
    }
}

/// `ENOSPC` or a used-up quota.
fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(code) if code == nix::libc::ENOSPC || code == nix::libc::EDQUOT
    )
}
