//! `fsGroup`: whom a volume belongs to.
//! <https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#configure-volume-permission-and-ownership-change-policy-for-pods>

use super::{VolumeError, disk, set_mode};
use k8s_openapi::api::core::v1::Pod;
use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

/// Masks of upstream's `volume_linux.go`.
const READ_WRITE: u32 = 0o660;
const READ_ONLY: u32 = 0o440;
const DIRECTORY: u32 = 0o2110;

/// A pod's `fsGroup` and how eagerly it is applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ownership {
    pub group: Option<u32>,
    /// `fsGroupChangePolicy: OnRootMismatch`.
    pub on_root_mismatch: bool,
}

impl Ownership {
    pub fn of(pod: &Pod) -> Ownership {
        let context = pod.spec.as_ref().and_then(|s| s.security_context.as_ref());
        Ownership {
            group: context
                .and_then(|c| c.fs_group)
                .and_then(|group| u32::try_from(group).ok()),
            on_root_mismatch: context
                .and_then(|c| c.fs_group_change_policy.as_deref())
                .is_some_and(|policy| policy == "OnRootMismatch"),
        }
    }

    /// Gives everything at and below `root` to the group. The root comes last: while its group is wrong, an
    /// interrupted change is seen and made again.
    pub fn give(&self, root: &Path, read_only: bool) -> Result<(), VolumeError> {
        let Some(group) = self.group else {
            return Ok(());
        };
        let mask = if read_only { READ_ONLY } else { READ_WRITE };
        if self.on_root_mismatch {
            let found = fs::metadata(root).map_err(disk("look at", root))?;
            let wanted = mask | DIRECTORY;
            if found.gid() == group && found.mode() & wanted == wanted {
                return Ok(());
            }
        }
        let mut left: Vec<PathBuf> = vec![root.to_path_buf()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory).map_err(disk("list", &directory))? {
                let path = entry.map_err(disk("list", &directory))?.path();
                let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
                give_one(&path, group, mask)?;
                if is_directory {
                    left.push(path);
                }
            }
        }
        give_one(root, group, mask)
    }
}

fn give_one(path: &Path, group: u32, mask: u32) -> Result<(), VolumeError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        // Somebody who uses the volume removed it meanwhile.
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(disk("look at", path)(cause)),
    };
    if found.gid() != group {
        lchown(path, None, Some(group)).map_err(disk("change the group of", path))?;
    }
    if found.is_symlink() {
        return Ok(());
    }
    let mask = if found.is_dir() {
        mask | DIRECTORY
    } else {
        mask
    };
    set_mode(path, (found.mode() | mask) & 0o7777)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn everything_below_is_given_and_links_are_not_followed() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::write(&outside, "").unwrap();
        let root = dir.path().join("v");
        fs::create_dir_all(root.join("a")).unwrap();
        fs::write(root.join("a/f"), "").unwrap();
        set_mode(&root.join("a/f"), 0o600).unwrap();
        symlink(&outside, root.join("link")).unwrap();
        let give = |on_root_mismatch| Ownership {
            group: Some(4321),
            on_root_mismatch,
        };
        give(false).give(&root, false).unwrap();
        let of = |path: &str| {
            let found = fs::symlink_metadata(root.join(path)).unwrap();
            (found.gid(), found.permissions().mode() & 0o7777)
        };
        assert_eq!(of("a/f"), (4321, 0o660));
        assert_eq!(of("a"), (4321, 0o2775));
        assert_eq!(of("."), (4321, 0o2775));
        assert_eq!(of("link").0, 4321);
        assert_eq!(
            fs::metadata(&outside).unwrap().gid(),
            nix::unistd::getegid().as_raw()
        );
        set_mode(&root.join("a/f"), 0o600).unwrap();
        give(true).give(&root, false).unwrap();
        assert_eq!(
            of("a/f"),
            (4321, 0o600),
            "the root is right, so nothing is touched"
        );
        give(false).give(&root, false).unwrap();
        assert_eq!(of("a/f"), (4321, 0o660));
    }
}
