//! The documents of an image, OCI image-spec 1.1 and docker's schema 2: index, manifest, configuration.
//!
//! Both families share their field names; what we do not act on (history, labels) is passed over.

use super::digest::Digest;
use super::{ImageConfig, ImageError};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Most bytes of one such document; registries refuse manifests above 4 MiB (distribution-spec).
pub(super) const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most layers of one image: overlayfs takes 500 lower directories, docker makes at most 127.
pub(super) const LAYERS_MAX: usize = 127;

/// An image for one platform, or an index of such images.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub schema_version: u32,
    /// OCI's older tools leave it out.
    #[serde(default)]
    pub media_type: String,
    /// Present in an image manifest.
    pub config: Option<Descriptor>,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    /// Present in an index.
    pub manifests: Option<Vec<Descriptor>>,
}

/// A reference to content by digest.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    #[serde(default)]
    pub size: u64,
    pub platform: Option<DescriptorPlatform>,
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Whom an entry of an index is for.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
pub(super) struct DescriptorPlatform {
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub variant: String,
}

/// The image's configuration; its digest is the image's id.
#[derive(Debug, Deserialize)]
pub(super) struct Configuration {
    #[serde(flatten)]
    pub platform: DescriptorPlatform,
    #[serde(default)]
    config: Option<ConfigurationRun>,
    rootfs: RootFsLayers,
}

#[derive(Debug, Deserialize)]
struct RootFsLayers {
    diff_ids: Vec<String>,
}

// Docker writes null where a list is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ConfigurationRun {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    stop_signal: Option<String>,
}

/// Reads a document, `what` naming it in errors.
pub(super) fn parse<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    what: &str,
) -> Result<T, ImageError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(ImageError::Limit {
            what: format!("{what}, bytes"),
            value: bytes.len() as u64,
            limit: DOCUMENT_BYTES_MAX as u64,
        });
    }
    serde_json::from_slice(bytes).map_err(|error| ImageError::Malformed {
        what: what.to_owned(),
        why: error.to_string(),
    })
}

impl Manifest {
    /// Reads a manifest or an index and checks its version.
    pub fn parse(bytes: &[u8], what: &str) -> Result<Manifest, ImageError> {
        let manifest: Manifest = parse(bytes, what)?;
        super::media::check_manifest(&manifest.media_type, what)?;
        if manifest.schema_version != 2 {
            return Err(ImageError::Malformed {
                what: what.to_owned(),
                why: format!(
                    "schema version {} is not supported, only 2; push the image again with a current tool",
                    manifest.schema_version
                ),
            });
        }
        Ok(manifest)
    }
}

impl Configuration {
    /// Layers by diff id, lowest first, as many as the manifest has.
    pub fn diff_ids(&self, layers: usize, what: &str) -> Result<Vec<Digest>, ImageError> {
        let ids = &self.rootfs.diff_ids;
        if ids.len() != layers {
            return Err(ImageError::Malformed {
                what: what.to_owned(),
                why: format!(
                    "its configuration lists {} layers, its manifest {layers}",
                    ids.len()
                ),
            });
        }
        if ids.len() > LAYERS_MAX {
            return Err(ImageError::Limit {
                what: format!("{what}, layers"),
                value: ids.len() as u64,
                limit: LAYERS_MAX as u64,
            });
        }
        ids.iter().map(|id| Digest::parse(id, what)).collect()
    }

    /// What running it needs.
    pub fn run(self) -> ImageConfig {
        let run = self.config.unwrap_or_default();
        ImageConfig {
            entrypoint: run.entrypoint.unwrap_or_default(),
            cmd: run.cmd.unwrap_or_default(),
            env: run.env.unwrap_or_default(),
            working_dir: run.working_dir.unwrap_or_default(),
            user: run.user.unwrap_or_default(),
            stop_signal: run.stop_signal.unwrap_or_default(),
        }
    }
}
