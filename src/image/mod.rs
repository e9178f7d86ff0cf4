//! Images: pulled or imported, verified by digest, unpacked once, stacked as overlayfs root filesystems.
//!
//! In come names from pod specs (kubelet) and from the command line, layers from registries (`registry`) and archives
//! (`import`), and the node's own binary, of which `hello` makes the built-in image.
//!
//! Out go images by id with what running them needs, and per container the directories of one overlay mount, which
//! the runtime mounts; nothing here mounts.
//!
//! Invariants: a layer in `layers/` is whole, verified by both digests and durable, or it is not there. A record is
//! written after its layers and removed before them; names come last and go first. Layers that a running pull or
//! import counts on are pinned and not removed. No layer is ever in memory, and none on disk twice, but for the
//! compressed spool of an archive while it is imported. Never known here: pods, containers, the API.
//!
//! Layout of the directory: `layers/`, `l/` (short links), `images/`, `names.json`, `tmp/`; see `layers` and `records`.

mod archive;
mod decompress;
mod digest;
mod durable;
mod error;
mod hello;
mod import;
mod layers;
mod manifest;
mod platform;
mod records;
mod reference;
mod registry;
mod rootfs;
mod tree;
mod types;
mod unpack;
mod xattr;

pub use error::ImageError;
pub use types::{Credentials, Image, ImageConfig, Progress, RootFs};

use crate::profile::ImageProfile;
use digest::Digest;
use layers::Layers;
use records::Records;
use reference::Name;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// This node's images. Shared; all methods take `&self`.
#[derive(Debug)]
pub struct Images {
    layers: Arc<Layers>,
    state: Mutex<State>,
    /// Layers being fetched, so that two pulls do not fetch the same one.
    fetching: registry::Fetching,
    layers_parallel: usize,
}

#[derive(Debug)]
struct State {
    records: Records,
    /// How many running pulls and imports count on a layer.
    pins: BTreeMap<Digest, usize>,
}

/// Keeps layers from being swept until dropped.
struct Pin<'a> {
    images: &'a Images,
    diff_ids: Vec<Digest>,
}

impl Images {
    /// Opens `dir`, removes what an interrupted pull or import left behind, and adds the built-in
    /// `coracle.local/hello` made from `executable`.
    pub fn open(
        dir: &Path,
        profile: &ImageProfile,
        executable: &Path,
    ) -> Result<Arc<Images>, ImageError> {
        let layers = Layers::open(dir)?;
        let mut records = Records::open(dir)?;
        for id in records.retain_whole(|layer| layers.is_present(layer))? {
            tracing::warn!(image = %id, "image forgotten: a layer of it is missing; pull or import it again");
        }
        let images = Images {
            layers: Arc::new(layers),
            state: Mutex::new(State {
                records,
                pins: BTreeMap::new(),
            }),
            fetching: registry::Fetching::default(),
            layers_parallel: profile.layers_parallel.max(1),
        };
        hello::ensure(&images, executable)?;
        images.sweep()?;
        Ok(Arc::new(images))
    }

    /// The image a pod spec's `image` means, if it is here. Also takes an image id, `sha256:…`.
    pub fn find(&self, reference: &str) -> Result<Option<Image>, ImageError> {
        let state = self.state();
        if is_id(reference) {
            return Ok(state.records.get(reference));
        }
        let key = Name::parse(reference)?.key();
        let id = state.records.resolve(&key);
        Ok(id.and_then(|id| state.records.get(id)))
    }

    /// All images, by id.
    pub fn list(&self) -> Vec<Image> {
        self.state().records.list()
    }

    /// Fetches what is missing. `progress` is called often and must be quick.
    ///
    /// Needs rustls' process-wide default provider (`install_default`) and a tokio runtime.
    pub async fn pull(
        &self,
        reference: &str,
        credentials: Option<&Credentials>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Image, ImageError> {
        let name = Name::parse(reference)?;
        let result = registry::pull(self, &name, credentials, progress).await;
        if let Err(error) = &result
            && !error.is_passing()
        {
            self.sweep_or_warn();
        }
        result
    }

    /// Reads an OCI or docker archive (tar, also gzip or zstd) from `reader` (streamed; blocking: call from a
    /// blocking thread). All of its images come in, or an error and none of its layers stays.
    pub fn import(
        &self,
        reader: &mut dyn std::io::Read,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Vec<Image>, ImageError> {
        let spool = archive::Spool::read(&self.layers.tmp(), reader)?;
        let result = import::import(self, &spool, progress);
        if result.is_err() {
            self.sweep_or_warn();
        }
        result
    }

    /// Removes a tag, and the image with its last tag; `in_use` images (by id) are kept with an error.
    pub fn remove(&self, reference: &str, in_use: &dyn Fn(&str) -> bool) -> Result<(), ImageError> {
        let absent = || ImageError::Absent {
            reference: reference.to_owned(),
        };
        let image = self.find(reference)?.ok_or_else(absent)?;
        let name = if is_id(reference) {
            None
        } else {
            Some(Name::parse(reference)?.key())
        };
        let mut state = self.state();
        if let Some(name) = name
            && image.tags.iter().any(|tag| *tag != name)
        {
            return state.records.remove_name(&name);
        }
        if in_use(&image.id) {
            return Err(ImageError::InUse {
                reference: reference.to_owned(),
            });
        }
        state.records.remove_image(&image.id)?;
        drop(state);
        self.sweep()
    }

    /// Directories for a container's root filesystem, its writable part under `dir` (created).
    pub fn root_fs(&self, image: &Image, dir: &Path) -> Result<RootFs, ImageError> {
        rootfs::prepare(&self.layers, image, dir)
    }

    /// A panic elsewhere leaves the records as they were last written: they stay usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pin(&self, diff_ids: &[Digest]) -> Pin<'_> {
        let mut state = self.state();
        for diff_id in diff_ids {
            *state.pins.entry(diff_id.clone()).or_default() += 1;
        }
        Pin {
            images: self,
            diff_ids: diff_ids.to_vec(),
        }
    }

    /// Writes down an image whose layers are all here.
    fn record(
        &self,
        id: &str,
        diff_ids: &[Digest],
        config: ImageConfig,
        names: &[String],
    ) -> Result<Image, ImageError> {
        let mut size_bytes = 0;
        for diff_id in diff_ids {
            size_bytes += self.layers.bytes(diff_id)?;
        }
        self.state()
            .records
            .put(id, diff_ids, size_bytes, config, names)
    }

    /// Removes layers that no image and no running pull needs.
    fn sweep(&self) -> Result<(), ImageError> {
        let state = self.state();
        let mut keep = state.records.layers();
        keep.extend(state.pins.keys().cloned());
        let removed = self.layers.sweep(&keep);
        drop(state);
        removed.map(drop)
    }

    /// After a failure whose error is the one to tell.
    fn sweep_or_warn(&self) {
        if let Err(error) = self.sweep() {
            tracing::warn!(%error, "unused layers not removed; the next start tries again");
        }
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut state = self.images.state();
        for diff_id in &self.diff_ids {
            if let Some(count) = state.pins.get_mut(diff_id) {
                *count -= 1;
                if *count == 0 {
                    state.pins.remove(diff_id);
                }
            }
        }
    }
}

/// An image id rather than a name.
fn is_id(reference: &str) -> bool {
    reference
        .strip_prefix("sha256:")
        .and_then(Digest::from_hex)
        .is_some()
}
