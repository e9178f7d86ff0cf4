//! Reading the files that containers' variables come from. A container has written them, so that nothing in them is
//! trusted: not their length, and not where a link leads.

use crate::kubelet::worker::Worker;
use k8s_openapi::api::core::v1::{Container, FileKeySelector};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;

/// Largest file that is read: as much as a Secret or ConfigMap may hold.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl Worker {
    /// Reads what `container` refers to. A file that is not there is left out.
    pub(super) fn load_env_files(&mut self, container: &Container) -> Result<(), String> {
        self.sources.env_files.clear();
        let references = container
            .env
            .iter()
            .flatten()
            .filter_map(|variable| variable.value_from.as_ref()?.file_key_ref.as_ref());
        for reference in references {
            let key = (reference.volume_name.clone(), reference.path.clone());
            if self.sources.env_files.contains_key(&key) {
                continue;
            }
            if let Some(text) = self.env_file(reference)? {
                self.sources.env_files.insert(key, text);
            }
        }
        Ok(())
    }

    fn env_file(&self, reference: &FileKeySelector) -> Result<Option<String>, String> {
        let name = &reference.volume_name;
        let volumes = self.pod.spec.as_ref().and_then(|s| s.volumes.as_ref());
        let volume = volumes.into_iter().flatten().find(|v| v.name == *name);
        if volume.is_none_or(|v| v.empty_dir.is_none()) {
            return Err(format!(
                "fileKeyRef: the pod has no emptyDir volume {name:?}"
            ));
        }
        let Some(place) = self.live.places.get(name) else {
            return Ok(None);
        };
        match read_inside(&place.path, &reference.path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!(
                "reading {:?} of volume {name:?}: {error}",
                reference.path
            )),
        }
    }
}

/// With the volume as the root of all links.
fn read_inside(directory: &Path, path: &str) -> io::Result<String> {
    let directory = File::open(directory)?;
    // A pipe must not hold the pod up.
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let number = openat2(directory.as_raw_fd(), path, how)?;
    let mut file = File::from(crate::runtime::own_fd(number));
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    (&mut file)
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it is over {FILE_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside() {
        let outside = tempfile::tempdir().unwrap();
        let volume = outside.path().join("volume");
        std::fs::create_dir_all(volume.join("etc")).unwrap();
        std::fs::write(outside.path().join("secret"), "theirs").unwrap();
        std::fs::write(volume.join("own"), "ours").unwrap();
        std::fs::write(volume.join("etc/passwd"), "inner").unwrap();
        symlink("../secret", volume.join("up")).unwrap();
        symlink("/etc/passwd", volume.join("root")).unwrap();
        let read = |path: &str| read_inside(&volume, path);
        assert_eq!(read("own").unwrap(), "ours");
        assert_eq!(read("root").unwrap(), "inner");
        assert_eq!(read("up").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(read("etc").is_err());
    }
}
