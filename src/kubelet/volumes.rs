//! Volumes on disk and tmpfs: made before the sandbox, removed with the pod.

use super::dirs::Dirs;
use super::spec::build::DraftMount;
use super::spec::volumes::{File, Plan};
use crate::runtime::Mount;
use nix::mount::{MsFlags, mount, umount2};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// A volume could not be set up (`FailedMount`).
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("{0}")]
    Config(#[from] super::spec::ConfigError),
    #[error("cannot {what} {path}: {cause}")]
    Disk {
        what: &'static str,
        path: String,
        cause: io::Error,
    },
    #[error("hostPath type check failed: {path} is not a {wanted}")]
    HostPath { path: String, wanted: &'static str },
    #[error("volume {0:?} is mounted but not listed in spec.volumes")]
    Unknown(String),
    #[error("subPath {sub_path:?} leads out of volume {volume:?}")]
    SubPath { volume: String, sub_path: String },
}

fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VolumeError {
    let path = path.display().to_string();
    move |cause| VolumeError::Disk { what, path, cause }
}

/// Makes one volume and returns where it is. Called again it leaves what is there and refreshes files.
pub fn make(
    plan: &Plan,
    on_disk: &Path,
    in_memory: &Path,
    fs_group: Option<u32>,
) -> Result<PathBuf, VolumeError> {
    match plan {
        Plan::EmptyDir => {
            make_dir(on_disk, 0o777)?;
            give_group(on_disk, fs_group)?;
            Ok(on_disk.to_path_buf())
        }
        Plan::Memory { size_bytes } => {
            make_dir(on_disk, 0o777)?;
            if !is_mount(on_disk) {
                let options = match size_bytes {
                    Some(size) => format!("mode=0777,size={size}"),
                    None => "mode=0777".to_string(),
                };
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
                mount(
                    Some("tmpfs"),
                    on_disk,
                    Some("tmpfs"),
                    flags,
                    Some(options.as_str()),
                )
                .map_err(io::Error::from)
                .map_err(disk("mount tmpfs on", on_disk))?;
            }
            give_group(on_disk, fs_group)?;
            Ok(on_disk.to_path_buf())
        }
        Plan::HostPath { path, kind } => host_path(Path::new(path), kind),
        Plan::Files { files } => {
            write_files(files, in_memory, fs_group)?;
            Ok(in_memory.to_path_buf())
        }
    }
}

fn make_dir(path: &Path, mode: u32) -> Result<(), VolumeError> {
    fs::create_dir_all(path).map_err(disk("create", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(disk("set the mode of", path))
}

/// `fsGroup`: the group owns the directory and everything made in it later.
fn give_group(path: &Path, group: Option<u32>) -> Result<(), VolumeError> {
    let Some(group) = group else { return Ok(()) };
    chown(path, None, Some(group)).map_err(disk("change the group of", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o2777))
        .map_err(disk("set the mode of", path))
}

/// True where another filesystem begins at `path`.
fn is_mount(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |p: &Path| fs::symlink_metadata(p).map(|m| m.dev()).ok();
    path.parent()
        .is_some_and(|parent| device(path) != device(parent))
}

/// <https://kubernetes.io/docs/concepts/storage/volumes/#hostpath-volume-types>
fn host_path(path: &Path, kind: &str) -> Result<PathBuf, VolumeError> {
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

/// Writes the files so that a reader sees all of them old or all of them new: a fresh directory, and the `..data`
/// link turned over to it by rename (upstream's `AtomicWriter`).
fn write_files(
    files: &BTreeMap<String, File>,
    dir: &Path,
    group: Option<u32>,
) -> Result<(), VolumeError> {
    make_dir(dir, 0o755)?;
    let stamp = format!("..{}", uuid::Uuid::new_v4().simple());
    let fresh = dir.join(&stamp);
    make_dir(&fresh, 0o755)?;
    for (path, file) in files {
        let target = fresh.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(disk("create", parent))?;
        }
        fs::write(&target, &file.bytes).map_err(disk("write", &target))?;
        // The group needs to read what it is given.
        let mode = if group.is_some() {
            file.mode | 0o440
        } else {
            file.mode
        };
        fs::set_permissions(&target, fs::Permissions::from_mode(mode))
            .map_err(disk("set the mode of", &target))?;
        if let Some(group) = group {
            chown(&target, None, Some(group)).map_err(disk("change the group of", &target))?;
        }
    }
    let data = dir.join("..data");
    let old = fs::read_link(&data).ok();
    let turning = dir.join("..data_tmp");
    let _ = fs::remove_file(&turning);
    symlink(&stamp, &turning).map_err(disk("link", &turning))?;
    fs::rename(&turning, &data).map_err(disk("rename to", &data))?;
    for name in files.keys().filter_map(|path| path.split('/').next()) {
        let link = dir.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), &link).map_err(disk("link", &link))?;
        }
    }
    if let Some(old) = old {
        fs::remove_dir_all(dir.join(&old)).map_err(disk("remove", &old))?;
    }
    Ok(())
}

