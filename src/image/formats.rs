//! Readers of outside bytes by themselves, for fuzzers and for whoever wants to look at a file without a store: no I/O
//! but the reader given.

pub use super::entry::{LAYER_BYTES_MAX, LayerSummary, UnpackError, check_layer};

use super::decompress::decompress;
use super::digest::Digest;
use super::manifest::{self, Configuration, Manifest};
use super::sources::Registries;
use super::{ImageError, media, platform};
use std::io::Read;

/// Reads an image manifest or an index as a pull does: types, digests, the choice for this machine.
pub fn check_manifest(bytes: &[u8]) -> Result<(), ImageError> {
    let what = "manifest";
    let manifest = Manifest::parse(bytes, what)?;
    let Some(config) = manifest.config else {
        let entries = manifest.manifests.unwrap_or_default();
        let chosen = platform::choose(&entries, what)?;
        return Digest::parse(&chosen.digest, what).map(drop);
    };
    media::check_configuration(&config.media_type, what)?;
    Digest::parse(&config.digest, what)?;
    for layer in &manifest.layers {
        media::check_layer(&layer.media_type, what)?;
        Digest::parse(&layer.digest, what)?;
    }
    Ok(())
}

/// Reads an image's configuration, which belongs to a manifest of so many layers.
pub fn check_configuration(bytes: &[u8], layers: usize) -> Result<(), ImageError> {
    let configuration: Configuration = manifest::parse(bytes, "configuration")?;
    platform::check(&configuration.platform, "configuration")?;
    configuration.diff_ids(layers, "configuration").map(drop)
}

/// Reads a layer as transferred: compressed or not, then as [`check_layer`].
pub fn check_blob(stream: impl Read, bytes_max: u64) -> Result<LayerSummary, UnpackError> {
    check_layer(decompress(stream).map_err(UnpackError::Source)?, bytes_max)
}

/// Reads a `registries.yaml`.
pub fn check_registries(text: &str) -> Result<(), String> {
    Registries::parse(text).map(drop)
}
