//! The directories of one container's overlay mount.

use super::digest::Digest;
use super::layers::Layers;
use super::{Image, ImageError, RootFs};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// mount(2) copies one page of options; boards with larger pages exist, smaller ones do not. The rest of the options
/// (`lowerdir=,upperdir=,workdir=` and flags) gets this much of it.
const OPTION_BYTES_MAX: usize = 4096;
const OTHER_OPTION_BYTES: usize = 64;

/// Makes `upper`, `work` and `merged` under `dir` and stacks the image's layers.
pub(super) fn prepare(layers: &Layers, image: &Image, dir: &Path) -> Result<RootFs, ImageError> {
    let diff_ids: Vec<Digest> = image
        .layers
        .iter()
        .map(|layer| Digest::parse(layer, &image.id))
        .collect::<Result<_, _>>()?;
    if diff_ids.is_empty() {
        return Err(ImageError::Malformed {
            what: format!("image {}", image.id),
            why: "it has no layers, so there is nothing to run".to_owned(),
        });
    }
    let mut lower = Vec::with_capacity(diff_ids.len());
    let mut seen = BTreeSet::new();
    for diff_id in diff_ids.iter().rev() {
        // Overlayfs takes a directory once. The upper occurrence has all that the lower one has, marks included.
        if !seen.insert(diff_id) {
            continue;
        }
        if !layers.is_whole(diff_id) {
            return Err(ImageError::Absent {
                reference: image.id.clone(),
            });
        }
        lower.push(layers.link(diff_id)?);
    }
    let rootfs = RootFs {
        lower,
        upper: dir.join("upper"),
        work: dir.join("work"),
        merged: dir.join("merged"),
    };
    check_options(&rootfs)?;
    for path in [&rootfs.upper, &rootfs.work, &rootfs.merged] {
        fs::create_dir_all(path).map_err(|error| ImageError::io("create", path, error))?;
    }
    // The merged root shows the upper directory's owner and mode: they must be the image's.
    let top = diff_ids.last().map(|diff_id| layers.tree(diff_id));
    let like = || -> std::io::Result<()> {
        let (mode, uid, gid) = match &top {
            Some(top) => {
                let metadata = fs::metadata(top)?;
                (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
            }
            None => (0o755, 0, 0),
        };
        std::os::unix::fs::chown(&rootfs.upper, Some(uid), Some(gid))?;
        fs::set_permissions(&rootfs.upper, fs::Permissions::from_mode(mode))
    };
    like().map_err(|error| ImageError::io("prepare", &rootfs.upper, error))?;
    Ok(rootfs)
}

fn check_options(rootfs: &RootFs) -> Result<(), ImageError> {
    let paths = || rootfs.lower.iter().chain([&rootfs.upper, &rootfs.work]);
    let bytes: usize = paths().map(|path| path.as_os_str().len() + 1).sum();
    if bytes + OTHER_OPTION_BYTES > OPTION_BYTES_MAX {
        return Err(ImageError::Limit {
            what: "bytes of overlay mount options (too many layers, or a data directory with a long path)"
                .to_owned(),
            value: (bytes + OTHER_OPTION_BYTES) as u64,
            limit: OPTION_BYTES_MAX as u64,
        });
    }
    for path in paths() {
        let text = path.to_string_lossy();
        if text.contains([':', ',', '\\']) {
            return Err(ImageError::Malformed {
                what: format!("data directory {text}"),
                why: "overlayfs takes no path with a colon, comma or backslash; choose another data directory"
                    .to_owned(),
            });
        }
    }
    Ok(())
}
