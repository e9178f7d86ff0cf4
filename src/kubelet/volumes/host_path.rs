//! `hostPath`: what is on the node, of the type the pod expects.

use super::{VolumeError, disk};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// <https://kubernetes.io/docs/concepts/storage/volumes/#hostpath-volume-types>
pub fn prepare(path: &Path, kind: &str) -> Result<PathBuf, VolumeError> {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        "DirectoryOrCreate" if !path.exists() => {
            fs::create_dir_all(path).map_err(disk("create", path))?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))
                .map_err(disk("set the mode of", path))?;
        }
        "FileOrCreate" if !path.exists() => {
            fs::File::create(path).map_err(disk("create", path))?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o644))
                .map_err(disk("set the mode of", path))?;
        }
        _ => {}
    }
    let kind_of = fs::metadata(path).map(|m| m.file_type());
    if kind.is_empty() {
        // Upstream mounts whatever is there; a path that is not there becomes a directory.
        if kind_of.is_err() {
            fs::create_dir_all(path).map_err(disk("create", path))?;
        }
        return Ok(path.to_path_buf());
    }
    let kind_of = kind_of.map_err(disk("look at", path))?;
    let (holds, wanted) = match kind {
        "Directory" | "DirectoryOrCreate" => (kind_of.is_dir(), "directory"),
        "File" | "FileOrCreate" => (kind_of.is_file(), "file"),
        "Socket" => (kind_of.is_socket(), "socket file"),
        "CharDevice" => (kind_of.is_char_device(), "character device"),
        "BlockDevice" => (kind_of.is_block_device(), "block device"),
        _ => (false, "known hostPath type"),
    };
    if holds {
        Ok(path.to_path_buf())
    } else {
        Err(VolumeError::HostPath {
            path: path.display().to_string(),
            wanted,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn host_path_types() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "").unwrap();
        for (path, kind, good) in [
            (dir.path().to_path_buf(), "Directory", true),
            (file.clone(), "Directory", false),
            (file.clone(), "File", true),
            (file, "Socket", false),
            (dir.path().join("new/dir"), "DirectoryOrCreate", true),
            (dir.path().join("newfile"), "FileOrCreate", true),
            (dir.path().join("missing"), "File", false),
            (dir.path().join("made"), "", true),
        ] {
            assert_eq!(
                prepare(&path, kind).is_ok(),
                good,
                "{} {kind}",
                path.display()
            );
        }
    }
}
