//! Unpacked layers on disk, one directory per diff id, whole or absent.
//!
//! `layers/<hex>/fs` is the layer's tree, `layers/<hex>/bytes` its size and number of top entries, `l/<short>` a symbolic link to the tree with
//! a name so short that a hundred of them fit overlayfs' option page. A layer is unpacked under `tmp/`, verified,
//! flushed, and only then renamed into place.

use super::ImageError;
use super::decompress::decompress;
use super::digest::{Digest, HashingReader};
use super::durable::{Scratch, free_bytes, replace, sync_parent, sync_tree};
use super::unpack::{LAYER_BYTES_MAX, UnpackError, unpack};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Hex digits in the shortest link name.
const SHORT_HEX_MIN: usize = 4;

/// Deflate cannot grow data more than 1,032 times; what grows more is a zstd bomb.
const GROWTH_MAX: u64 = 1100;

/// Small layers may grow by this much whatever their size.
const GROWTH_FREE_BYTES: u64 = 64 * 1024 * 1024;

/// What a layer's stream must turn out to be.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    /// Digest of the plain tar.
    pub diff_id: Digest,
    /// Digest of the stream as transferred, where known.
    pub transferred: Option<Digest>,
    /// Bytes to be transferred; 0 where unknown.
    pub transferred_bytes: u64,
}

/// What is noted beside a layer's tree: its bytes, and how many entries its top has.
struct Note {
    bytes: u64,
    /// Layers of older versions do not say.
    top: Option<usize>,
}

/// The layer directories of one store.
#[derive(Debug)]
pub(super) struct Layers {
    dir: PathBuf,
}

impl Layers {
    pub fn open(dir: &Path) -> Result<Layers, ImageError> {
        let layers = Layers { dir: dir.into() };
        for sub in ["layers", "l", "tmp"] {
            let path = dir.join(sub);
            fs::create_dir_all(&path).map_err(|error| ImageError::io("create", &path, error))?;
        }
        clear(&layers.tmp())?;
        Ok(layers)
    }

    pub fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    fn home(&self, diff_id: &Digest) -> PathBuf {
        self.dir.join("layers").join(diff_id.hex())
    }

    /// The directory of everything.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the layer is here with all that it had at its top: what deleted files and a dying card take away
    /// shows there first, and looking costs one directory.
    pub fn is_whole(&self, diff_id: &Digest) -> bool {
        let Ok(noted) = self.note(diff_id) else {
            return false;
        };
        match fs::read_dir(self.tree(diff_id)) {
            Ok(entries) => noted.top.is_none_or(|top| entries.count() == top),
            Err(_) => false,
        }
    }

    /// Takes what is left of a damaged layer out of the way; its bytes go when the result is dropped.
    pub fn discard(&self, diff_id: &Digest) -> Result<Option<Scratch>, ImageError> {
        let home = self.home(diff_id);
        if fs::symlink_metadata(&home).is_err() {
            return Ok(None);
        }
        let scratch = Scratch::new(&self.tmp())?;
        fs::rename(&home, scratch.path().join("old"))
            .map_err(|error| ImageError::io("remove", &home, error))?;
        sync_parent(&home)?;
        Ok(Some(scratch))
    }

    /// The layer's tree.
    pub fn tree(&self, diff_id: &Digest) -> PathBuf {
        self.home(diff_id).join("fs")
    }

    /// Bytes of the layer's files.
    pub fn bytes(&self, diff_id: &Digest) -> Result<u64, ImageError> {
        self.note(diff_id).map(|note| note.bytes)
    }

