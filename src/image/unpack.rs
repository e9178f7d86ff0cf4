//! One layer's tar stream becomes a directory that overlayfs can stack.
//!
//! Whiteouts `.wh.NAME` and `.wh..wh..opq` (image-spec, "Whiteouts") turn into overlayfs' own marks. Nothing is ever
//! written outside the directory, and everything an archive can make large has a bound.

use super::tree::{self, InnerPath, Tree};
use super::xattr;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat};
use std::cell::Cell;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tar::{Entry, EntryType, Header};

/// Most entries of one layer; the largest public images have a few hundred thousand.
const ENTRIES_MAX: u64 = 1_000_000;

/// Most bytes one layer may become. A board's whole disk is rarely larger.
pub(super) const LAYER_BYTES_MAX: u64 = 32 * 1024 * 1024 * 1024;

/// Most bytes of headers that describe the next entry (long names, PAX records with attributes): Linux allows 64 KiB
/// per attribute; the tar reader holds them in memory.
const DESCRIPTION_BYTES_MAX: u64 = 1024 * 1024;

const COPY_BUFFER_BYTES: usize = 64 * 1024;

const OPAQUE: &std::ffi::CStr = c"trusted.overlay.opaque";

/// Why unpacking ended early.
#[derive(Debug)]
pub(super) enum UnpackError {
    /// The stream ended, is no tar archive, or its source failed.
    Source(io::Error),
    /// An entry that no sound image has.
    Entry { path: PathBuf, why: String },
    /// This machine's file system refused.
    Disk { path: PathBuf, source: io::Error },
}

/// Unpacks `stream` into the empty directory `root`; returns the bytes of its files.
pub(super) fn unpack(stream: impl Read, root: &Path) -> Result<u64, UnpackError> {
    let allowance = Cell::new(0);
    let mut archive = tar::Archive::new(Allowance {
        inner: stream,
        left: &allowance,
    });
    let mut unpacker = Unpacker {
        tree: Tree::open(root).map_err(|errno| disk(root, errno))?,
        bytes: 0,
        directory_times: Vec::new(),
        buffer: vec![0; COPY_BUFFER_BYTES],
    };
    let mut entries = archive.entries().map_err(UnpackError::Source)?;
    let mut count = 0;
    loop {
        allowance.set(DESCRIPTION_BYTES_MAX);
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(UnpackError::Source)?;
        allowance.set(u64::MAX);
        count += 1;
        if count > ENTRIES_MAX {
            return Err(UnpackError::Entry {
                path: PathBuf::new(),
                why: format!("the layer has more than {ENTRIES_MAX} entries"),
            });
        }
        unpacker.entry(&mut entry)?;
        // Data of an entry that should have none.
        let rest = (&mut entry).take(LAYER_BYTES_MAX);
        io::copy(&mut { rest }, &mut io::sink()).map_err(UnpackError::Source)?;
    }
    unpacker.finish()
}

fn disk(path: &Path, errno: Errno) -> UnpackError {
    UnpackError::Disk {
        path: path.into(),
        source: errno.into(),
    }
}

/// Passes at most as many bytes as the owner of the cell allows: the tar crate reads descriptions of the next entry
/// into memory without a bound of its own.
struct Allowance<'a, R> {
    inner: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Allowance<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a name or attribute is longer than {DESCRIPTION_BYTES_MAX} bytes"),
            ));
        }
        let count = self.inner.read(buf)?;
        self.left.set(self.left.get().saturating_sub(count as u64));
        Ok(count)
    }
}

struct Unpacker {
    tree: Tree,
    bytes: u64,
    /// Making files changes their directory's time: set last, deepest last entry first.
    directory_times: Vec<(InnerPath, u64)>,
    buffer: Vec<u8>,
}

impl Unpacker {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), UnpackError> {
        let raw = entry.path().map_err(UnpackError::Source)?.into_owned();
        let refuse = |why: &str| UnpackError::Entry {
            path: raw.clone(),
            why: why.to_owned(),
        };
        let path = InnerPath::parse(&raw).map_err(refuse)?;
        let kind = entry.header().entry_type();
        // A global header describes no file.
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        if path.is_root() {
            if kind.is_dir() {
                return self.metadata_of_directory(entry, &path);
            }
            return Err(refuse("the layer's root is not a directory"));
        }
        let at = |errno: Errno| disk(&path.whole(), errno);
        let parent = self.tree.directory(path.parent()).map_err(at)?;
        if let Some(whited) = path.name().as_bytes().strip_prefix(b".wh.") {
            return self
                .whiteout(&parent, OsStr::from_bytes(whited))
                .map_err(at);
        }

