//! Taking volumes away.

use super::mount_table::at_and_below;
use super::{VolumeError, disk};
use crate::kubelet::dirs::Dirs;
use nix::mount::{MntFlags, umount2};
use std::fs;
use std::io;
use std::path::Path;

/// Removes a pod's volumes. Whatever is mounted there is unmounted first, be it a tmpfs of ours or what a privileged
/// container left behind (`mountPropagation: Bidirectional`): nothing below a mount is a pod's to remove.
pub fn remove_volumes(dirs: &Dirs, uid: &str) -> Result<(), VolumeError> {
    remove_tree(&dirs.volumes(uid))?;
    remove_tree(&dirs.volumes_in_memory(uid))
}

/// Removes a directory whose users could mount on it.
pub fn remove_tree(directory: &Path) -> Result<(), VolumeError> {
    unmount_below(directory)?;
    remove_dir(directory)
}

fn unmount_below(directory: &Path) -> Result<(), VolumeError> {
    for point in at_and_below(directory) {
        umount2(&point, MntFlags::MNT_DETACH)
            .map_err(io::Error::from)
            .map_err(disk("unmount", &point))?;
    }
    match at_and_below(directory).first() {
        Some(point) => Err(VolumeError::Mounted {
            path: point.display().to_string(),
        }),
        None => Ok(()),
    }
}

/// Removes a directory that may not be there.
pub fn remove_dir(dir: &Path) -> Result<(), VolumeError> {
    match fs::remove_dir_all(dir) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(disk("remove", dir)(cause)),
        _ => Ok(()),
    }
}

/// Removes everything of a pod.
pub fn remove_pod(dirs: &Dirs, uid: &str) -> Result<(), VolumeError> {
    remove_volumes(dirs, uid)?;
    remove_dir(&dirs.all_last_words(uid))?;
    remove_dir(&dirs.pod(uid))
}
