//! What is mounted where: `/proc/self/mountinfo`, proc_pid_mountinfo(5).

use crate::runtime::mount_info;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const TABLE: &str = "/proc/self/mountinfo";

/// True where a filesystem is mounted exactly at `path`.
pub fn is_mount_point(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    points().contains(&path)
}

/// Mount points at and below `root`, the latest first: the order to unmount in.
pub fn at_and_below(root: &Path) -> Vec<PathBuf> {
    let Ok(root) = root.canonicalize() else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = points()
        .into_iter()
        .filter(|p| p.starts_with(&root))
        .collect();
    found.reverse();
    found
}

fn points() -> Vec<PathBuf> {
    let table = std::fs::read(TABLE).unwrap_or_default();
    table
        .split(|byte| *byte == b'\n')
        .filter_map(point)
        .collect()
}

fn point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    Some(PathBuf::from(OsString::from_vec(mount_info::unescape(
        field,
    ))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_lines() {
        let line = b"36 35 98:0 /mnt1 /mnt\\0402\\134x rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(point(line), Some(PathBuf::from("/mnt 2\\x")));
        assert_eq!(point(b""), None);
        assert!(is_mount_point(Path::new("/proc")));
        assert!(!is_mount_point(Path::new("/proc/self/net")));
    }
}
