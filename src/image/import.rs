//! Which images an archive holds, and bringing them in.

use super::archive::{Spool, blob_name};
use super::digest::Digest;
use super::layers::Expected;
use super::manifest::{self, Configuration, Descriptor, Manifest};
use super::platform;
use super::reference::Name;
use super::{Image, ImageError, Images, Progress};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Read};

/// Deepest nesting of indexes in an archive; image builders make one or two levels.
const INDEX_DEPTH_MAX: usize = 4;

/// Most images of one archive.
const ARCHIVE_IMAGES_MAX: usize = 1000;

/// Progress is told after this many bytes.
const PROGRESS_STEP_BYTES: u64 = 256 * 1024;

/// An image found in an archive, not yet unpacked.
struct Found {
    id: Digest,
    /// By tag and by digest.
    names: Vec<String>,
    configuration: Configuration,
    /// Lowest first; members of the archive, with the digest they must have where one is promised.
    layers: Vec<(String, Option<Digest>)>,
}

/// One entry of docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Brings in every image of `spool` made for this machine.
pub(super) fn import(
    images: &Images,
    spool: &Spool,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Vec<Image>, ImageError> {
    let found = if spool.has("index.json") {
        oci_images(spool)?
    } else if spool.has("manifest.json") {
        docker_images(spool)?
    } else {
        return Err(ImageError::Archive {
            why: "it holds neither index.json (OCI) nor manifest.json (docker save)".to_owned(),
        });
    };
    found
        .into_iter()
        .map(|found| bring_in(images, spool, found, progress))
        .collect()
}

fn bring_in(
    images: &Images,
    spool: &Spool,
    found: Found,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Image, ImageError> {
    let what = found.names.first().cloned().unwrap_or_default();
    progress(Progress::Resolving {
        reference: what.clone(),
    });
    platform::check(&found.configuration.platform, &what)?;
    let diff_ids = found.configuration.diff_ids(found.layers.len(), &what)?;
    let _pin = images.pin(&diff_ids);
    for (diff_id, (member, promised)) in diff_ids.iter().zip(&found.layers) {
        let digest = diff_id.to_string();
        if images.layers.is_whole(diff_id) {
            progress(Progress::Present { digest });
            continue;
        }
        let (file, total_bytes, _) = spool.stream(member)?;
        let expected = Expected {
            diff_id: diff_id.clone(),
            transferred: promised.clone(),
            transferred_bytes: total_bytes,
        };
        let tell = |done_bytes| {
            progress(Progress::Layer {
                digest: digest.clone(),
                done_bytes,
                total_bytes,
            });
        };
        images.layers.add(&expected, Counting::new(file, &tell))?;
        tell(total_bytes);
    }
    let image = images.record(
        &found.id.to_string(),
        &diff_ids,
        found.configuration.run(),
        &found.names,
    )?;
    progress(Progress::Done {
        image: Box::new(image.clone()),
    });
    Ok(image)
}

fn docker_images(spool: &Spool) -> Result<Vec<Found>, ImageError> {
    let (bytes, _) = spool.document("manifest.json")?;
    let entries: Vec<DockerImage> = manifest::parse(&bytes, "manifest.json in the archive")?;
    check_count(entries.len())?;
    let mut found = Vec::new();
    for entry in entries {
        let mut names = Vec::new();
        for tag in entry.repo_tags.iter().flatten() {
            names.extend(Name::parse(tag)?.tagged());
        }
        if names.is_empty() {
            return Err(ImageError::Unnamed);
        }
        let (bytes, id) = spool.document(&entry.config)?;
        let what = format!("{} in the archive", entry.config);
        // The file is named by its digest: `<hex>.json` or `blobs/sha256/<hex>`.
        let stem = entry.config.rsplit('/').next().unwrap_or_default();
        if let Some(named) = Digest::from_hex(stem.strip_suffix(".json").unwrap_or(stem)) {
            named.expect(&id, &what)?;
        }
        found.push(Found {
            id,
            names,
            configuration: manifest::parse(&bytes, &what)?,
            // Their diff ids in the configuration are the promise.
            layers: entry
                .layers
                .into_iter()
                .map(|layer| (layer, None))
                .collect(),
        });
    }
    Ok(found)
}

fn oci_images(spool: &Spool) -> Result<Vec<Found>, ImageError> {
    let (bytes, _) = spool.document("index.json")?;
    let index = Manifest::parse(&bytes, "index.json in the archive")?;
    let entries = index.manifests.unwrap_or_default();
    check_count(entries.len())?;
    // Entries of one name are one image for several platforms.
    let mut by_name: BTreeMap<String, Vec<Descriptor>> = BTreeMap::new();
    for entry in entries {
        for name in names_of(&entry) {
            by_name.entry(name).or_default().push(entry.clone());
        }
    }
    if by_name.is_empty() {
        return Err(ImageError::Unnamed);
    }
    by_name
        .into_iter()
        .map(|(name, entries)| oci_image(spool, &name, &entries))
        .collect()
}

/// Full names in an entry's annotations: containerd's, else the one of the image-spec where it is more than a tag.
fn names_of(entry: &Descriptor) -> Vec<String> {
    let annotation = |key: &str| entry.annotations.as_ref().and_then(|all| all.get(key));
    annotation("io.containerd.image.name")
        .or_else(|| {
            annotation("org.opencontainers.image.ref.name").filter(|name| name.contains(['/', ':']))
        })
        .cloned()
        .into_iter()
        .collect()
}

fn oci_image(spool: &Spool, name: &str, entries: &[Descriptor]) -> Result<Found, ImageError> {
    let parsed = Name::parse(name)?;
    let top = platform::choose(entries, name)?;
    let top_digest = Digest::parse(&top.digest, name)?;
    let mut digest = top_digest.clone();
    for _ in 0..INDEX_DEPTH_MAX {
        let document = Manifest::parse(&spool.blob_document(&digest)?, &blob_name(&digest))?;
        let Some(config) = document.config else {
            let entries = document.manifests.unwrap_or_default();
            digest = Digest::parse(&platform::choose(&entries, name)?.digest, name)?;
            continue;
        };
        let id = Digest::parse(&config.digest, name)?;
        let configuration = manifest::parse(
            &spool.blob_document(&id)?,
            &format!("configuration of {name}"),
        )?;
        let layers = document
            .layers
            .iter()
            .map(|layer| {
                let digest = Digest::parse(&layer.digest, name)?;
                Ok((blob_name(&digest), Some(digest)))
            })
            .collect::<Result<_, ImageError>>()?;
        let mut names: Vec<String> = parsed.tagged().into_iter().collect();
        names.push(parsed.by_digest(&top_digest));
        return Ok(Found {
            id,
            names,
            configuration,
            layers,
        });
    }
    Err(ImageError::Archive {
        why: format!("its indexes are nested more than {INDEX_DEPTH_MAX} deep"),
    })
}

fn check_count(count: usize) -> Result<(), ImageError> {
    if count == 0 {
        return Err(ImageError::Archive {
            why: "it lists no images".to_owned(),
        });
    }
    if count > ARCHIVE_IMAGES_MAX {
        return Err(ImageError::Limit {
            what: "images in the archive".to_owned(),
            value: count as u64,
            limit: ARCHIVE_IMAGES_MAX as u64,
        });
    }
    Ok(())
}

/// Tells how many bytes have passed, every now and then.
pub(super) struct Counting<'a, R> {
    inner: R,
    tell: &'a dyn Fn(u64),
    done: u64,
    told: u64,
}

impl<'a, R: Read> Counting<'a, R> {
    pub fn new(inner: R, tell: &'a dyn Fn(u64)) -> Counting<'a, R> {
        Counting {
            inner,
            tell,
            done: 0,
            told: 0,
        }
    }
}

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        self.done += count as u64;
        if self.done - self.told >= PROGRESS_STEP_BYTES {
            self.told = self.done;
            (self.tell)(self.done);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_tag_is_no_name() {
        let entry = |key: &str, value: &str| Descriptor {
            media_type: String::new(),
            digest: String::new(),
            size: 0,
            platform: None,
            annotations: Some(BTreeMap::from([(key.to_owned(), value.to_owned())])),
        };
        for (key, value, named) in [
            ("org.opencontainers.image.ref.name", "latest", false),
            ("org.opencontainers.image.ref.name", "busybox:1.36", true),
            ("org.opencontainers.image.ref.name", "ghcr.io/a/b", true),
            ("io.containerd.image.name", "busybox", true),
            ("something.else", "busybox:1", false),
        ] {
            assert_eq!(
                !names_of(&entry(key, value)).is_empty(),
                named,
                "{key}={value}"
            );
        }
    }
}
