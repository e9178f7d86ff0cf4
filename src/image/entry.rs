//! What one entry of a layer asks for, and whether it may: pure, so that any bytes can be tried on it.
//!
//! Whiteouts `.wh.NAME` and `.wh..wh..opq` are the image-spec's ("Whiteouts"); device nodes follow [`device`].

use super::sparse::{self, Sparse};
use super::tree::{InnerPath, PATH_BYTES_MAX};
use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use tar::{Entry, EntryType};

/// Most entries of one layer; the largest public images have a few hundred thousand.
const ENTRIES_MAX: u64 = 1_000_000;

/// Most bytes one layer may become. A board's whole disk is rarely larger.
pub const LAYER_BYTES_MAX: u64 = 32 * 1024 * 1024 * 1024;

/// Most bytes of headers that describe the next entry (long names, PAX records with attributes): Linux allows 64 KiB
/// per attribute; the tar reader holds them in memory.
const DESCRIPTION_BYTES_MAX: u64 = 1024 * 1024;

/// Why unpacking ended early.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The stream ended, is no tar archive, or its source failed.
    #[error("{0}")]
    Source(io::Error),
    /// An entry that no sound image has.
    #[error("{path}: {why}")]
    Entry { path: PathBuf, why: String },
    /// This machine's file system refused.
    #[error("{path}: {source}")]
    Disk { path: PathBuf, source: io::Error },
}

/// What an entry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Describes no file, or one that means nothing here.
    Skip,
    /// The layer's own root: metadata only.
    Root,
    /// Hides everything below its directory in lower layers.
    Opaque,
    /// Hides one name of lower layers.
    Whiteout(OsString),
    Directory,
    File(Option<Sparse>),
    Symlink(PathBuf),
    HardLink(InnerPath),
    Fifo,
    /// A character device, which is harmless or overlayfs' own whiteout (0/0).
    Node {
        major: u32,
        minor: u32,
    },
}

/// An entry that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub path: InnerPath,
    pub step: Step,
    pub uid: u32,
    pub gid: u32,
    /// Permission bits, at most `0o7777`.
    pub mode: u32,
    /// Seconds since the epoch.
    pub time: i64,
}

/// What a layer holds, found by reading it without unpacking it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerSummary {
    pub entries: u64,
    pub bytes: u64,
}

/// Reads the plain tar of a layer to its end and checks every entry as unpacking would, but makes nothing.
pub fn check_layer(stream: impl Read, bytes_max: u64) -> Result<LayerSummary, UnpackError> {
    let mut summary = LayerSummary::default();
    walk(stream, |planned, data| {
        summary.entries += 1;
        if !matches!(planned.step, Step::File(_)) {
            return Ok(());
        }
        let left = bytes_max.saturating_sub(summary.bytes);
        let count = io::copy(&mut data.take(left.saturating_add(1)), &mut io::sink())
            .map_err(UnpackError::Source)?;
        summary.bytes += count;
        if count > left {
            return Err(too_large(&planned.path, bytes_max));
        }
        Ok(())
    })?;
    Ok(summary)
}

pub(super) fn too_large(path: &InnerPath, bytes_max: u64) -> UnpackError {
    UnpackError::Entry {
        path: path.whole(),
        why: format!("the layer becomes larger than {bytes_max} bytes"),
    }
}

type Data<'e, 'a, R> = Entry<'e, Allowance<'a, R>>;

/// Gives every entry of a tar stream with its data to `act`, in order.
pub(super) fn walk<R: Read>(
    stream: R,
    mut act: impl FnMut(&Planned, &mut Data<'_, '_, R>) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let allowance = Cell::new(0);
    let mut archive = tar::Archive::new(Allowance {
        inner: stream,
        left: &allowance,
    });
    let mut entries = archive.entries().map_err(UnpackError::Source)?;
    let mut count = 0;
    loop {
        allowance.set(DESCRIPTION_BYTES_MAX);
        let Some(entry) = entries.next() else {
            return Ok(());
        };
        let mut entry = entry.map_err(UnpackError::Source)?;
        allowance.set(u64::MAX);
        count += 1;
        if count > ENTRIES_MAX {
            return Err(UnpackError::Entry {
                path: PathBuf::new(),
                why: format!("the layer has more than {ENTRIES_MAX} entries"),
            });
        }
        let planned = plan(&mut entry)?;
        act(&planned, &mut entry)?;
        // Data of an entry that should have none.
        let rest = (&mut entry).take(LAYER_BYTES_MAX);
        io::copy(&mut { rest }, &mut io::sink()).map_err(UnpackError::Source)?;
    }
}

