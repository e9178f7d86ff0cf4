//! A node's cgroups in every hierarchy: v1, hybrid and v2.

use super::mounts;
use super::report::Report;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Tries for a cgroup whose last process is still being reaped.
const ATTEMPTS_MAX: usize = 50;
const PAUSE: Duration = Duration::from_millis(50);
/// Deepest cgroup of ours: root, class, pod, container; containers may make some below.
const DEPTH_MAX: usize = 32;

/// Where `root` exists.
pub fn directories(root: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = mounts::all()
        .into_iter()
        .filter(|mount| mount.kind == "cgroup" || mount.kind == "cgroup2")
        .map(|mount| mount.point.join(root))
        .filter(|directory| directory.is_dir())
        .collect();
    found.dedup();
    found
}

/// `directory` and all cgroups below, the deepest first.
pub fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(directory, DEPTH_MAX, &mut found);
    found
}

fn walk(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if depth > 0 {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&entry.path(), depth - 1, found);
            }
        }
    }
    found.push(directory.to_owned());
}

pub async fn remove(root: &str, report: &mut Report) {
    for directory in directories(root) {
        let name = directory.display().to_string();
        match remove_tree(&directory).await {
            Ok(()) => report.removed("cgroup", &name),
            Err(cause) => report.failed("cgroup", &name, &cause.into()),
        }
    }
}

async fn remove_tree(directory: &Path) -> std::io::Result<()> {
    for cgroup in tree(directory) {
        let mut attempt = 0;
        while let Err(cause) = std::fs::remove_dir(&cgroup) {
            match cause.kind() {
                std::io::ErrorKind::NotFound => break,
                std::io::ErrorKind::ResourceBusy if attempt < ATTEMPTS_MAX => {
                    attempt += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                _ => return Err(cause),
            }
        }
    }
    Ok(())
}
