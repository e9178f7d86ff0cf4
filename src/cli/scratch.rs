//! Files that live as long as a verb: readable by their owner only, since they may hold Secrets.

use anyhow::Context;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A directory that goes with its owner.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new directory whose name starts with `prefix`.
    pub fn new(prefix: &str) -> Result<Scratch, anyhow::Error> {
        let path = std::env::temp_dir().join(format!("{prefix}-{:08x}", rand::random::<u32>()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make the directory {}", path.display()))?;
        Ok(Scratch { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file in it. Whatever stands in `name` stays one name.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, anyhow::Error> {
        let path = self.path.join(name.replace('/', "_"));
        write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing better can be done about what cannot be removed.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Writes a file only its owner reads.
pub fn write(path: &Path, text: &str) -> Result<(), anyhow::Error> {
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_goes_with_its_owner() {
        let scratch = Scratch::new("coracle-test").unwrap();
        let path = scratch.write("a/b", "text").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
        assert_eq!(path.parent(), Some(scratch.path()));
        drop(scratch);
        assert!(!path.exists());
    }
}