    fn note(&self, diff_id: &Digest) -> Result<Note, ImageError> {
        let path = self.home(diff_id).join("bytes");
        let text =
            fs::read_to_string(&path).map_err(|error| ImageError::io("read", &path, error))?;
        let mut numbers = text.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(bytes)), None) => Ok(Note { bytes, top: None }),
            (Some(Ok(bytes)), Some(Ok(top))) => Ok(Note {
                bytes,
                top: usize::try_from(top).ok(),
            }),
            _ => Err(ImageError::Malformed {
                what: path.display().to_string(),
                why: "not a number".to_owned(),
            }),
        }
    }

    /// Unpacks `stream` as the layer `expected`; on any error nothing of it stays.
    pub fn add(&self, expected: &Expected, stream: impl Read) -> Result<(), ImageError> {
        self.check_room(expected)?;
        let scratch = Scratch::new(&self.tmp())?;
        let root = scratch.path().join("fs");
        make_root(&root)?;
        let bytes = self.unpack_verified(expected, stream, &root)?;
        self.commit(&expected.diff_id, scratch, bytes)
    }

    /// Moves a finished layer (`fs` inside `scratch`) into its place.
    pub fn commit(&self, diff_id: &Digest, scratch: Scratch, bytes: u64) -> Result<(), ImageError> {
        let path = scratch.path().join("bytes");
        let top = listing(&scratch.path().join("fs"))?.len();
        fs::write(&path, format!("{bytes} {top}"))
            .map_err(|error| ImageError::io("write", &path, error))?;
        sync_tree(scratch.path())?;
        let home = self.home(diff_id);
        let _damaged = if self.is_whole(diff_id) {
            None
        } else {
            self.discard(diff_id)?
        };
        match fs::rename(scratch.path(), &home) {
            Ok(()) => sync_parent(&home),
            // Somebody else was faster with the same, equally verified layer.
            Err(_) if self.is_whole(diff_id) => Ok(()),
            Err(error) => Err(ImageError::io("create", &home, error)),
        }
    }

    fn unpack_verified(
        &self,
        expected: &Expected,
        stream: impl Read,
        root: &Path,
    ) -> Result<u64, ImageError> {
        let layer = expected.diff_id.to_string();
        let what = format!("layer {layer}");
        let mut transferred = HashingReader::new(stream);
        let outcome = unpack_hashed(&mut transferred, root, bytes_max(expected));
        let (diff_id, bytes) = match outcome {
            Ok(done) => done,
            Err(UnpackError::Disk { path, source }) => {
                return Err(self.refused(layer, &path, source));
            }
            Err(UnpackError::Source(error)) => {
                // A decoder stumbles over damaged bytes before their end is reached: the digest tells what is wrong.
                check_transferred(transferred, expected, &what)?;
                return Err(ImageError::Malformed {
                    what,
                    why: error.to_string(),
                });
            }
            Err(UnpackError::Entry { path, why }) => {
                return Err(ImageError::Layer {
                    layer,
                    path: path.display().to_string(),
                    why,
                });
            }
        };
        check_transferred(transferred, expected, &what)?;
        expected
            .diff_id
            .expect(&diff_id, &format!("{what} (unpacked)"))?;
        Ok(bytes)
    }

    /// The file system's refusal to make `path` of a layer.
    fn refused(&self, layer: String, path: &Path, source: io::Error) -> ImageError {
        match ImageError::io("write", &self.dir, source) {
            ImageError::Io { source, .. } => ImageError::Layer {
                layer,
                path: path.display().to_string(),
                why: source.to_string(),
            },
            full => full,
        }
    }

    /// An unpacked layer is hardly ever smaller than its transfer.
    fn check_room(&self, expected: &Expected) -> Result<(), ImageError> {
        let free = free_bytes(&self.dir)?;
        if expected.transferred_bytes <= free {
            return Ok(());
        }
        Err(ImageError::NoRoom {
            what: format!("layer {}", expected.diff_id),
            needed_bytes: expected.transferred_bytes,
            free_bytes: free,
            path: self.dir.clone(),
        })
    }

    /// A short symbolic link to the layer's tree, made when absent.
    pub fn link(&self, diff_id: &Digest) -> Result<PathBuf, ImageError> {
        let target = Path::new("../layers").join(diff_id.hex()).join("fs");
        for length in SHORT_HEX_MIN..=diff_id.hex().len() {
            let link = self.dir.join("l").join(&diff_id.hex()[..length]);
            match fs::read_link(&link) {
                Ok(found) if found == target => return Ok(link),
                // Another layer begins with the same digits.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match std::os::unix::fs::symlink(&target, &link) {
                        Ok(()) => {
                            sync_parent(&link)?;
                            return Ok(link);
                        }
                        Err(error)
                            if error.kind() == io::ErrorKind::AlreadyExists
                                && fs::read_link(&link).is_ok_and(|found| found == target) =>
                        {
                            return Ok(link);
                        }
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        Err(error) => return Err(ImageError::io("link", &link, error)),
                    }
                }
                Err(error) => return Err(ImageError::io("read", &link, error)),
            }
        }
        Err(ImageError::Stopped(format!(
            "no free short name for {diff_id}"
        )))
    }

    /// Takes away every layer and link that `keep` does not hold. The bytes go when the result is dropped, which can
    /// take long: not under a lock.
    pub fn sweep(&self, keep: &BTreeSet<Digest>) -> Result<Vec<Scratch>, ImageError> {
        let mut removed = Vec::new();
        for entry in listing(&self.dir.join("layers"))? {
            let name = entry.file_name().and_then(|name| name.to_str());
            if name
                .and_then(Digest::from_hex)
                .is_some_and(|digest| keep.contains(&digest))
            {
                continue;
            }
            // Out of the way with one rename, so that a cut in the middle leaves no half layer.
            let scratch = Scratch::new(&self.tmp())?;
            fs::rename(&entry, scratch.path().join("old"))
                .map_err(|error| ImageError::io("remove", &entry, error))?;
            sync_parent(&entry)?;
            removed.push(scratch);
        }
        for link in listing(&self.dir.join("l"))? {
            if !link.exists() {
                fs::remove_file(&link).map_err(|error| ImageError::io("remove", &link, error))?;
            }
        }
        Ok(removed)
    }

    /// Remembers a small text beside the layers.
    pub fn write_note(&self, name: &str, text: &str) -> Result<(), ImageError> {
        replace(&self.dir.join(name), text.as_bytes())
    }

    pub fn read_note(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.dir.join(name)).ok()
    }
}

