//! One layer's tar stream becomes a directory that overlayfs can stack.
//!
//! What an entry asks for is decided in `entry`; here it is made. Whiteouts turn into overlayfs' own marks. Nothing is
//! ever written outside the directory (`tree`), and everything an archive can make large has a bound.

pub(super) use super::entry::{LAYER_BYTES_MAX, UnpackError};

use super::durable::free_bytes;
use super::entry::{self, Planned, Step};
use super::sparse::Sparse;
use super::tree::{self, InnerPath, Tree};
use super::xattr;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use tar::Entry;

const COPY_BUFFER_BYTES: usize = 64 * 1024;

/// Zeros in a row that become a hole: a file system's block. Images hold preallocated files, and a card should not
/// wear out for them.
const HOLE_BYTES: usize = 4096;

/// The disk's free space is looked at after so much.
const MEASURE_BYTES: u64 = 16 * 1024 * 1024;

const OPAQUE: &std::ffi::CStr = c"trusted.overlay.opaque";

/// Unpacks `stream` into the empty directory `root`, at most `bytes_max` of file content; returns how much it was.
pub(super) fn unpack(stream: impl Read, root: &Path, bytes_max: u64) -> Result<u64, UnpackError> {
    let mut unpacker = Unpacker {
        tree: Tree::open(root).map_err(|errno| disk(root, errno))?,
        root: root.to_owned(),
        bytes: 0,
        bytes_max,
        measured: 0,
        directory_times: Vec::new(),
        buffer: vec![0; COPY_BUFFER_BYTES],
    };
    entry::walk(stream, |planned, entry| unpacker.entry(planned, entry))?;
    unpacker.finish()
}

fn disk(path: &Path, errno: Errno) -> UnpackError {
    UnpackError::Disk {
        path: path.into(),
        source: errno.into(),
    }
}

struct Unpacker {
    tree: Tree,
    root: PathBuf,
    bytes: u64,
    bytes_max: u64,
    /// `bytes` when the disk was last looked at.
    measured: u64,
    /// Making files changes their directory's time: set last, deepest last entry first.
    directory_times: Vec<(InnerPath, i64)>,
    buffer: Vec<u8>,
}

impl Unpacker {
    fn entry<R: Read>(
        &mut self,
        planned: &Planned,
        entry: &mut Entry<'_, R>,
    ) -> Result<(), UnpackError> {
        let path = &planned.path;
        let at = |errno: Errno| disk(&path.whole(), errno);
        match &planned.step {
            Step::Skip => return Ok(()),
            Step::Root => return self.metadata_of_directory(planned, entry),
            _ => {}
        }
        let parent = self.tree.directory(path.parent()).map_err(at)?;
        match &planned.step {
            Step::Opaque => {
                let directory = tree::open_existing(&parent, OsStr::new("")).map_err(at)?;
                return xattr::set(&directory, OPAQUE, b"y").map_err(at);
            }
            Step::Whiteout(hidden) => return whiteout(&parent, hidden).map_err(at),
            _ => {}
        }

        let is_directory = planned.step == Step::Directory;
        let existing = tree::stat(&parent, path.name()).map_err(at)?;
        let mut hides_lower = false;
        if let Some(existing) = existing
            && !(is_directory && tree::kind(&existing) == SFlag::S_IFDIR)
        {
            // The layer first hid what lay below, then put a directory of its own there.
            hides_lower = is_directory && tree::is_whiteout(&existing);
            tree::remove(&parent, path.name()).map_err(at)?;
            self.tree.forget();
        }

        match &planned.step {
            Step::Directory => {
                if existing.is_none_or(|stat| tree::kind(&stat) != SFlag::S_IFDIR) {
                    tree::make_directory(&parent, path.name()).map_err(at)?;
                }
                if hides_lower {
                    let directory = tree::open_existing(&parent, path.name()).map_err(at)?;
                    xattr::set(&directory, OPAQUE, b"y").map_err(at)?;
                }
                self.metadata_of_directory(planned, entry)
            }
            Step::File(sparse) => {
                let file = tree::create_file(&parent, path.name()).map_err(at)?;
                match sparse {
                    None => self.copy(entry, &file, path)?,
                    Some(sparse) => self.copy_sparse(sparse, entry, &file, path)?,
                }
                metadata_of_file(planned, &parent, Some((&file, entry)))
            }
            Step::Symlink(target) => {
                tree::make_symlink(&parent, path.name(), target).map_err(at)?;
                metadata_of_file::<R>(planned, &parent, None)
            }
            Step::HardLink(target) => {
                let from = self.tree.directory(target.parent()).map_err(at)?;
                match tree::stat(&from, target.name()).map_err(at)? {
                    Some(stat) if tree::kind(&stat) != SFlag::S_IFDIR => {}
                    _ => {
                        return Err(UnpackError::Entry {
                            path: path.whole(),
                            why: "a hard link to what is no file of this layer".to_owned(),
                        });
                    }
                }
                // The file has its metadata from its own entry.
                tree::make_hard_link((&from, target.name()), (&parent, path.name())).map_err(at)
            }
            Step::Fifo => {
                tree::make_node(&parent, path.name(), SFlag::S_IFIFO, 0).map_err(at)?;
                metadata_of_file::<R>(planned, &parent, None)
            }
            Step::Node { major, minor } => {
                let device = nix::sys::stat::makedev((*major).into(), (*minor).into());
                tree::make_node(&parent, path.name(), SFlag::S_IFCHR, device).map_err(at)?;
                metadata_of_file::<R>(planned, &parent, None)
            }
            Step::Skip | Step::Root | Step::Opaque | Step::Whiteout(_) => Ok(()),
        }
    }

