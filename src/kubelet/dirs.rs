//! Where a pod's files are.

use std::path::{Path, PathBuf};

/// Paths of one node's pods.
#[derive(Debug, Clone)]
pub struct Dirs {
    /// On disk.
    pub pods: PathBuf,
    /// On tmpfs.
    pub run: PathBuf,
}

impl Dirs {
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods.join(uid)
    }
    pub fn volumes(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("volumes")
    }
    /// Volumes whose content comes from the API: secrets never touch the disk, and ConfigMaps need not wear it.
    pub fn volumes_in_memory(&self, uid: &str) -> PathBuf {
        self.run.join("volumes").join(uid)
    }
    pub fn all_volumes_in_memory(&self) -> PathBuf {
        self.run.join("volumes")
    }
    pub fn container_logs(&self, uid: &str, container: &str) -> PathBuf {
        self.pod(uid).join("logs").join(container)
    }
    pub fn log(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.container_logs(uid, container)
            .join(format!("{attempt}.log"))
    }
    pub fn containers(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("containers")
    }
    /// The writable part of one run's root filesystem.
    pub fn writable(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.containers(uid)
            .join(container)
            .join(attempt.to_string())
    }
    /// The file a container may leave its last words in (`terminationMessagePath`).
    pub fn last_words(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.all_last_words(uid)
            .join(format!("{container}.{attempt}"))
    }
    pub fn all_last_words(&self, uid: &str) -> PathBuf {
        self.run.join("termination").join(uid)
    }
}

/// The attempt a log file (or a rotated one) is of: `3.log`, `3.log.20250101-000000`.
pub fn log_attempt(file: &Path) -> Option<u32> {
    file.file_name()?
        .to_str()?
        .split_once(".log")?
        .0
        .parse()
        .ok()
}