/// Reads what is left of a transfer and compares its digest.
fn check_transferred<R: Read>(
    transferred: HashingReader<R>,
    expected: &Expected,
    what: &str,
) -> Result<(), ImageError> {
    let (found, _) = transferred
        .drain(LAYER_BYTES_MAX)
        .map_err(|error| ImageError::Malformed {
            what: what.to_owned(),
            why: format!("its transfer broke off: {error}"),
        })?;
    match &expected.transferred {
        Some(wanted) => wanted.expect(&found, what),
        None => Ok(()),
    }
}

/// Most bytes this layer may become: a bomb is told by how much it grows.
fn bytes_max(expected: &Expected) -> u64 {
    match expected.transferred_bytes {
        0 => LAYER_BYTES_MAX,
        bytes => bytes
            .saturating_mul(GROWTH_MAX)
            .saturating_add(GROWTH_FREE_BYTES)
            .min(LAYER_BYTES_MAX),
    }
}

/// Unpacks and gives the digest of the plain tar with the bytes of its files.
fn unpack_hashed(
    stream: &mut dyn Read,
    root: &Path,
    bytes_max: u64,
) -> Result<(Digest, u64), UnpackError> {
    let plain = decompress(stream).map_err(UnpackError::Source)?;
    let mut plain = HashingReader::new(plain);
    let bytes = unpack(&mut plain, root, bytes_max)?;
    // Blocks after the archive's end belong to its digest.
    let (diff_id, _) = plain
        .drain(2 * LAYER_BYTES_MAX)
        .map_err(UnpackError::Source)?;
    Ok((diff_id, bytes))
}

/// The layer's root as containerd makes it where the layer does not describe it.
pub(super) fn make_root(root: &Path) -> Result<(), ImageError> {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir(root)
        .and_then(|()| fs::set_permissions(root, fs::Permissions::from_mode(0o755)))
        .map_err(|error| ImageError::io("create", root, error))
}

/// Paths in a directory.
pub(super) fn listing(dir: &Path) -> Result<Vec<PathBuf>, ImageError> {
    fs::read_dir(dir)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        })
        .map_err(|error| ImageError::io("list", dir, error))
}

fn clear(dir: &Path) -> Result<(), ImageError> {
    for path in listing(dir)? {
        let removed = if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(|error| ImageError::io("remove", &path, error))?;
    }
    Ok(())
}