/// Passes at most as many bytes as the owner of the cell allows: the tar crate reads descriptions of the next entry
/// into memory without a bound of its own.
pub(super) struct Allowance<'a, R> {
    inner: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Allowance<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a name or attribute is longer than {DESCRIPTION_BYTES_MAX} bytes"),
            ));
        }
        let count = self.inner.read(buf)?;
        self.left.set(self.left.get().saturating_sub(count as u64));
        Ok(count)
    }
}

fn plan<R: Read>(entry: &mut Entry<'_, R>) -> Result<Planned, UnpackError> {
    let mut raw = entry.path().map_err(UnpackError::Source)?.into_owned();
    let sparse = match entry.pax_extensions().map_err(UnpackError::Source)? {
        None => None,
        Some(extensions) => {
            let mut records = Vec::new();
            for extension in extensions {
                let extension = extension.map_err(UnpackError::Source)?;
                records.push((
                    extension.key_bytes().to_vec(),
                    extension.value_bytes().to_vec(),
                ));
            }
            sparse::of(&records).map_err(|why| UnpackError::Entry {
                path: raw.clone(),
                why,
            })?
        }
    };
    if let Some(name) = sparse.as_ref().and_then(|sparse| sparse.name.clone()) {
        raw = OsString::from_vec(name).into();
    }
    let refuse = |why: &str| UnpackError::Entry {
        path: raw.clone(),
        why: why.to_owned(),
    };
    let path = InnerPath::parse(&raw).map_err(refuse)?;
    let header = entry.header();
    let kind = header.entry_type();
    let old = header.as_old();
    let small = |field: &[u8], value: io::Result<u64>, why: &str| {
        u32::try_from(number(field, value)?).map_err(|_| refuse(why))
    };
    let (uid, gid, mode, time) = if kind.is_pax_global_extensions() {
        (0, 0, 0, 0)
    } else {
        let why = "its user id does not fit 32 bits";
        let uid = small(&old.uid, header.uid(), why)?;
        let why = "its group id does not fit 32 bits";
        let gid = small(&old.gid, header.gid(), why)?;
        let mode = number(&old.mode, header.mode().map(u64::from))? & 0o7777;
        let time = number(&old.mtime, header.mtime())?;
        (uid, gid, mode as u32, i64::try_from(time).unwrap_or(0))
    };
    let step = if kind.is_pax_global_extensions() {
        Step::Skip
    } else if path.is_root() {
        if !kind.is_dir() {
            return Err(refuse("the layer's root is not a directory"));
        }
        Step::Root
    } else if let Some(hidden) = path.name().as_bytes().strip_prefix(b".wh.") {
        whiteout(hidden)
    } else {
        match kind {
            EntryType::Directory => Step::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Step::File(sparse),
            EntryType::Symlink => Step::Symlink(link_target(entry).map_err(refuse)?),
            EntryType::Link => {
                let target = link_target(entry).map_err(refuse)?;
                let target = InnerPath::parse(&target).map_err(refuse)?;
                if target.is_root() || target == path {
                    return Err(refuse("a hard link to a directory or to itself"));
                }
                Step::HardLink(target)
            }
            EntryType::Fifo => Step::Fifo,
            EntryType::Char | EntryType::Block => {
                let major = header.device_major().map_err(UnpackError::Source)?;
                let minor = header.device_minor().map_err(UnpackError::Source)?;
                let numbers = (major.unwrap_or_default(), minor.unwrap_or_default());
                device(&path.whole(), kind == EntryType::Block, numbers).map_err(|why| {
                    UnpackError::Entry {
                        path: path.whole(),
                        why,
                    }
                })?
            }
            // Sockets have no tar type of their own; anything unknown is passed over as tar(1) would warn and do.
            _ => Step::Skip,
        }
    };
    Ok(Planned {
        path,
        step,
        uid,
        gid,
        mode,
        time,
    })
}

