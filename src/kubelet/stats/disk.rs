//! How much a directory holds: a bounded walk, as du(1) counts.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A walk ends here and what it found is the least there is: a pod that made so many files has long passed any limit
/// on inodes that a board can afford, and the walk has used a second of a core.
const ENTRIES_MAX: u64 = 200_000;
/// Files with several names remembered, so that each counts once; later ones count again.
const LINKS_MAX: usize = 4096;
/// Unit of `st_blocks`, inode(7).
const BLOCK_BYTES: u64 = 512;

/// What a directory holds, itself included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUse {
    pub bytes: u64,
    pub inodes: u64,
}

impl DiskUse {
    pub fn and(self, other: DiskUse) -> DiskUse {
        DiskUse {
            bytes: self.bytes.saturating_add(other.bytes),
            inodes: self.inodes.saturating_add(other.inodes),
        }
    }
}

/// Walks `root` without leaving its filesystem and without following links. Absent is nothing.
pub fn measure(root: &Path) -> DiskUse {
    let mut found = DiskUse::default();
    let Ok(top) = fs::symlink_metadata(root) else {
        return found;
    };
    let device = top.dev();
    let mut links: HashSet<u64> = HashSet::new();
    let mut waiting: Vec<PathBuf> = vec![root.to_path_buf()];
    while let Some(path) = waiting.pop() {
        if found.inodes >= ENTRIES_MAX {
            break;
        }
        // Files come and go under the walk.
        let Ok(entry) = fs::symlink_metadata(&path) else {
            continue;
        };
        if entry.dev() != device {
            continue;
        }
        if !entry.is_dir() && entry.nlink() > 1 {
            if links.contains(&entry.ino()) {
                continue;
            }
            if links.len() < LINKS_MAX {
                links.insert(entry.ino());
            }
        }
        found.inodes += 1;
        found.bytes = found
            .bytes
            .saturating_add(entry.blocks().saturating_mul(BLOCK_BYTES));
        if entry.is_dir() {
            let room = usize::try_from(ENTRIES_MAX).unwrap_or(usize::MAX) - waiting.len().min(1);
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            waiting.extend(entries.take(room).map(|entry| entry.path()));
            waiting.truncate(room);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn counts_like_du() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::write(root.path().join("a/b/file"), vec![1; 100_000]).unwrap();
        fs::hard_link(root.path().join("a/b/file"), root.path().join("again")).unwrap();
        std::os::unix::fs::symlink("/", root.path().join("out")).unwrap();
        let found = measure(root.path());
        assert_eq!(found.inodes, 5);
        assert!((100_000..200_000).contains(&found.bytes), "{found:?}");
        assert_eq!(measure(&root.path().join("absent")), DiskUse::default());
    }
}
