//! Media types: what a document or a layer claims to be, and what is refused for it.
//!
//! A layer's compression is told by its first bytes (`decompress`), since registries hold layers with wrong types. What
//! the type must say is that there is a tar archive at all, and that it may be fetched from the registry.

use super::ImageError;

/// What a manifest request accepts: OCI image-spec 1.1 and docker's schema 2, indexes and images.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

const CONFIGURATIONS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// Tar archives as they are, by gzip or by zstd. zstd:chunked and stargz layers carry these types too: their extras
/// are skippable frames, empty members and annotations.
const LAYERS: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// Layers that must not be distributed by registries, mostly Windows' (image-spec, "Non-Distributable Layers").
const FOREIGN: [&str; 5] = [
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];

/// Errs where a manifest or index says that it is something else. Older ones say nothing.
pub(super) fn check_manifest(media_type: &str, what: &str) -> Result<(), ImageError> {
    let bare = bare(media_type);
    if bare.is_empty() || bare == "application/json" || MANIFESTS.contains(&bare) {
        return Ok(());
    }
    let why = if bare.starts_with("application/vnd.docker.distribution.manifest.v1") {
        "docker's schema 1 is not supported; push the image again with a current tool"
    } else {
        "it is no image manifest and no index of images"
    };
    Err(refused(what, media_type, why))
}

/// Errs where a manifest's configuration is not an image's: Helm charts, signatures and other artifacts cannot run.
pub(super) fn check_configuration(media_type: &str, what: &str) -> Result<(), ImageError> {
    let bare = bare(media_type);
    if bare.is_empty() || CONFIGURATIONS.contains(&bare) {
        return Ok(());
    }
    Err(refused(
        what,
        media_type,
        "it is an artifact, not a container image",
    ))
}

/// Errs where a layer cannot be unpacked or fetched.
pub(super) fn check_layer(media_type: &str, what: &str) -> Result<(), ImageError> {
    let bare = bare(media_type);
    if bare.is_empty() || LAYERS.contains(&bare) {
        return Ok(());
    }
    let why = if FOREIGN.contains(&bare) {
        "a foreign layer is not distributed by registries; build the image on another base"
    } else if bare.ends_with("+encrypted") {
        "the layer is encrypted, and there are no keys here"
    } else {
        "its layer is no tar archive, gzip or zstd"
    };
    Err(refused(what, media_type, why))
}

/// Without parameters such as `; charset=utf-8`.
fn bare(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

fn refused(what: &str, media_type: &str, why: &str) -> ImageError {
    ImageError::MediaType {
        what: what.to_owned(),
        media_type: media_type.chars().take(200).collect(),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_unpacked_passes_and_the_rest_says_why_not() {
        for (media_type, why) in [
            ("", None),
            ("application/vnd.oci.image.layer.v1.tar+zstd", None),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", None),
            (
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                Some("foreign"),
            ),
            (
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                Some("foreign"),
            ),
            (
                "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
                Some("encrypted"),
            ),
            (
                "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
                Some("no tar archive"),
            ),
        ] {
            let found = check_layer(media_type, "x").map_err(|error| error.to_string());
            match (found, why) {
                (Ok(()), None) => {}
                (Err(error), Some(why)) => assert!(error.contains(why), "{error}"),
                (found, why) => panic!("{media_type}: {found:?} and not {why:?}"),
            }
        }
        assert!(
            check_manifest(
                "application/vnd.oci.image.index.v1+json; charset=utf-8",
                "x"
            )
            .is_ok()
        );
        assert!(check_manifest("text/html", "x").is_err());
        assert!(check_configuration("application/vnd.cncf.helm.config.v1+json", "x").is_err());
    }
}
