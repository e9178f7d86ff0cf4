//! Volume mounts that need more than a path: sub paths, image layers, propagation.
//!
//! They are put together in a mount namespace of the launching child alone, which the container's own is then copied
//! from. Nothing is left to unmount when the child is gone, whoever dies when.
//!
//! libcontainer binds by path and leaves propagation as it finds it, so each such mount is attached at a path of its
//! own with the propagation it is to have.

use super::launch::Place;
use crate::runtime::mount_api::{attach_tree, copy_tree, own_fd};
use crate::runtime::subpath;
use crate::runtime::types::{Mount, Propagation};
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const OWN_MOUNTS: &str = "/proc/self/ns/mnt";

/// Replaces the sources of `mounts` where libcontainer could not bind them as they are.
pub fn stage(place: &Place<'_>, mounts: &mut [Mount]) -> Result<(), String> {
    let plain = mounts.iter().all(|m| m.propagation == Propagation::None);
    let staged = |m: &Mount| {
        !m.sub_path.as_os_str().is_empty()
            || !m.layers.is_empty()
            || (!plain && m.propagation != Propagation::HostToContainer)
    };
    for mount in mounts.iter() {
        if mount.propagation == Propagation::HostToContainer {
            check_propagation(&mount.source, &["shared:", "master:"], "shared or slave")?;
        }
    }
    if !mounts.iter().any(staged) {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNS).map_err(|e| format!("unsharing the launch's mounts: {e}"))?;
    let root = place.directory.join("staging");
    fs::create_dir_all(&root).map_err(|e| format!("creating {}: {e}", root.display()))?;
    mount(
        Some("staging"),
        &root,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        Some("mode=0700,size=1m"),
    )
    .map_err(|e| format!("mounting {}: {e}", root.display()))?;
    for (number, mount) in mounts.iter_mut().enumerate() {
        if staged(mount) {
            let at = root.join(number.to_string());
            stage_one(place, mount, &at)
                .map_err(|e| format!("mount at {}: {e}", mount.target.display()))?;
            mount.source = at;
            mount.sub_path = PathBuf::new();
            mount.layers = Vec::new();
        }
    }
    Ok(())
}

fn stage_one(place: &Place<'_>, wanted: &Mount, at: &Path) -> Result<(), String> {
    let tree = if !wanted.layers.is_empty() {
        let image = at.with_extension("image");
        mount_layers(&wanted.layers, &image)?;
        copy(&image, &wanted.sub_path)?
    } else if wanted.propagation == Propagation::Bidirectional {
        in_host_mounts(place, || {
            check_propagation(&wanted.source, &["shared:"], "shared")?;
            copy(&wanted.source, &wanted.sub_path)
        })?
    } else {
        copy(&wanted.source, &wanted.sub_path)?
    };
    let (is_directory, tree) = tree;
    let made = if is_directory {
        fs::create_dir(at)
    } else {
        fs::File::create(at).map(drop)
    };
    made.map_err(|e| format!("creating {}: {e}", at.display()))?;
    attach_tree(&tree, at).map_err(|e| format!("attaching {}: {e}", at.display()))?;
    if wanted.propagation == Propagation::None {
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, at, None::<&str>, private, None::<&str>)
            .map_err(|e| format!("making {} private: {e}", at.display()))?;
    }
    Ok(())
}

/// Whether it is a directory, and its mounts.
fn copy(root: &Path, sub_path: &Path) -> Result<(bool, OwnedFd), String> {
    let found = if sub_path.as_os_str().is_empty() {
        open(root, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
            .map(own_fd)
            .map_err(|e| format!("{}: {e}", root.display()))?
    } else {
        subpath::ensure(root, sub_path).map_err(|e| e.to_string())?
    };
    let what = fs::File::from(found.try_clone().map_err(|e| e.to_string())?)
        .metadata()
        .map_err(|e| format!("{}: {e}", root.display()))?;
    let tree =
        copy_tree(&found).map_err(|e| format!("copying the mount of {}: {e}", root.display()))?;
    Ok((what.is_dir(), tree))
}

/// Image layers over each other. An overlay without an upper directory needs two lower ones: an empty one is added.
fn mount_layers(layers: &[PathBuf], at: &Path) -> Result<(), String> {
    let empty = at.with_extension("empty");
    for directory in [at, &empty] {
        fs::create_dir(directory).map_err(|e| format!("creating {}: {e}", directory.display()))?;
    }
    let mut lower: Vec<String> = layers.iter().map(|l| l.display().to_string()).collect();
    lower.push(empty.display().to_string());
    let options = format!("lowerdir={}", lower.join(":"));
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV;
    mount(
        Some("overlay"),
        at,
        Some("overlay"),
        flags,
        Some(options.as_str()),
    )
    .map_err(|e| format!("mounting the image on {}: {e}", at.display()))
}

/// Runs `work` among the host's mounts: only there a mount is a peer of the host's own.
fn in_host_mounts<T>(
    place: &Place<'_>,
    work: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    let own = fs::File::open(OWN_MOUNTS).map_err(|e| format!("{OWN_MOUNTS}: {e}"))?;
    setns(place.host_mounts, CloneFlags::CLONE_NEWNS)
        .map_err(|e| format!("entering the host's mounts: {e}"))?;
    let result = work();
    setns(&own, CloneFlags::CLONE_NEWNS).map_err(|e| format!("leaving the host's mounts: {e}"))?;
    result
}

/// Wording of containerd's `ensureShared` and `ensureSharedOrSlave`.
fn check_propagation(path: &Path, kinds: &[&str], wanted: &str) -> Result<(), String> {
    let path = fs::canonicalize(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let table = fs::read_to_string("/proc/self/mountinfo").map_err(|e| e.to_string())?;
    let (point, optional) = mount_of(&table, &path).unwrap_or_default();
    if kinds.iter().any(|kind| optional.contains(kind)) {
        return Ok(());
    }
    Err(format!(
        "path {:?} is mounted on {point:?} but it is not a {wanted} mount",
        path.display().to_string()
    ))
}

/// The mount point `path` is on, and its optional fields (proc_pid_mountinfo(5)); of mounts on one point the last.
fn mount_of<'a>(table: &'a str, path: &Path) -> Option<(&'a str, &'a str)> {
    table
        .lines()
        .filter_map(|line| {
            let (head, _) = line.split_once(" - ")?;
            let mut fields = head.splitn(7, ' ');
            let point = fields.nth(4)?;
            Some((point, fields.nth(1).unwrap_or_default()))
        })
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_a_path() {
        let table = "27 1 8:1 / / rw,relatime - ext4 /dev/a rw\n\
                     30 27 0:5 / /mnt rw shared:7 master:2 - tmpfs none rw\n\
                     31 30 0:6 / /mnt/x rw master:3 - tmpfs none rw\n";
        for (path, want) in [
            ("/etc", ("/", "")),
            ("/mnt/y", ("/mnt", "shared:7 master:2")),
            ("/mnt/x/z", ("/mnt/x", "master:3")),
            ("/mntx", ("/", "")),
        ] {
            assert_eq!(mount_of(table, Path::new(path)), Some(want), "{path}");
        }
    }
}
