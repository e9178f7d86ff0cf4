//! File operations inside one directory tree that no path and no symbolic link can leave.
//!
//! Parents are opened by openat2(2) with `RESOLVE_IN_ROOT` (Linux 5.6): the kernel itself resolves every link as if
//! the tree were the root directory, as containerd and docker do when they unpack a layer. The last component is
//! never followed.

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// Deepest path accepted; real images stay below 64. It bounds recursion and open directories.
pub(super) const DEPTH_MAX: usize = 256;

/// Longest path accepted: `PATH_MAX`.
pub(super) const PATH_BYTES_MAX: usize = 4096;

/// A path relative to the tree's root, without `.`, `..` or anything else that could surprise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InnerPath {
    parent: PathBuf,
    /// Empty for the root itself.
    name: OsString,
}

impl InnerPath {
    /// Reads a path from a tar header. A leading `/` means the tree's root, as for docker and containerd.
    pub fn parse(path: &Path) -> Result<InnerPath, &'static str> {
        if path.as_os_str().len() > PATH_BYTES_MAX {
            return Err("the path is too long");
        }
        if path.as_os_str().as_bytes().contains(&0) {
            return Err("the path holds a NUL byte");
        }
        let mut parts: Vec<&OsStr> = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(part) => parts.push(part),
                Component::CurDir | Component::RootDir => {}
                Component::ParentDir | Component::Prefix(_) => {
                    return Err("the path leaves the layer with `..`");
                }
            }
        }
        if parts.len() > DEPTH_MAX {
            return Err("the path is too deep");
        }
        let name = parts.pop().unwrap_or_default().to_owned();
        Ok(InnerPath {
            parent: parts.iter().collect(),
            name,
        })
    }

    pub fn is_root(&self) -> bool {
        self.name.is_empty()
    }

    pub fn parent(&self) -> &Path {
        &self.parent
    }

    pub fn name(&self) -> &OsStr {
        &self.name
    }

    pub fn whole(&self) -> PathBuf {
        self.parent.join(&self.name)
    }
}

/// The tree, held open.
pub(super) struct Tree {
    root: Rc<OwnedFd>,
    /// Tar archives list neighbours together: the last parent is kept open.
    last_parent: Option<(PathBuf, Rc<OwnedFd>)>,
}

// nix 0.29 still gives raw descriptors.
#[allow(unsafe_code)]
fn own(fd: RawFd) -> File {
    // SAFETY: every caller passes a descriptor that the kernel has just given to it and that nothing else holds.
    unsafe { File::from_raw_fd(fd) }
}

impl Tree {
    pub fn open(root: &Path) -> Result<Tree, Errno> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::open(root, flags, Mode::empty())?;
        Ok(Tree {
            root: Rc::new(own(fd).into()),
            last_parent: None,
        })
    }

    /// The directory `path`, links resolved inside the tree; missing ones are made, owned by root.
    pub fn directory(&mut self, path: &Path) -> Result<Rc<OwnedFd>, Errno> {
        if path.as_os_str().is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some((known, fd)) = &self.last_parent
            && known == path
        {
            return Ok(Rc::clone(fd));
        }
        let fd = Rc::new(self.open_or_make(path)?);
        self.last_parent = Some((path.to_owned(), Rc::clone(&fd)));
        Ok(fd)
    }

    fn open_or_make(&self, path: &Path) -> Result<OwnedFd, Errno> {
        match self.open_inside(path) {
            Err(Errno::ENOENT) => {}
            other => return other,
        }
        // Bounded by `DEPTH_MAX` components.
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            let parent = if parent.as_os_str().is_empty() {
                self.root.try_clone().map_err(|_| Errno::EMFILE)?
            } else {
                self.open_or_make(parent)?
            };
            mkdirat(
                Some(parent.as_raw_fd()),
                name,
                Mode::from_bits_truncate(0o755),
            )?;
        }
        self.open_inside(path)
    }

    fn open_inside(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let how = OpenHow::new()
            .flags(OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(self.root.as_raw_fd(), path, how).map(|fd| own(fd).into())
    }

    /// Forgets the kept parent: something was removed, which could have been on its path.
    pub fn forget(&mut self) {
        self.last_parent = None;
    }
}