        let existing = tree::stat(&parent, path.name()).map_err(at)?;
        let mut hides_lower = false;
        if let Some(existing) = existing
            && !(kind.is_dir() && tree::kind(&existing) == SFlag::S_IFDIR)
        {
            // The layer first hid what lay below, then put a directory of its own there.
            hides_lower = kind.is_dir() && tree::is_whiteout(&existing);
            tree::remove(&parent, path.name()).map_err(at)?;
            self.tree.forget();
        }

        match kind {
            EntryType::Directory => {
                if existing.is_none_or(|stat| tree::kind(&stat) != SFlag::S_IFDIR) {
                    tree::make_directory(&parent, path.name()).map_err(at)?;
                }
                if hides_lower {
                    let directory = tree::open_existing(&parent, path.name()).map_err(at)?;
                    xattr::set(&directory, OPAQUE, b"y").map_err(at)?;
                }
                self.metadata_of_directory(entry, &path)
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let file = tree::create_file(&parent, path.name()).map_err(at)?;
                self.copy(entry, &file, &path)?;
                self.metadata_of_file(entry, &parent, &path, Some(&file))
            }
            EntryType::Symlink => {
                let target = link_target(entry).ok_or_else(|| refuse("a link without target"))?;
                tree::make_symlink(&parent, path.name(), &target).map_err(at)?;
                self.metadata_of_file(entry, &parent, &path, None)
            }
            EntryType::Link => {
                let target = link_target(entry).ok_or_else(|| refuse("a link without target"))?;
                let target = InnerPath::parse(&target).map_err(refuse)?;
                if target.is_root() || target == path {
                    return Err(refuse("a hard link to a directory or to itself"));
                }
                let from = self.tree.directory(target.parent()).map_err(at)?;
                match tree::stat(&from, target.name()).map_err(at)? {
                    Some(stat) if tree::kind(&stat) != SFlag::S_IFDIR => {}
                    _ => return Err(refuse("a hard link to what is no file of this layer")),
                }
                // The file has its metadata from its own entry.
                tree::make_hard_link((&from, target.name()), (&parent, path.name())).map_err(at)
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let (node, device) = node(entry.header(), kind).map_err(UnpackError::Source)?;
                tree::make_node(&parent, path.name(), node, device).map_err(at)?;
                self.metadata_of_file(entry, &parent, &path, None)
            }
            // Sockets have no tar type of their own; anything unknown is passed over as tar(1) would warn and do.
            other => {
                tracing::debug!(path = %raw.display(), kind = ?other, "entry of unknown type skipped");
                Ok(())
            }
        }
    }

    /// `hidden` is the name after `.wh.`.
    fn whiteout(&mut self, parent: &OwnedFd, hidden: &OsStr) -> Result<(), Errno> {
        if hidden == ".wh..opq" {
            let directory = tree::open_existing(parent, OsStr::new(""))?;
            return xattr::set(&directory, OPAQUE, b"y");
        }
        // Aufs' own records (`.wh..wh.plnk` and the like) describe nothing here.
        if hidden.as_bytes().starts_with(b".wh.") || matches!(hidden.as_bytes(), b"" | b"." | b"..")
        {
            return Ok(());
        }
        match tree::stat(parent, hidden)? {
            None => tree::make_node(parent, hidden, SFlag::S_IFCHR, 0),
            // A whiteout hides lower layers only: this layer's directory stays, nothing shines through.
            Some(stat) if tree::kind(&stat) == SFlag::S_IFDIR => {
                xattr::set(&tree::open_existing(parent, hidden)?, OPAQUE, b"y")
            }
            Some(_) => Ok(()),
        }
    }

    fn copy<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        mut file: &File,
        path: &InnerPath,
    ) -> Result<(), UnpackError> {
        loop {
            let count = entry.read(&mut self.buffer).map_err(UnpackError::Source)?;
            if count == 0 {
                return Ok(());
            }
            self.bytes += count as u64;
            if self.bytes > LAYER_BYTES_MAX {
                return Err(UnpackError::Entry {
                    path: path.whole(),
                    why: format!("the layer is larger than {LAYER_BYTES_MAX} bytes"),
                });
            }
            file.write_all(&self.buffer[..count])
                .map_err(|source| UnpackError::Disk {
                    path: path.whole(),
                    source,
                })?;
        }
    }

    fn metadata_of_directory<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        path: &InnerPath,
    ) -> Result<(), UnpackError> {
        let at = |errno| disk(&path.whole(), errno);
        let parent = self.tree.directory(path.parent()).map_err(at)?;
        let directory = tree::open_existing(&parent, path.name()).map_err(at)?;
        let time = entry.header().mtime().map_err(UnpackError::Source)?;
        let name = if path.is_root() {
            OsStr::new(".")
        } else {
            path.name()
        };
        own_and_mode(entry.header(), &parent, name, true)
            .map_err(UnpackError::Source)?
            .map_err(at)?;
        attributes(entry, &directory, path)?;
        self.directory_times.push((path.clone(), time));
        Ok(())
    }

    fn metadata_of_file<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        parent: &OwnedFd,
        path: &InnerPath,
        file: Option<&File>,
    ) -> Result<(), UnpackError> {
        let at = |errno| disk(&path.whole(), errno);
        let has_mode = !entry.header().entry_type().is_symlink();
        // Order matters: chown(2) clears set-user-id bits and file capabilities.
        own_and_mode(entry.header(), parent, path.name(), has_mode)
            .map_err(UnpackError::Source)?
            .map_err(at)?;
        if let Some(file) = file {
            attributes(entry, file, path)?;
        }
        let time = entry.header().mtime().map_err(UnpackError::Source)?;
        set_time(parent, path.name(), time).map_err(at)
    }

    fn finish(mut self) -> Result<u64, UnpackError> {
        for (path, time) in std::mem::take(&mut self.directory_times).into_iter().rev() {
            let at = |errno| disk(&path.whole(), errno);
            let parent = self.tree.directory(path.parent()).map_err(at)?;
            let name = if path.is_root() {
                OsStr::new(".")
            } else {
                path.name()
            };
            // A later entry may have replaced it.
            if tree::stat(&parent, name).map_err(at)?.is_some() {
                set_time(&parent, name, time).map_err(at)?;
            }
        }
        Ok(self.bytes)
    }
}

