//! How much of the disk a volume takes, and the verdict where that is too much.
//! <https://kubernetes.io/docs/concepts/storage/volumes/#emptydir>

use crate::kubelet::pod::state::Verdict;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// stat(2) counts in these.
const BLOCK_BYTES: u64 = 512;

/// Bytes on disk at and below `root`, as `du -x` counts them: a file with several names once, other filesystems not.
pub fn usage_bytes(root: &Path) -> u64 {
    let Ok(top) = fs::symlink_metadata(root) else {
        return 0;
    };
    let device = top.dev();
    let mut bytes = top.blocks() * BLOCK_BYTES;
    let mut seen: HashSet<u64> = HashSet::new();
    let mut left: Vec<PathBuf> = vec![root.to_path_buf()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else {
                continue;
            };
            if found.dev() != device {
                continue;
            }
            let counted = !found.is_dir() && found.nlink() > 1 && !seen.insert(found.ino());
            if !counted {
                bytes = bytes.saturating_add(found.blocks() * BLOCK_BYTES);
            }
            if found.is_dir() {
                left.push(entry.path());
            }
        }
    }
    bytes
}

/// What becomes of a pod whose volume `name` is larger than its limit; upstream's words (`emptyDirMessageFmt`).
pub fn too_large(name: &str, limit: &str) -> Verdict {
    Verdict {
        reason: "Evicted".to_string(),
        message: format!("Usage of EmptyDir volume {name:?} exceeds the limit {limit:?}. "),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_of_one_file_count_once() {
        let dir = tempfile::tempdir().unwrap();
        let before = usage_bytes(dir.path());
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/f"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(dir.path().join("d/f"), dir.path().join("g")).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("link")).unwrap();
        let grown = usage_bytes(dir.path()) - before;
        assert!(
            (1 << 20..(1 << 20) + (64 << 10)).contains(&grown),
            "{grown}"
        );
        assert_eq!(usage_bytes(Path::new("/no/such/place")), 0);
        assert_eq!(
            too_large("x", "1Mi").message,
            "Usage of EmptyDir volume \"x\" exceeds the limit \"1Mi\". "
        );
    }
}
