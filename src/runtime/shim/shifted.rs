//! The mounts of a container whose pod has its own users: layers of the image and volumes, each once more with shifted
//! owners, only while the container is made. What it gets are copies of these mounts.

use super::{idmap, user_namespace};
use crate::image::RootFs;
use crate::runtime::types::Mount;
use nix::mount::{MntFlags, umount2};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Taken away with all that is mounted below it when dropped.
#[derive(Debug)]
pub struct Shifted {
    directory: PathBuf,
    targets: Vec<PathBuf>,
    namespace: File,
    first: u32,
}

impl Shifted {
    /// `place` is the pod's run directory, `first` the host's id of the pod's root.
    pub fn new(place: &Path, first: u32) -> Result<Shifted, String> {
        // Short: overlayfs takes one page of options for all layers. Several containers may start at once.
        let directory = place.join(format!("s{}", std::process::id()));
        let failed = |e: std::io::Error| format!("making {}: {e}", directory.display());
        fs::create_dir_all(&directory).map_err(failed)?;
        Ok(Shifted {
            namespace: open(place)?,
            directory,
            targets: Vec::new(),
            first,
        })
    }

    /// Replaces the image's layers by shifted ones. The writable one is the pod's own and needs no shift: what is
    /// written there belongs to its users.
    pub fn layers(&mut self, root: &mut RootFs) -> Result<(), String> {
        for layer in &mut root.lower {
            *layer = self.mount(layer)?;
        }
        let owned = fs::metadata(&root.upper).and_then(|data| {
            if data.uid() >= self.first {
                return Ok(());
            }
            let (uid, gid) = (self.first + data.uid(), self.first + data.gid());
            std::os::unix::fs::chown(&root.upper, Some(uid), Some(gid))
        });
        owned.map_err(|e| format!("giving {} to the pod's users: {e}", root.upper.display()))
    }

    /// Replaces the sources of `mounts` by shifted ones.
    pub fn volumes(&mut self, mounts: &mut [Mount]) -> Result<(), String> {
        for mount in mounts {
            mount.source = self.mount(&mount.source)?;
        }
        Ok(())
    }

    fn mount(&mut self, source: &Path) -> Result<PathBuf, String> {
        let target = self.directory.join(self.targets.len().to_string());
        let made = fs::metadata(source).and_then(|data| {
            if data.is_dir() {
                fs::create_dir(&target)
            } else {
                File::create(&target).map(drop)
            }
        });
        made.map_err(|e| format!("a place for {}: {e}", source.display()))?;
        self.targets.push(target.clone());
        idmap::mount(source, &target, &self.namespace)?;
        Ok(target)
    }
}

impl Drop for Shifted {
    fn drop(&mut self) {
        for target in &self.targets {
            let _ = umount2(target, MntFlags::MNT_DETACH);
            // Only the empty places: never through a mount that would not go.
            let _ = fs::remove_file(target).or_else(|_| fs::remove_dir(target));
        }
        let _ = fs::remove_dir(&self.directory);
    }
}

/// The pod's user namespace.
pub fn open(place: &Path) -> Result<File, String> {
    let file = place.join(user_namespace::FILE);
    File::open(&file).map_err(|e| format!("opening {}: {e}", file.display()))
}