fn link_target<R: Read>(entry: &Entry<'_, R>) -> Option<PathBuf> {
    let target = entry.link_name().ok()??.into_owned();
    (!target.as_os_str().is_empty()).then_some(target)
}

fn node(header: &Header, kind: EntryType) -> io::Result<(SFlag, u64)> {
    if kind == EntryType::Fifo {
        return Ok((SFlag::S_IFIFO, 0));
    }
    let major = header.device_major()?.unwrap_or_default();
    let minor = header.device_minor()?.unwrap_or_default();
    let flag = if kind == EntryType::Block {
        SFlag::S_IFBLK
    } else {
        SFlag::S_IFCHR
    };
    Ok((flag, nix::sys::stat::makedev(major.into(), minor.into())))
}

/// Outer error: the header; inner: the file system.
fn own_and_mode(
    header: &Header,
    parent: &OwnedFd,
    name: &OsStr,
    has_mode: bool,
) -> io::Result<Result<(), Errno>> {
    let (Ok(uid), Ok(gid)) = (u32::try_from(header.uid()?), u32::try_from(header.gid()?)) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a user or group id does not fit 32 bits",
        ));
    };
    let mode = header.mode()?;
    let parent = Some(parent.as_raw_fd());
    let owned = fchownat(
        parent,
        name,
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
        AtFlags::AT_SYMLINK_NOFOLLOW,
    );
    if owned.is_err() || !has_mode {
        return Ok(owned);
    }
    // `name` was made or checked just now and is no symbolic link, so following is safe here.
    let mode = Mode::from_bits_truncate(mode & 0o7777);
    Ok(fchmodat(parent, name, mode, FchmodatFlags::FollowSymlink))
}

/// `security.capability` and users' attributes from PAX records `SCHILY.xattr.*`.
fn attributes<R: Read>(
    entry: &mut Entry<'_, R>,
    file: &File,
    path: &InnerPath,
) -> Result<(), UnpackError> {
    let Some(extensions) = entry.pax_extensions().map_err(UnpackError::Source)? else {
        return Ok(());
    };
    for extension in extensions {
        let extension = extension.map_err(UnpackError::Source)?;
        let Some(name) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") else {
            continue;
        };
        // `trusted.` belongs to this machine: an image could forge overlayfs' marks with it.
        if name.starts_with(b"trusted.") {
            continue;
        }
        let Ok(name) = CString::new(name) else {
            continue;
        };
        match xattr::set(file, &name, extension.value_bytes()) {
            // Labels of a security module that this kernel or file system lacks mean nothing here.
            Ok(()) => {}
            Err(Errno::EOPNOTSUPP | Errno::EINVAL) if name.as_c_str() != c"security.capability" => {
            }
            Err(errno) => return Err(disk(&path.whole(), errno)),
        }
    }
    Ok(())
}

fn set_time(parent: &OwnedFd, name: &OsStr, seconds: u64) -> Result<(), Errno> {
    let time = TimeSpec::new(i64::try_from(seconds).unwrap_or(0), 0);
    utimensat(
        Some(parent.as_raw_fd()),
        name,
        &time,
        &time,
        UtimensatFlags::NoFollowSymlink,
    )
}
