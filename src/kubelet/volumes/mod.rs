//! Volumes made real: before the sandbox, kept up to date while the pod runs, taken away with it.
//!
//! What comes in: plans ([`super::spec::volumes`]) and where a pod's directories are. What goes out: directories on
//! disk and tmpfs, and the mounts of a container.
//!
//! Invariants: what is made twice is made once, so that a process that dies half-way is followed by one that goes on;
//! files change all at once; nothing below a volume is removed while something is mounted there, so that no data of
//! the host's goes with a pod. The only mounts on the host are tmpfs and hugetlbfs at a volume's own directory: sub
//! paths and image layers are mounted by the shim, in namespaces that end with it. It never knows about the API.

mod claims;
mod empty_dir;
mod files;
mod host_path;
mod live;
mod mount_table;
mod ownership;
mod remove;
mod tokens;
mod watched;

pub use claims::resolve as resolve_claims;
pub use live::{Live, REFRESH_RETRY_MS};
pub use ownership::Ownership;
pub use remove::{remove_dir, remove_pod, remove_tree, remove_volumes};
pub use watched::Watched;

use super::spec::build::DraftMount;
use super::spec::volumes::Plan;
use crate::runtime::{Mount, subpath};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A volume could not be set up (`FailedMount`).
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("cannot {what} {path}: {cause}")]
    Disk {
        what: &'static str,
        path: String,
        cause: io::Error,
    },
    #[error("hostPath type check failed: {path} is not a {wanted}")]
    HostPath { path: String, wanted: &'static str },
    #[error(
        "this node has no huge pages of {0} bytes; have the kernel set some aside (hugepages= on its command line) or choose another medium"
    )]
    NoHugePages(u64),
    #[error("path {0:?} does not exist")]
    NoLocal(String),
    #[error("volume {0:?} is mounted but not listed in spec.volumes")]
    Unknown(String),
    /// Wording of kubelet's `makeMounts`.
    #[error("failed to prepare subPath for volumeMount {volume:?}: {cause}")]
    SubPath {
        volume: String,
        cause: subpath::SubPathError,
    },
    #[error("{path} is still mounted; it is not removed, for what is mounted there would go too")]
    Mounted { path: String },
}

fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VolumeError {
    let path = path.display().to_string();
    move |cause| VolumeError::Disk { what, path, cause }
}

/// Where a volume is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    pub path: PathBuf,
    /// Of an image, topmost first; then `path` is nothing.
    pub layers: Vec<PathBuf>,
    /// Nobody may write, whatever the mount says.
    pub read_only: bool,
}

/// Makes one volume, or finds it made; files are brought up to date. Images are not made here.
pub fn make(
    plan: &Plan,
    on_disk: &Path,
    in_memory: &Path,
    ownership: &Ownership,
) -> Result<Place, VolumeError> {
    let (path, read_only) = match plan {
        Plan::EmptyDir { mode } => {
            empty_dir::on_disk(on_disk, *mode, ownership)?;
            (on_disk.to_path_buf(), false)
        }
        Plan::Memory { size_bytes, mode } => {
            empty_dir::in_memory(on_disk, *size_bytes, *mode, ownership)?;
            (on_disk.to_path_buf(), false)
        }
        Plan::HugePages { page_bytes, mode } => {
            empty_dir::huge_pages(on_disk, *page_bytes, *mode, ownership)?;
            (on_disk.to_path_buf(), false)
        }
        Plan::HostPath {
            path,
            kind,
            read_only,
        } => (host_path::prepare(Path::new(path), kind)?, *read_only),
        Plan::Local { path, read_only } => {
            let path = PathBuf::from(path);
            if fs::metadata(&path).is_err() {
                return Err(VolumeError::NoLocal(path.display().to_string()));
            }
            if !read_only {
                ownership.give(&path, false)?;
            }
            (path, *read_only)
        }
        Plan::Files { files } => {
            files::write(files, in_memory, ownership)?;
            (in_memory.to_path_buf(), true)
        }
        Plan::Image { .. } => (PathBuf::new(), true),
    };
    Ok(Place {
        path,
        layers: Vec::new(),
        read_only,
    })
}

fn make_dir(path: &Path, mode: u32) -> Result<(), VolumeError> {
    fs::create_dir_all(path).map_err(disk("create", path))?;
    set_mode(path, mode)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), VolumeError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(disk("set the mode of", path))
}

/// The mounts of one container. Sub paths are looked at and made here, so that a wrong one is told before the start;
/// the shim resolves them again when it mounts.
pub fn mounts(
    drafts: &[DraftMount],
    places: &BTreeMap<String, Place>,
) -> Result<Vec<Mount>, VolumeError> {
    drafts
        .iter()
        .map(|draft| {
            let place = places
                .get(&draft.volume)
                .ok_or_else(|| VolumeError::Unknown(draft.volume.clone()))?;
            let sub_path = PathBuf::from(&draft.sub_path);
            if !draft.sub_path.is_empty() && place.layers.is_empty() {
                subpath::ensure(&place.path, &sub_path).map_err(|cause| VolumeError::SubPath {
                    volume: draft.volume.clone(),
                    cause,
                })?;
            }
            Ok(Mount {
                source: place.path.clone(),
                target: draft.target.clone(),
                read_only: draft.read_only || place.read_only,
                sub_path,
                layers: place.layers.clone(),
                propagation: draft.propagation,
                recursive_read_only: draft.recursive_read_only,
                options: draft.options.clone(),
            })
        })
        .collect()
}

/// An empty file anyone may write, whatever user its container runs as.
pub fn make_open_file(path: &Path) -> Result<(), VolumeError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(disk("create", parent))?;
    }
    fs::File::create(path).map_err(disk("create", path))?;
    set_mode(path, 0o666)
}
