//! Writing so that a power cut leaves either the old or the new, and scratch directories that vanish.

use super::ImageError;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Replaces `path` by `bytes`: temporary file, fsync, rename, fsync of the directory.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        ImageError::io("write", path, error)
    })?;
    sync_parent(path)
}

/// Makes a created, renamed or removed name durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), ImageError> {
    let parent = path.parent().unwrap_or(path);
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| ImageError::io("flush", parent, error))
}

/// Makes everything below `directory` durable with one call: syncfs(2) also flushes the rest of that file system,
/// which is far cheaper than one fsync per file of a layer.
pub(super) fn sync_tree(directory: &Path) -> Result<(), ImageError> {
    let flush = || -> std::io::Result<()> {
        let open = File::open(directory)?;
        nix::unistd::syncfs(open.as_raw_fd()).map_err(Into::into)
    };
    flush().map_err(|error| ImageError::io("flush", directory, error))
}

/// Left free by images: the cluster's own log must still be written when a card is full. On small disks a fiftieth.
const RESERVE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes that images may still take on the disk of `path`.
pub(super) fn free_bytes(path: &Path) -> Result<u64, ImageError> {
    let stat = nix::sys::statvfs::statvfs(path)
        .map_err(|errno| ImageError::io("measure", path, errno.into()))?;
    #[allow(clippy::useless_conversion)] // Narrower on 32-bit boards.
    let bytes = |blocks| u64::from(blocks) * u64::from(stat.fragment_size());
    Ok(for_images(
        bytes(stat.blocks_available()),
        bytes(stat.blocks()),
    ))
}

fn for_images(available_bytes: u64, total_bytes: u64) -> u64 {
    available_bytes.saturating_sub(RESERVE_BYTES_MAX.min(total_bytes / 50))
}

/// A directory of this store's `tmp` that is removed when dropped.
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new empty directory in `tmp`.
    pub fn new(tmp: &Path) -> Result<Scratch, ImageError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = tmp.join(format!("{}-{number}", std::process::id()));
        fs::create_dir(&path).map_err(|error| ImageError::io("create", &path, error))?;
        Ok(Scratch { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                // Opening the store tries again.
                tracing::warn!(path = %self.path.display(), %error, "temporary directory not removed");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_left_for_the_log() {
        const MIB: u64 = 1024 * 1024;
        for (available, total, left) in [
            (1000 * MIB, 32_000 * MIB, 936 * MIB),
            (10 * MIB, 32_000 * MIB, 0),
            (100 * MIB, 500 * MIB, 90 * MIB),
        ] {
            assert_eq!(for_images(available, total), left);
        }
    }
}
