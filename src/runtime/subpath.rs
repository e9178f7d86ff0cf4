//! A path below a volume, found so that no symbolic link leads out of it, whoever moves links about meanwhile.
//!
//! The kernel does the resolving: openat2(2) with `RESOLVE_BENEATH` (Linux 5.6). The answer is a descriptor, and
//! whoever mounts by the descriptor mounts what was checked.

use super::mount_api::own_fd;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::{Mode, fstat, mkdirat};
use std::ffi::OsStr;
use std::fs::Permissions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// Races with a container that moves directories about are retried this often, then told.
const RACES_MAX: usize = 16;

/// Why a sub path cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SubPathError {
    #[error("subPath {0:?} must be relative and without '..'")]
    Form(PathBuf),
    #[error("subPath {0:?} leads out of its volume through a symbolic link")]
    Outside(PathBuf),
    #[error("subPath {path:?}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
}

fn because(path: &Path, errno: Errno) -> SubPathError {
    match errno {
        Errno::EXDEV => SubPathError::Outside(path.to_owned()),
        errno => io_at(path, errno.into()),
    }
}

fn io_at(path: &Path, cause: io::Error) -> SubPathError {
    SubPathError::Io {
        path: path.to_owned(),
        cause,
    }
}

/// Opens `path` below `root` as a place (`O_PATH`), a directory or a file. Directories that are missing are made, with
/// the mode of `root`, as upstream's `SafeMakeDir`.
pub fn ensure(root: &Path, path: &Path) -> Result<OwnedFd, SubPathError> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::CurDir => {}
            _ => return Err(SubPathError::Form(path.to_owned())),
        }
    }
    let root = open(
        root,
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map(own_fd)
    .map_err(|errno| because(path, errno))?;
    let mode = fstat(root.as_raw_fd())
        .map_err(|errno| because(path, errno))?
        .st_mode;
    let mode = Mode::from_bits_truncate(mode & 0o7777);
    let mut races = 0;
    'again: loop {
        let mut at = beneath(&root, Path::new(".")).map_err(|errno| because(path, errno))?;
        let mut done = PathBuf::new();
        for part in &parts {
            done.push(part);
            at = match beneath(&root, &done) {
                Ok(found) => found,
                Err(Errno::ENOENT) => {
                    let made =
                        mkdirat(Some(at.as_raw_fd()), *part, Mode::from_bits_truncate(0o700));
                    match made {
                        Ok(()) => set_mode(&at, part, mode).map_err(|cause| io_at(path, cause))?,
                        // A link that leads nowhere, or somebody else made it just now.
                        Err(Errno::EEXIST) if races < RACES_MAX => {
                            races += 1;
                            continue 'again;
                        }
                        Err(errno) => return Err(because(path, errno)),
                    }
                    beneath(&root, &done).map_err(|errno| because(path, errno))?
                }
                // The kernel could not rule out a race.
                Err(Errno::EAGAIN) if races < RACES_MAX => {
                    races += 1;
                    continue 'again;
                }
                Err(errno) => return Err(because(path, errno)),
            };
        }
        return Ok(at);
    }
}

/// Past the umask. By descriptor: a link that took the directory's place is not followed.
fn set_mode(parent: &OwnedFd, name: &OsStr, mode: Mode) -> io::Result<()> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let made = openat(Some(parent.as_raw_fd()), name, flags, Mode::empty()).map(own_fd)?;
    let by_descriptor = format!("/proc/self/fd/{}", made.as_raw_fd());
    std::fs::set_permissions(by_descriptor, Permissions::from_mode(mode.bits()))
}

fn beneath(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root.as_raw_fd(), path, how).map(own_fd)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn at(fd: &OwnedFd) -> PathBuf {
        fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap()
    }

    #[test]
    fn stays_inside_and_makes_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("v");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
        fs::create_dir(root.join("real")).unwrap();
        fs::write(root.join("real/file"), "x").unwrap();
        symlink("real", root.join("inside")).unwrap();
        symlink("/etc", root.join("absolute")).unwrap();
        symlink("../..", root.join("climbing")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for (path, want) in [
            ("real/file", Some("real/file")),
            ("inside/file", Some("real/file")),
            ("inside/new", Some("real/new")),
            ("a/b/c", Some("a/b/c")),
            ("./a/./b", Some("a/b")),
            ("absolute/passwd", None),
            ("absolute/made", None),
            ("climbing/x", None),
            ("dangling", None),
            ("loop", None),
            ("../x", None),
            ("/etc", None),
            ("real/../../x", None),
            ("real/file/below", None),
        ] {
            let found = ensure(&root, Path::new(path)).map(|fd| at(&fd)).ok();
            assert_eq!(found, want.map(|w| root.join(w)), "{path}");
        }
        assert_eq!(
            fs::metadata(root.join("a/b")).unwrap().mode() & 0o7777,
            0o777
        );
        assert!(!dir.path().join("x").exists());
        assert!(matches!(
            ensure(&root, Path::new("absolute")),
            Err(SubPathError::Outside(_))
        ));
    }
}