/// What stands at `name`, not followed.
pub(super) fn stat(parent: &OwnedFd, name: &OsStr) -> Result<Option<FileStat>, Errno> {
    match fstatat(Some(parent.as_raw_fd()), name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// The whiteout of overlayfs: a character device 0/0 (kernel documentation, filesystems/overlayfs).
pub(super) fn is_whiteout(stat: &FileStat) -> bool {
    kind(stat) == SFlag::S_IFCHR && stat.st_rdev == 0
}

pub(super) fn create_file(parent: &OwnedFd, name: &OsStr) -> Result<File, Errno> {
    let flags =
        OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(0o600);
    openat(Some(parent.as_raw_fd()), name, flags, mode).map(own)
}

/// Opens what stands at `name` for its metadata: a directory or a regular file.
pub(super) fn open_existing(parent: &OwnedFd, name: &OsStr) -> Result<File, Errno> {
    let name = if name.is_empty() {
        OsStr::new(".")
    } else {
        name
    };
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    openat(Some(parent.as_raw_fd()), name, flags, Mode::empty()).map(own)
}

pub(super) fn make_directory(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    mkdirat(
        Some(parent.as_raw_fd()),
        name,
        Mode::from_bits_truncate(0o755),
    )
}

pub(super) fn make_symlink(parent: &OwnedFd, name: &OsStr, target: &Path) -> Result<(), Errno> {
    symlinkat(target, Some(parent.as_raw_fd()), name)
}

pub(super) fn make_hard_link(
    from: (&OwnedFd, &OsStr),
    to: (&OwnedFd, &OsStr),
) -> Result<(), Errno> {
    // Without AT_SYMLINK_FOLLOW: a link to a symbolic link links the symbolic link itself.
    linkat(
        Some(from.0.as_raw_fd()),
        from.1,
        Some(to.0.as_raw_fd()),
        to.1,
        AtFlags::empty(),
    )
}

pub(super) fn make_node(
    parent: &OwnedFd,
    name: &OsStr,
    kind: SFlag,
    device: u64,
) -> Result<(), Errno> {
    mknodat(
        Some(parent.as_raw_fd()),
        name,
        kind,
        Mode::from_bits_truncate(0o600),
        device,
    )
}

/// Removes what stands at `name`, a directory with everything in it.
pub(super) fn remove(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match unlinkat(Some(parent.as_raw_fd()), name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR | Errno::EPERM) => {}
        other => return other,
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut directory = Dir::openat(Some(parent.as_raw_fd()), name, flags, Mode::empty())?;
    let names: Vec<OsString> = directory
        .iter()
        .map(|entry| entry.map(|entry| OsString::from_vec(entry.file_name().to_bytes().to_vec())))
        .collect::<Result<_, _>>()?;
    let inner = open_existing(parent, name)?.into();
    for inside in names {
        if inside != "." && inside != ".." {
            remove(&inner, &inside)?;
        }
    }
    unlinkat(Some(parent.as_raw_fd()), name, UnlinkatFlags::RemoveDir)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_are_rooted_in_the_layer() {
        for (text, parent, name) in [
            ("a/b/c", "a/b", "c"),
            ("./a", "", "a"),
            ("/etc/passwd", "etc", "passwd"),
            ("a//b/", "a", "b"),
            ("./", "", ""),
            ("/", "", ""),
        ] {
            let path = InnerPath::parse(Path::new(text)).unwrap();
            assert_eq!(
                (path.parent(), path.name()),
                (Path::new(parent), OsStr::new(name)),
                "{text}"
            );
        }
        for text in ["..", "../a", "a/../../b", "/..", "a/.."] {
            assert!(InnerPath::parse(Path::new(text)).is_err(), "{text}");
        }
        assert!(InnerPath::parse(Path::new(&"a/".repeat(DEPTH_MAX + 1))).is_err());
        assert!(InnerPath::parse(Path::new(&"a".repeat(PATH_BYTES_MAX + 1))).is_err());
    }

    #[test]
    fn links_cannot_lead_out_of_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        let root = dir.path().join("root");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::create_dir_all(root.join("real")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("absolute")).unwrap();
        std::os::unix::fs::symlink("../../../../outside", root.join("relative")).unwrap();
        std::os::unix::fs::symlink("real", root.join("inside")).unwrap();
        let mut tree = Tree::open(&root).unwrap();
        for link in ["absolute", "relative"] {
            // Resolved inside the tree the target does not exist, and a link's target is not made.
            assert!(tree.directory(Path::new(link)).is_err(), "{link}");
        }
        let parent = tree.directory(Path::new("inside/new")).unwrap();
        create_file(&parent, OsStr::new("file")).unwrap();
        assert!(root.join("real/new/file").is_file());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        let top = tree.directory(Path::new("")).unwrap();
        remove(&top, OsStr::new("absolute")).unwrap();
        remove(&top, OsStr::new("real")).unwrap();
        assert!(outside.is_dir() && !root.join("real").exists());
    }
}