    fn count(&mut self, bytes: u64, path: &InnerPath) -> Result<(), UnpackError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.bytes_max {
            return Err(entry::too_large(path, self.bytes_max));
        }
        if self.bytes - self.measured >= MEASURE_BYTES {
            self.measured = self.bytes;
            if free_bytes(&self.root).is_ok_and(|free| free == 0) {
                return Err(disk(&path.whole(), Errno::ENOSPC));
            }
        }
        Ok(())
    }

    fn copy(
        &mut self,
        entry: &mut dyn Read,
        mut file: &File,
        path: &InnerPath,
    ) -> Result<(), UnpackError> {
        let failed = |source| UnpackError::Disk {
            path: path.whole(),
            source,
        };
        let mut ends_in_hole = false;
        loop {
            let count = entry.read(&mut self.buffer).map_err(UnpackError::Source)?;
            if count == 0 {
                break;
            }
            self.count(count as u64, path)?;
            let data = &self.buffer[..count];
            ends_in_hole = count >= HOLE_BYTES && data.iter().all(|byte| *byte == 0);
            if ends_in_hole {
                file.seek(SeekFrom::Current(count as i64)).map_err(failed)?;
            } else {
                file.write_all(data).map_err(failed)?;
            }
        }
        if ends_in_hole {
            let end = file.stream_position().map_err(failed)?;
            file.set_len(end).map_err(failed)?;
        }
        Ok(())
    }

    fn copy_sparse(
        &mut self,
        sparse: &Sparse,
        entry: &mut dyn Read,
        mut file: &File,
        path: &InnerPath,
    ) -> Result<(), UnpackError> {
        let failed = |source| UnpackError::Disk {
            path: path.whole(),
            source,
        };
        let pieces = sparse.read_pieces(entry).map_err(UnpackError::Source)?;
        // A file's length counts with its holes: whoever copies it fills them.
        if sparse.size > self.bytes_max {
            return Err(entry::too_large(path, self.bytes_max));
        }
        for piece in pieces {
            file.seek(SeekFrom::Start(piece.offset)).map_err(failed)?;
            let before = self.bytes;
            self.copy(&mut entry.take(piece.bytes), file, path)?;
            if self.bytes - before != piece.bytes {
                return Err(UnpackError::Source(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        file.set_len(sparse.size).map_err(failed)
    }

    fn metadata_of_directory<R: Read>(
        &mut self,
        planned: &Planned,
        entry: &mut Entry<'_, R>,
    ) -> Result<(), UnpackError> {
        let path = &planned.path;
        let at = |errno| disk(&path.whole(), errno);
        let parent = self.tree.directory(path.parent()).map_err(at)?;
        let directory = tree::open_existing(&parent, path.name()).map_err(at)?;
        own_and_mode(planned, &parent, name_in(path), true).map_err(at)?;
        attributes(entry, &directory, path)?;
        self.directory_times.push((path.clone(), planned.time));
        Ok(())
    }

    fn finish(mut self) -> Result<u64, UnpackError> {
        for (path, time) in std::mem::take(&mut self.directory_times).into_iter().rev() {
            let at = |errno| disk(&path.whole(), errno);
            let parent = self.tree.directory(path.parent()).map_err(at)?;
            // A later entry may have replaced it.
            if tree::stat(&parent, name_in(&path)).map_err(at)?.is_some() {
                set_time(&parent, name_in(&path), time).map_err(at)?;
            }
        }
        Ok(self.bytes)
    }
}

fn name_in(path: &InnerPath) -> &OsStr {
    if path.is_root() {
        OsStr::new(".")
    } else {
        path.name()
    }
}

fn whiteout(parent: &OwnedFd, hidden: &OsStr) -> Result<(), Errno> {
    match tree::stat(parent, hidden)? {
        None => tree::make_node(parent, hidden, SFlag::S_IFCHR, 0),
        // A whiteout hides lower layers only: this layer's directory stays, nothing shines through.
        Some(stat) if tree::kind(&stat) == SFlag::S_IFDIR => {
            xattr::set(&tree::open_existing(parent, hidden)?, OPAQUE, b"y")
        }
        Some(_) => Ok(()),
    }
}

fn metadata_of_file<R: Read>(
    planned: &Planned,
    parent: &OwnedFd,
    file: Option<(&File, &mut Entry<'_, R>)>,
) -> Result<(), UnpackError> {
    let path = &planned.path;
    let at = |errno| disk(&path.whole(), errno);
    let has_mode = !matches!(planned.step, Step::Symlink(_));
    // Order matters: chown(2) clears set-user-id bits and file capabilities.
    own_and_mode(planned, parent, path.name(), has_mode).map_err(at)?;
    if let Some((file, entry)) = file {
        attributes(entry, file, path)?;
    }
    set_time(parent, path.name(), planned.time).map_err(at)
}

fn own_and_mode(
    planned: &Planned,
    parent: &OwnedFd,
    name: &OsStr,
    has_mode: bool,
) -> Result<(), Errno> {
    let parent = Some(parent.as_raw_fd());
    fchownat(
        parent,
        name,
        Some(Uid::from_raw(planned.uid)),
        Some(Gid::from_raw(planned.gid)),
        AtFlags::AT_SYMLINK_NOFOLLOW,
    )?;
    if !has_mode {
        return Ok(());
    }
    // `name` was made or checked just now and is no symbolic link, so following is safe here.
    let mode = Mode::from_bits_truncate(planned.mode);
    fchmodat(parent, name, mode, FchmodatFlags::FollowSymlink)
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
        let Ok(name) = CString::new(name) else {
            continue;
        };
        // `trusted.` belongs to this machine: an image could forge overlayfs' marks with it. So do the labels and
        // hashes of its security modules.
        let is_foreign = name.as_bytes().starts_with(b"trusted.")
            || name.as_bytes().starts_with(b"security.")
                && name.as_c_str() != c"security.capability";
        if is_foreign {
            continue;
        }
        match xattr::set(file, &name, extension.value_bytes()) {
            // What this file system cannot hold is lost, as containerd has it; lost capabilities would surprise.
            Ok(()) => {}
            Err(Errno::EOPNOTSUPP | Errno::EINVAL) if name.as_c_str() != c"security.capability" => {
            }
            Err(errno) => return Err(disk(&path.whole(), errno)),
        }
    }
    Ok(())
}

fn set_time(parent: &OwnedFd, name: &OsStr, seconds: i64) -> Result<(), Errno> {
    #[allow(clippy::useless_conversion)] // Narrower on 32-bit boards.
    let time = TimeSpec::new(seconds.try_into().unwrap_or(0), 0);
    utimensat(
        Some(parent.as_raw_fd()),
        name,
        &time,
        &time,
        UtimensatFlags::NoFollowSymlink,
    )
}
