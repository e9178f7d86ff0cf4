//! The built-in image `coracle.local/hello`: the node's own static binary, so that a first run needs no network.

use super::digest::{Digest, HashingReader};
use super::durable::Scratch;
use super::layers::make_root;
use super::{ImageConfig, ImageError, Images};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// The image's name.
pub(super) const NAME: &str = "coracle.local/hello:latest";

/// Changes when the layer is made differently, so that nodes make it anew.
const RECIPE: &str = "coracle hello layer 1";

/// Beside the layers: first line, which executable the present image was made from; second, the id of the image before.
const NOTE: &str = "hello";

/// Largest executable hashed; ours is below 16 MiB stripped, debug builds are some hundred.
const EXECUTABLE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

const PASSWD: &str = "root:x:0:0:root:/:/coracle\nnobody:x:65534:65534:nobody:/:/coracle\n";
const GROUP: &str = "root:x:0:\nnobody:x:65534:\n";

/// Makes the image unless it is here and `executable` is the one it was made from.
pub(super) fn ensure(images: &Images, executable: &Path) -> Result<(), ImageError> {
    let failed = |action| move |error| ImageError::io(action, executable, error);
    let metadata = fs::metadata(executable).map_err(failed("read"))?;
    // Hashing the binary at every start would cost a slow board seconds.
    let stamp = format!(
        "{RECIPE} {} {} {}.{:09} {} {}",
        metadata.dev(),
        metadata.ino(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.size(),
        executable.display(),
    );
    let note = images.layers.read_note(NOTE).unwrap_or_default();
    let (noted, before) = note.split_once('\n').unwrap_or((&note, ""));
    let current = images.find(NAME)?;
    let whole = |image: &super::Image| images.damaged_layer(image).is_none();
    if noted == stamp && current.as_ref().is_some_and(whole) {
        return Ok(());
    }

    let file = File::open(executable).map_err(failed("read"))?;
    let (content, bytes) = HashingReader::new(file)
        .drain(EXECUTABLE_BYTES_MAX)
        .map_err(failed("read"))?;
    // No tar stream ever exists, so the layer is named by what it is made of.
    let diff_id = Digest::of(format!("{RECIPE}\n{content}\n{PASSWD}\n{GROUP}").as_bytes());
    let config = ImageConfig {
        entrypoint: vec!["/coracle".to_owned(), "hello".to_owned()],
        env: vec!["PATH=/".to_owned()],
        ..ImageConfig::default()
    };
    let id = Digest::of(format!("{diff_id} {:?} {:?}", config.entrypoint, config.env).as_bytes())
        .to_string();
    let layers = [diff_id];
    let _pin = images.pin(&layers);
    if !images.layers.is_whole(&layers[0]) {
        let scratch = Scratch::new(&images.layers.tmp())?;
        fill(&scratch.path().join("fs"), executable, &metadata)?;
        images.layers.commit(&layers[0], scratch, bytes)?;
    }
    images.record(&id, &layers, config, &[NAME.to_owned()])?;
    // Containers made from the image before may still run after an upgrade of the node: it stays for one generation.
    let previous = match current {
        Some(current) if current.id != id => current.id,
        _ => before.to_owned(),
    };
    images
        .layers
        .write_note(NOTE, &format!("{stamp}\n{previous}"))?;
    if before != previous
        && before != id
        && images
            .find(before)
            .ok()
            .flatten()
            .is_some_and(|old| old.tags.is_empty())
    {
        images.state().records.remove_image(before)?;
    }
    Ok(())
}

fn fill(root: &Path, executable: &Path, metadata: &fs::Metadata) -> Result<(), ImageError> {
    make_root(root)?;
    let target = root.join("coracle");
    // A hard link costs no space, but shares owner and mode with the original.
    let everyone = 0o555;
    let linked =
        metadata.mode() & everyone == everyone && fs::hard_link(executable, &target).is_ok();
    if !linked {
        // `copy` shares extents where the file system can.
        fs::copy(executable, &target)
            .and_then(|_| fs::set_permissions(&target, fs::Permissions::from_mode(0o755)))
            .map_err(|error| ImageError::io("copy", &target, error))?;
    }
    for (name, mode) in [("etc", 0o755), ("tmp", 0o1777)] {
        let path = root.join(name);
        fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .map_err(|error| ImageError::io("create", &path, error))?;
    }
    for (name, text) in [("passwd", PASSWD), ("group", GROUP)] {
        let path = root.join("etc").join(name);
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)))
            .map_err(|error| ImageError::io("write", &path, error))?;
    }
    Ok(())
}
