//! The node's files, read once per pull.

use super::{Endpoint, Keyring, Registries};
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
    /// Where the keyring was read.
    docker: PathBuf,
}

impl Sources {
    /// An error where docker would ask a program for what an endpoint wants to hear, and nobody else has given it: to ask
    /// without would end in an "unauthorized" that nobody understands.
    pub fn refuse_helpers(&self, endpoints: &[Endpoint]) -> Result<(), ImageError> {
        for endpoint in endpoints.iter().filter(|e| e.credentials.is_empty()) {
            if let Some(helper) = self.keyring.helper(&endpoint.host, &endpoint.repository) {
                return Err(ImageError::CredentialHelper {
                    path: self.docker.clone(),
                    registry: endpoint.host.clone(),
                    helper: helper.to_owned(),
                });
            }
        }
        Ok(())
    }
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
        if let Some((path, text)) = first(&self.docker)? {
            sources.docker.clone_from(path);
            if let Err(error) = sources.keyring.add_docker_config(text.as_bytes()) {
                tracing::warn!(path = %path.display(), %error, "credentials of the node not read in full");
            }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::endpoints;
    use super::*;
    use crate::image::reference::Name;
    use crate::image::{Credentials, Keyring};

    #[test]
    fn a_credential_helper_is_refused_with_its_file_and_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, r#"{"credHelpers": {"ecr.example": "ecr-login"}}"#).unwrap();
        let files = ConfigFiles {
            registries: Vec::new(),
            docker: vec![dir.path().join("absent.json"), path.clone()],
        };
        let sources = files.read().unwrap();
        let ask = |image: &str, pod: &Keyring| {
            let name = Name::parse(image).unwrap();
            let found = endpoints(&name, &sources.registries, pod, &sources.keyring).unwrap();
            sources.refuse_helpers(&found).map_err(|e| e.to_string())
        };
        let none = Keyring::default();
        assert_eq!(ask("busybox", &none), Ok(()));
        let error = ask("ecr.example/team/app:1", &none).unwrap_err();
        assert_eq!(
            error,
            format!(
                "{} leaves the password of ecr.example to the credential helper docker-credential-ecr-login, which a node does not run; write an `auth` entry for it into config.json in the data directory, or give the pod an image pull secret",
                path.display()
            )
        );
        // A pod that brings its own password needs no helper.
        let own = Keyring::of(Credentials::Bearer {
            token: "t".to_owned(),
        });
        assert_eq!(ask("ecr.example/team/app:1", &own), Ok(()));
    }
}
