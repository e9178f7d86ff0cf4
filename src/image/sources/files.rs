//! The node's files, read once per pull.

use super::{Keyring, Registries};
use crate::image::ImageError;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most bytes of one such file; real ones have a few KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where this node's registries and credentials are written down.
#[derive(Debug, Clone, Default)]
pub struct ConfigFiles {
    /// The first that exists counts.
    pub registries: Vec<PathBuf>,
    /// The first that exists counts, as for upstream's kubelet.
    pub docker: Vec<PathBuf>,
}

/// What the files say.
#[derive(Debug, Default)]
pub struct Sources {
    pub registries: Registries,
    pub keyring: Keyring,
}

impl ConfigFiles {
    /// The usual places: the data directory, `/etc/coracle`; docker's file where upstream's kubelet looks for it.
    pub fn of_node(data_dir: &Path) -> ConfigFiles {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        ConfigFiles {
            registries: vec![
                data_dir.join("registries.yaml"),
                "/etc/coracle/registries.yaml".into(),
            ],
            docker: [
                Some(data_dir.join("config.json")),
                home.map(|home| home.join(".docker/config.json")),
                Some("/.docker/config.json".into()),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }
    }

    /// Reads them. A registries file with a mistake is an error: pulling past a mirror's settings would surprise.
    pub fn read(&self) -> Result<Sources, ImageError> {
        let mut sources = Sources::default();
        if let Some((path, text)) = first(&self.registries)? {
            sources.registries = Registries::parse(&text).map_err(|why| ImageError::Sources {
                path: path.clone(),
                why,
            })?;
        }
        if let Some((path, text)) = first(&self.docker)?
            && let Err(error) = sources.keyring.add_docker_config(text.as_bytes())
        {
            tracing::warn!(path = %path.display(), %error, "credentials of the node not read in full");
        }
        Ok(sources)
    }
}

fn first(paths: &[PathBuf]) -> Result<Option<(&PathBuf, String)>, ImageError> {
    for path in paths {
        let mut text = String::new();
        let read = File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
        match read {
            Ok(bytes) if bytes as u64 > FILE_BYTES_MAX => {
                return Err(ImageError::Sources {
                    path: path.clone(),
                    why: format!("it is larger than {FILE_BYTES_MAX} bytes"),
                });
            }
            Ok(_) => return Ok(Some((path, text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // A home directory may be out of reach.
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {}
            Err(error) => return Err(ImageError::io("read", path, error)),
        }
    }
    Ok(None)
}
