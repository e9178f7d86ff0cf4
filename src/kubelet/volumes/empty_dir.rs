//! `emptyDir`: a directory, or a filesystem in memory mounted on one.

use super::mount_table::is_mount_point;
use super::{Ownership, VolumeError, disk, make_dir, set_mode};
use nix::mount::{MsFlags, mount};
use std::fs;
use std::io;
use std::path::Path;

/// On the node's disk. What is there is the pod's already and is left as it is.
pub fn on_disk(path: &Path, mode: u32, ownership: &Ownership) -> Result<(), VolumeError> {
    if path.exists() {
        return Ok(());
    }
    // Made whole under another name, which no volume can have: its mode and group are right when it appears.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}"));
    make_dir(&fresh, mode)?;
    ownership.give(&fresh, false)?;
    fs::rename(&fresh, path).map_err(disk("rename to", path))
}

/// A tmpfs of at most `size_bytes`.
pub fn in_memory(
    path: &Path,
    size_bytes: u64,
    mode: u32,
    ownership: &Ownership,
) -> Result<(), VolumeError> {
    let options = format!("mode={mode:o},size={size_bytes}");
    own_filesystem(path, "tmpfs", &options, mode, ownership)
}

/// A hugetlbfs of pages of `page_bytes`. What it may take is the pod's `hugetlb` limit.
pub fn huge_pages(
    path: &Path,
    page_bytes: u64,
    mode: u32,
    ownership: &Ownership,
) -> Result<(), VolumeError> {
    let kernel = format!("/sys/kernel/mm/hugepages/hugepages-{}kB", page_bytes / 1024);
    let count = fs::read_to_string(Path::new(&kernel).join("nr_hugepages")).unwrap_or_default();
    if count.trim().parse::<u64>().unwrap_or(0) == 0 {
        return Err(VolumeError::NoHugePages(page_bytes));
    }
    let options = format!("mode={mode:o},pagesize={page_bytes}");
    own_filesystem(path, "hugetlbfs", &options, mode, ownership)
}

fn own_filesystem(
    path: &Path,
    kind: &str,
    options: &str,
    mode: u32,
    ownership: &Ownership,
) -> Result<(), VolumeError> {
    if is_mount_point(path) {
        return Ok(());
    }
    make_dir(path, mode)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some(kind), path, Some(kind), flags, Some(options))
        .map_err(io::Error::from)
        .map_err(disk("mount a filesystem in memory on", path))?;
    set_mode(path, mode)?;
    ownership.give(path, false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("v");
        let nobody = Ownership::default();
        on_disk(&at, 0o1777, &nobody).unwrap();
        let mode = || fs::metadata(&at).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(), 0o1777);
        set_mode(&at, 0o700).unwrap();
        on_disk(&at, 0o777, &nobody).unwrap();
        assert_eq!(mode(), 0o700, "the pod's own change stays");
    }

    #[test]
    fn pages_that_no_kernel_has() {
        let refused = huge_pages(Path::new("/nowhere"), 12345, 0o777, &Ownership::default());
        assert!(matches!(refused, Err(VolumeError::NoHugePages(12345))));
    }
}