/// The mounts of one container. A `subPath` is resolved and must stay in its volume; one that is not there becomes a
/// directory.
pub fn mounts(
    drafts: &[DraftMount],
    volumes: &BTreeMap<String, PathBuf>,
) -> Result<Vec<Mount>, VolumeError> {
    drafts
        .iter()
        .map(|draft| {
            let root = volumes
                .get(&draft.volume)
                .ok_or_else(|| VolumeError::Unknown(draft.volume.clone()))?;
            let source = if draft.sub_path.is_empty() {
                root.clone()
            } else {
                sub_path(root, draft)?
            };
            Ok(Mount {
                source,
                target: draft.target.clone(),
                read_only: draft.read_only,
            })
        })
        .collect()
}

fn sub_path(root: &Path, draft: &DraftMount) -> Result<PathBuf, VolumeError> {
    let outside = || VolumeError::SubPath {
        volume: draft.volume.clone(),
        sub_path: draft.sub_path.clone(),
    };
    let root = fs::canonicalize(root).map_err(disk("look at", root))?;
    let mut path = root.clone();
    // Step by step, so that nothing is created through a link a container planted.
    for part in Path::new(&draft.sub_path).components() {
        let next = path.join(part);
        if fs::symlink_metadata(&next).is_err() {
            fs::create_dir(&next).map_err(disk("create", &next))?;
        }
        path = fs::canonicalize(&next).map_err(disk("look at", &next))?;
        if !path.starts_with(&root) {
            return Err(outside());
        }
    }
    Ok(path)
}

/// Removes a pod's directory of volumes, its tmpfs mounts first.
pub fn remove(dir: &Path) -> Result<(), VolumeError> {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if is_mount(&entry.path()) {
            umount2(&entry.path(), nix::mount::MntFlags::MNT_DETACH)
                .map_err(io::Error::from)
                .map_err(disk("unmount", &entry.path()))?;
        }
    }
    remove_dir(dir)
}

/// Removes a directory that may not be there.
pub fn remove_dir(dir: &Path) -> Result<(), VolumeError> {
    match fs::remove_dir_all(dir) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(disk("remove", dir)(cause)),
        _ => Ok(()),
    }
}

/// An empty file anyone may write, whatever user its container runs as.
pub fn make_open_file(path: &Path) -> Result<(), VolumeError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(disk("create", parent))?;
    }
    fs::File::create(path).map_err(disk("create", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))
        .map_err(disk("set the mode of", path))
}

/// Removes everything of a pod.
pub fn remove_pod(dirs: &Dirs, uid: &str) -> Result<(), VolumeError> {
    remove(&dirs.volumes(uid))?;
    remove(&dirs.volumes_in_memory(uid))?;
    remove_dir(&dirs.all_last_words(uid))?;
    remove_dir(&dirs.pod(uid))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn files(list: &[(&str, &str, u32)]) -> Plan {
        let files = list
            .iter()
            .map(|(path, text, mode)| {
                let file = File {
                    bytes: text.as_bytes().to_vec(),
                    mode: *mode,
                };
                ((*path).to_string(), file)
            })
            .collect();
        Plan::Files { files }
    }

    #[test]
    fn files_are_written_whole_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("v");
        let unused = dir.path().join("unused");
        make(
            &files(&[("a", "1", 0o400), ("d/b", "2", 0o644)]),
            &unused,
            &at,
            None,
        )
        .unwrap();
        assert_eq!(fs::read_to_string(at.join("a")).unwrap(), "1");
        assert_eq!(fs::read_to_string(at.join("d/b")).unwrap(), "2");
        assert_eq!(
            fs::metadata(at.join("a")).unwrap().permissions().mode() & 0o777,
            0o400
        );
        make(&files(&[("a", "new", 0o400)]), &unused, &at, None).unwrap();
        assert_eq!(fs::read_to_string(at.join("a")).unwrap(), "new");
        assert!(fs::metadata(at.join("d")).is_err());
        let fresh = fs::read_dir(&at)
            .unwrap()
            .flatten()
            .filter(|e| e.path().is_dir() && !e.path().is_symlink());
        assert_eq!(fresh.count(), 1);
    }

    #[test]
    fn sub_paths_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("v");
        fs::create_dir(&root).unwrap();
        symlink("/etc", root.join("out")).unwrap();
        let volumes = BTreeMap::from([("v".to_string(), root.clone())]);
        let draft = |sub_path: &str| {
            [DraftMount {
                volume: "v".to_string(),
                sub_path: sub_path.to_string(),
                target: "/m".into(),
                read_only: true,
            }]
        };
        assert!(matches!(
            mounts(&draft("out/x"), &volumes),
            Err(VolumeError::SubPath { .. })
        ));
        assert_eq!(
            mounts(&draft("a/b"), &volumes).unwrap()[0].source,
            root.canonicalize().unwrap().join("a/b")
        );
    }

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
                host_path(&path, kind).is_ok(),
                good,
                "{} {kind}",
                path.display()
            );
        }
    }
}
