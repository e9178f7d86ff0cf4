//! Mounts below a node's directories.

use super::report::Report;
use crate::runtime::mount_info;
use nix::mount::{MntFlags, umount2};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    pub point: PathBuf,
    pub kind: String,
}

/// All mounts of this process, in the order they were made.
pub fn all() -> Vec<Mount> {
    let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    text.split(|byte| *byte == b'\n')
        .filter_map(parse)
        .collect()
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = fields.nth(4)?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mount {
        point: PathBuf::from(std::ffi::OsString::from_vec(mount_info::unescape(point))),
        kind: String::from_utf8_lossy(kind).into_owned(),
    })
}

/// Detaches every mount strictly below one of `roots`, the latest first. What is mounted on a root itself is the
/// owner's disk and stays.
pub fn remove_below(roots: &[&Path], report: &mut Report) {
    let below = |point: &Path| {
        roots
            .iter()
            .any(|root| point != *root && point.starts_with(root))
    };
    for mount in all().into_iter().rev().filter(|mount| below(&mount.point)) {
        let name = mount.point.display().to_string();
        match umount2(&mount.point, MntFlags::MNT_DETACH) {
            // Gone with the mount it was on.
            Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => report.removed("mount", &name),
            Err(cause) => report.failed("mount", &name, &cause.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_of_mountinfo_are_read() {
        let line =
            br"36 35 98:0 /mnt1 /a\040b/c rw,noatime master:1 shared:2 - overlay /dev/root rw";
        assert_eq!(
            parse(line),
            Some(Mount {
                point: PathBuf::from("/a b/c"),
                kind: "overlay".to_owned()
            })
        );
        assert_eq!(parse(b""), None);
        assert_eq!(mount_info::unescape(br"\x"), br"\x");
        assert!(all().iter().any(|mount| mount.point == Path::new("/")));
    }
}
