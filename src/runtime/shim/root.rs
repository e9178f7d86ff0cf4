//! A container's root file system, and the device nodes in it.

use crate::runtime::types::ContainerSpec;
use nix::mount::MsFlags;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// Device nodes handed to a privileged container.
const DEVICES_MAX: usize = 4096;

/// Where nothing else keeps the container from devices, no device node that an image brings along may work.
pub fn mount(container: &ContainerSpec, devices_guarded: bool) -> Result<(), String> {
    let root = &container.root_fs;
    // Both separate entries in overlayfs' options.
    let escape = |path: &Path| {
        path.display()
            .to_string()
            .replace('\\', "\\\\")
            .replace(':', "\\:")
            .replace(',', "\\,")
    };
    let lower: Vec<String> = root.lower.iter().map(|path| escape(path)).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.join(":"),
        escape(&root.upper),
        escape(&root.work)
    );
    nix::mount::mount(
        Some("overlay"),
        &root.merged,
        Some("overlay"),
        if !devices_guarded && !container.security.privileged {
            MsFlags::MS_NODEV
        } else {
            MsFlags::empty()
        },
        Some(options.as_str()),
    )
    .map_err(|e| {
        format!(
            "mounting the root filesystem on {}: {e}",
            root.merged.display()
        )
    })
}

/// Creates what is missing of `directory` below `root`. A symlink on the way is left to the container.
pub fn make_working_directory(
    root: &Path,
    directory: &Path,
    first_user: u32,
) -> Result<(), String> {
    let mut at = root.to_owned();
    for part in directory.components() {
        match part {
            Component::Normal(name) => at.push(name),
            Component::ParentDir => {
                return Err(format!(
                    "working directory {} has `..`",
                    directory.display()
                ));
            }
            _ => continue,
        }
        match fs::symlink_metadata(&at) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Ok(()),
            Err(_) => fs::create_dir(&at)
                .and_then(|()| std::os::unix::fs::lchown(&at, Some(first_user), Some(first_user)))
                .map_err(|e| format!("creating {}: {e}", at.display()))?,
        }
    }
    Ok(())
}

/// Device nodes of the host, as the OCI specification lists them: for a privileged container.
pub fn host_devices() -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::from("/dev")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let (path, Ok(data)) = (entry.path(), entry.metadata()) else {
                continue;
            };
            let skipped = ["pts", "shm", "mqueue", "fd", "console", "ptmx"];
            if skipped.iter().any(|name| entry.file_name() == *name) || found.len() >= DEVICES_MAX {
                continue;
            }
            let kind = data.file_type();
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_char_device() || kind.is_block_device() {
                found.push(serde_json::json!({
                    "path": path,
                    "type": if kind.is_block_device() { "b" } else { "c" },
                    "major": nix::sys::stat::major(data.rdev()),
                    "minor": nix::sys::stat::minor(data.rdev()),
                    "fileMode": data.mode() & 0o777, "uid": data.uid(), "gid": data.gid(),
                }));
            }
        }
    }
    found
}