/// A number of a header; one left blank is zero, as Go reads it, whose tools make images.
fn number(field: &[u8], value: io::Result<u64>) -> Result<u64, UnpackError> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(0);
    }
    value.map_err(UnpackError::Source)
}

/// `hidden` is the name after `.wh.`.
fn whiteout(hidden: &[u8]) -> Step {
    if hidden == b".wh..opq" {
        return Step::Opaque;
    }
    // Aufs' own records (`.wh..wh.plnk` and the like) describe nothing here.
    if hidden.starts_with(b".wh.") || matches!(hidden, b"" | b"." | b"..") {
        return Step::Skip;
    }
    Step::Whiteout(OsStr::from_bytes(hidden).to_owned())
}

fn link_target<R: Read>(entry: &Entry<'_, R>) -> Result<PathBuf, &'static str> {
    let target = entry
        .link_name()
        .ok()
        .flatten()
        .map(|target| target.into_owned())
        .filter(|target| !target.as_os_str().is_empty())
        .ok_or("a link without target")?;
    if target.as_os_str().len() >= PATH_BYTES_MAX || target.as_os_str().as_bytes().contains(&0) {
        return Err("the link's target is too long or holds a NUL byte");
    }
    Ok(target)
}

/// Character devices that every container has in its `/dev` anyway (runtime-spec, "Default Devices"): null, zero,
/// full, random, urandom, tty. Images keep them for services that run in a changed root.
const HARMLESS: [(u32, u32); 6] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0)];

/// Which device nodes an image may hold. What lies under `/dev` is covered by the container's own `/dev` and passed
/// over; elsewhere only harmless ones are made, and overlayfs' whiteout 0/0.
fn device(path: &Path, is_block: bool, numbers: (u32, u32)) -> Result<Step, String> {
    let (major, minor) = numbers;
    if !is_block && (numbers == (0, 0) || HARMLESS.contains(&numbers)) {
        return Ok(Step::Node { major, minor });
    }
    if path.starts_with("dev") {
        return Ok(Step::Skip);
    }
    let kind = if is_block { "block" } else { "character" };
    Err(format!(
        "it is the {kind} device {major}:{minor}; images may hold no devices but null, zero, full, random, urandom and tty"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn devices_are_harmless_covered_or_refused() {
        for (path, is_block, numbers, expected) in [
            ("var/chroot/dev/null", false, (1, 3), Some(true)),
            ("gone", false, (0, 0), Some(true)),
            ("dev/sda", true, (8, 0), Some(false)),
            ("dev/mem", false, (1, 1), Some(false)),
            ("sda", true, (8, 0), None),
            ("null", true, (1, 3), None),
            ("mem", false, (1, 1), None),
            ("zero", true, (0, 0), None),
        ] {
            let found = device(Path::new(path), is_block, numbers);
            let made = found.as_ref().ok().map(|step| *step != Step::Skip);
            assert_eq!(made, expected, "{path} {numbers:?}: {found:?}");
        }
    }

    fn tar_of(name: &str, size: usize) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(size as u64);
        header.set_mode(0o644);
        header.set_mtime(1);
        builder
            .append_data(&mut header, name, vec![1; size].as_slice())
            .unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_layer_is_checked_without_being_unpacked() {
        let tar = tar_of("a/b", 1000);
        assert_eq!(
            check_layer(&tar[..], 1000).unwrap(),
            LayerSummary {
                entries: 1,
                bytes: 1000
            }
        );
        let error = check_layer(&tar[..], 999).unwrap_err().to_string();
        assert!(error.contains("larger than 999"), "{error}");
        assert!(check_layer(&tar[..700], 1000).is_err());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn damaged_layers_never_panic(at in 0_usize..1536, value: u8, size in 0_usize..600) {
            let mut tar = tar_of("some/file", size);
            let at = at % tar.len();
            tar[at] = value;
            let _ = check_layer(&tar[..], 1024 * 1024);
        }

        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2048)) {
            let _ = check_layer(&bytes[..], 1024 * 1024);
        }
    }
}
